"""Synapse layers: torch layers over [T, B, …] that fold time and batch."""

from snnkit.nn.synapses.conv import Conv1d, Conv2d
from snnkit.nn.synapses.dropout import Dropout, DropoutState
from snnkit.nn.synapses.flatten import Flatten
from snnkit.nn.synapses.linear import Linear
from snnkit.nn.synapses.norm import BatchNorm
from snnkit.nn.synapses.pool import AvgPool2d, MaxPool2d, SumPool2d
from snnkit.nn.synapses.recurrent import Recurrent, RecurrentState

__all__ = [
    "AvgPool2d",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "Dropout",
    "DropoutState",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "Recurrent",
    "RecurrentState",
    "SumPool2d",
]
