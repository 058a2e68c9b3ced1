"""Learning without gradients: rules that attach to a synapse and its neuron and change weights by their spikes.

>>> from snnkit import nn as snn, plasticity
>>> model = torch.nn.Sequential(snn.Linear(784, 400, bias=False), snn.LIF(tau=10.0, threshold=20.0))
>>> torch.nn.init.uniform_(model[0].weight, 0, 0.3)
>>> rule = plasticity.STDP(model[0], model[1])
>>> with torch.no_grad(), snn.learning(model):
...     model(spikes)
"""

from snnkit.plasticity.rule import Rule
from snnkit.plasticity.stdp import STDP

__all__ = ["STDP", "Rule"]
