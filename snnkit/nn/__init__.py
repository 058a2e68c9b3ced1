"""What users compose: torch modules over [T, B, features…].

>>> from snnkit import nn as snn
>>> model = torch.nn.Sequential(snn.Linear(100, 64), snn.LIF(tau=4.0), snn.Linear(64, 10), snn.LI())
>>> out, states = snn.run(model, x)
"""

from snnkit import surrogate
from snnkit.nn.check import check_model
from snnkit.nn.module import Stateful
from snnkit.nn.neurons import LI, LIF, CubaLIF, CubaLIFState, LIFState, LIState, Neuron
from snnkit.nn.record import Record, record
from snnkit.nn.run import run, stream, valid_lengths
from snnkit.nn.synapses import (
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    Dropout,
    DropoutState,
    Flatten,
    Linear,
    MaxPool2d,
    Recurrent,
    RecurrentState,
    SumPool2d,
)

__all__ = [
    "LI",
    "LIF",
    "AvgPool2d",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "CubaLIF",
    "CubaLIFState",
    "Dropout",
    "DropoutState",
    "Flatten",
    "LIFState",
    "LIState",
    "Linear",
    "MaxPool2d",
    "Neuron",
    "Record",
    "Recurrent",
    "RecurrentState",
    "Stateful",
    "SumPool2d",
    "check_model",
    "record",
    "run",
    "stream",
    "surrogate",
    "valid_lengths",
]
