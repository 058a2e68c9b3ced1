"""Layers one after another, those that can in one pass over memory."""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.nn.together import fed, group_at


class Sequential(torch.nn.Sequential):
    """torch.nn.Sequential that runs norm, neuron and pool together where nobody looks in between.

    A `BatchNorm` (or `ThresholdBatchNorm`) before a `LIF`, with an `AvgPool2d` whose windows lie side by side between
    or behind them, become one kernel: the norm's values and the spikes before a pool are never written. Outputs,
    states, running statistics and gradients are those of the layers one by one, bit for bit; so are modules, paths and
    state dicts. That holds with `lengths` and among several processes too, where the layers have the same statistics.
    A `Linear` before a dense `Recurrent` that hears few spikes on a CPU takes the gradient of its weights by sums over
    the spikes, where a product would multiply by those that are not there: equal up to rounding, in half the time.
    The layers run one by one where a hook or `snn.record` looks at one of them, under torch.compile and torch.export,
    on a GPU without Triton, and inside `snnkit.kernels.reference_only()`. On a GPU spikes and states are those a CPU
    gives from the same mean and rate; torch's own norm there rounds scale and shift in another way, so that a spike at
    the threshold may differ from its.

    Args:
        args: modules, or one OrderedDict of them, as torch.nn.Sequential.

    y = layerₙ(… layer₁(x)); x: what the first layer takes, usually [T, B, …].

    Raises:
        ShapeError, StateError: as the layer that the input does not fit.

    >>> block = snn.Sequential(snn.Conv2d(2, 16, 3), snn.BatchNorm(16), snn.LIF(), snn.AvgPool2d(2))
    """

    def forward(self, input: Tensor) -> Tensor:
        x = input
        if torch.compiler.is_compiling() or type(x) is not Tensor:
            for layer in self:
                x = layer(x)
            return x
        layers = list(self)
        while layers:
            group, y = group_at(layers, x), fed(layers, x)
            if y is None:
                y = layers[0](x) if group is None else group(x)
            x = y
            del layers[: 1 if group is None else group.size]
        return x
