"""Neuron layers: one file per model, with its equation, its step and its module."""

from snnkit.nn.neurons.alif import ALIF, ALIFState
from snnkit.nn.neurons.base import Neuron
from snnkit.nn.neurons.cubalif import CubaLIF, CubaLIFState
from snnkit.nn.neurons.li import LI, LIState
from snnkit.nn.neurons.lif import LIF, LIFState
from snnkit.nn.neurons.linear_leak import LinearLeakIF, LinearLeakIFState
from snnkit.nn.neurons.own import neuron

__all__ = [
    "ALIF",
    "LI",
    "LIF",
    "ALIFState",
    "CubaLIF",
    "CubaLIFState",
    "LIFState",
    "LIState",
    "LinearLeakIF",
    "LinearLeakIFState",
    "Neuron",
    "neuron",
]
