"""Which of snnkit's own layers a neuron made from a step is, where that step is one of snnkit's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from snnkit.errors import ParameterError
from snnkit.kernels import alif, cubalif, li, lif, linear_leak
from snnkit.nn.neurons.alif import ALIF
from snnkit.nn.neurons.base import Neuron
from snnkit.nn.neurons.cubalif import CubaLIF
from snnkit.nn.neurons.li import LI
from snnkit.nn.neurons.lif import LIF
from snnkit.nn.neurons.linear_leak import LinearLeakIF
from snnkit.nn.neurons.own import OwnNeuron


def _firing(p: lif.LIFParams) -> dict[str, Any]:
    return {
        "threshold": p.threshold,
        "reset": "zero" if p.reset_to_zero else "subtract",
        "detach_reset": p.detach_reset,
        "refractory": p.refractory,
        "surrogate": p.surrogate,
    }


def _linear_leak(p: linear_leak.LinearLeakIFParams) -> Neuron:
    firing = {"reset": "zero" if p.reset_to_zero else "subtract", "detach_reset": p.detach_reset}
    return LinearLeakIF(p.leak, p.reverses, p.threshold, p.floor, surrogate=p.surrogate, **firing)  # type: ignore[arg-type]


_OURS: dict[Any, Callable[[Any], Neuron]] = {
    lif.step: lambda p: LIF(decay=p.decay, **_firing(p)),
    cubalif.step: lambda p: CubaLIF(decay_syn=p.decay_syn, decay_mem=p.lif.decay, **_firing(p.lif)),
    alif.step: lambda p: ALIF(
        decay_mem=p.lif.decay, decay_adapt=p.decay_adapt, adaptation=p.adaptation, **_firing(p.lif)
    ),
    li.step: lambda p: LI(decay=p.decay),
    linear_leak.step: _linear_leak,
}


def as_built_in(neuron: Neuron) -> Neuron:
    """The layer of snnkit that computes the same, with the present values; the neuron itself where there is none.

    That needs one of snnkit's own steps, parameters of its kind, and a start at rest.
    """
    if type(neuron) is not OwnNeuron:
        return neuron
    try:
        build = _OURS.get(neuron.function)
        if build is None:
            return neuron
        with torch.no_grad():
            ours = build(neuron.values.filled(neuron.value))
            x = torch.zeros(1, 1, 1)
            start, rest = neuron.initial_state(x), ours.initial_state(x)
    except (ParameterError, AttributeError, TypeError):
        return neuron
    same = type(start) is type(rest) and all(bool((a == b).all()) for a, b in zip(start, rest, strict=True))
    return ours if same else neuron
