"""Which compiled kernels a model runs on a CPU."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

from snnkit.nn.neurons.alif import ALIF
from snnkit.nn.neurons.cubalif import CubaLIF
from snnkit.nn.neurons.li import LI
from snnkit.nn.neurons.lif import LIF
from snnkit.nn.neurons.linear_leak import LinearLeakIF
from snnkit.nn.sequential import Sequential
from snnkit.nn.synapses.linear import Linear
from snnkit.nn.synapses.norm import BatchNorm
from snnkit.nn.synapses.pool import AvgPool2d
from snnkit.nn.synapses.recurrent import FUSED, Recurrent

NEURONS = (LIF, LI, CubaLIF, ALIF, LinearLeakIF)


def kernels_of(model: torch.nn.Module) -> tuple[str, ...]:
    """The kernels that training and evaluating a model may use on a CPU, as `kernels.warm_up` names them.

    >>> kernels.warm_up(neurons=snn.kernels_of(model))
    """
    return tuple(dict.fromkeys(_kernels(model)))


def _kernels(module: torch.nn.Module, alone: bool = True) -> Iterator[str]:
    """`alone`: a norm or a pool does not become one with a neuron."""
    if isinstance(module, Recurrent):  # others go step by step
        if type(module.neuron) in FUSED and type(module.synapse) is Linear:
            yield "Recurrent" if _usual(module.neuron) else "Recurrent, any option"
        return
    for kind in NEURONS:
        if isinstance(module, kind):
            yield kind.__name__
    for layer in (BatchNorm, AvgPool2d):
        if isinstance(module, layer) and alone:
            yield layer.__name__
    group = isinstance(module, Sequential) and _has_group(module)
    if group:
        yield "BatchNorm and LIF"
    for child in module.children():
        yield from _kernels(child, not group)


def _usual(neuron: torch.nn.Module) -> bool:
    """Whether the short backward step is enough for a neuron that hears itself."""
    if isinstance(neuron, LIF | CubaLIF):
        return neuron.detach_reset and not neuron.refractory and not _learns(neuron, "threshold")
    return isinstance(neuron, LI)


def _learns(module: torch.nn.Module, name: str) -> bool:
    return any(name in parameter for parameter, _ in module.named_parameters())


def _has_group(layers: torch.nn.Sequential) -> bool:
    """Whether a norm stands before a LIF, a pool between them or not."""
    kinds = [type(layer) for layer in layers if type(layer) is not AvgPool2d]
    return any(issubclass(a, BatchNorm) and b is LIF for a, b in itertools.pairwise(kinds))
