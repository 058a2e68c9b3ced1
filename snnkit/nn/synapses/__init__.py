"""Synapse layers: torch layers over [T, B, …] that fold time and batch."""

from snnkit.nn.synapses.attention import Attention
from snnkit.nn.synapses.conv import Conv1d, Conv2d, Conv3d, ConvTranspose2d
from snnkit.nn.synapses.delay import Delay, DelayState
from snnkit.nn.synapses.dropout import Dropout, DropoutState
from snnkit.nn.synapses.flatten import Flatten
from snnkit.nn.synapses.join import Add, Concat, Residual
from snnkit.nn.synapses.linear import Linear
from snnkit.nn.synapses.norm import BatchNorm, ThresholdBatchNorm
from snnkit.nn.synapses.one_to_one import OneToOne
from snnkit.nn.synapses.over_time import OverTime, over_time
from snnkit.nn.synapses.pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d, SumPool2d
from snnkit.nn.synapses.recurrent import Recurrent, RecurrentState
from snnkit.nn.synapses.upsample import Upsample
from snnkit.nn.synapses.votes import Votes

__all__ = [
    "AdaptiveAvgPool2d",
    "Add",
    "Attention",
    "AvgPool2d",
    "BatchNorm",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose2d",
    "Delay",
    "DelayState",
    "Dropout",
    "DropoutState",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "OneToOne",
    "OverTime",
    "Recurrent",
    "RecurrentState",
    "Residual",
    "SumPool2d",
    "ThresholdBatchNorm",
    "Upsample",
    "Votes",
    "over_time",
]
