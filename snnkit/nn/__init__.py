"""What users compose: torch modules over [T, B, features…].

>>> from snnkit import nn as snn
>>> model = torch.nn.Sequential(snn.Linear(100, 64), snn.LIF(tau=4.0), snn.Linear(64, 10), snn.LI())
>>> out, states = snn.run(model, x)
"""

from snnkit import surrogate
from snnkit.nn.check import check_model
from snnkit.nn.checkpoint import checkpoint
from snnkit.nn.convert import ConversionReport, ConvertedLayer, convert_from
from snnkit.nn.learning import learning
from snnkit.nn.module import Stateful
from snnkit.nn.needed import kernels_of
from snnkit.nn.neurons import (
    ALIF,
    LI,
    LIF,
    ALIFState,
    CubaLIF,
    CubaLIFState,
    LIFState,
    LinearLeakIF,
    LinearLeakIFState,
    LIState,
    Neuron,
    neuron,
)
from snnkit.nn.operations import Operations, count_operations
from snnkit.nn.record import Record, record
from snnkit.nn.run import run, stream, valid_lengths
from snnkit.nn.sequential import Sequential
from snnkit.nn.synapses import (
    AdaptiveAvgPool2d,
    Add,
    Attention,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose2d,
    Delay,
    DelayState,
    Dropout,
    DropoutState,
    Flatten,
    Linear,
    MaxPool2d,
    OneToOne,
    OverTime,
    Recurrent,
    RecurrentState,
    Residual,
    SumPool2d,
    ThresholdBatchNorm,
    Upsample,
    Votes,
    over_time,
)

__all__ = [
    "ALIF",
    "LI",
    "LIF",
    "ALIFState",
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
    "ConversionReport",
    "ConvertedLayer",
    "CubaLIF",
    "CubaLIFState",
    "Delay",
    "DelayState",
    "Dropout",
    "DropoutState",
    "Flatten",
    "LIFState",
    "LIState",
    "Linear",
    "LinearLeakIF",
    "LinearLeakIFState",
    "MaxPool2d",
    "Neuron",
    "OneToOne",
    "Operations",
    "OverTime",
    "Record",
    "Recurrent",
    "RecurrentState",
    "Residual",
    "Sequential",
    "Stateful",
    "SumPool2d",
    "ThresholdBatchNorm",
    "Upsample",
    "Votes",
    "check_model",
    "checkpoint",
    "convert_from",
    "count_operations",
    "kernels_of",
    "learning",
    "neuron",
    "over_time",
    "record",
    "run",
    "stream",
    "surrogate",
    "valid_lengths",
]
