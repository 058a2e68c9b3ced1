"""The smooth reference, checked by finite differences; and the reference's hard spikes follow the same formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit import surrogate

from .options import CURVES, build, input_for, name_of, random_state


@pytest.mark.parametrize(("neuron", "case"), CURVES, ids=lambda v: v if isinstance(v, str) else name_of(v))
def test_gradients_are_those_of_finite_differences(neuron: str, case: dict[str, Any]) -> None:
    """Of outputs and final states with respect to input, initial state and parameters, in float64."""
    case = case | {"learn": "everything", "dtype": torch.float64, "features": (3,)}
    layer = build(neuron, case).double()
    layer.surrogate = surrogate.Smooth(layer.surrogate)
    x = input_for(case, steps=5, batch=2)
    state = random_state(layer, x)
    held = [t.requires_grad for t in state]
    names = [name for name, _ in layer.named_parameters()]
    fired = []

    def function(x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        given = iter(values)
        start = type(state)(*(next(given) if want else t for t, want in zip(state, held)))
        parameters = dict(zip(names, given))
        out, final = torch.func.functional_call(layer, parameters, (x, start))
        fired.append(out.detach())
        return (out, *(t for t in final if t.is_floating_point()))

    inputs = [x.requires_grad_(), *(t for t in state if t.requires_grad), *layer.parameters()]
    assert torch.autograd.gradcheck(function, inputs, eps=1e-7, atol=1e-6)
    assert ((fired[0] > 0) & (fired[0] < 0.99)).any()


@pytest.mark.parametrize("name", [n for n in surrogate.SURROGATES if surrogate.get(n).integral == 1])
def test_far_from_the_threshold_smooth_is_hard(name: str) -> None:
    """With a step's surrogate much narrower than any distance to the threshold both give the same spikes and states."""
    x = torch.tensor([0.25, 0.5, 1.5, 0.125, 1.25, 1.75]).view(-1, 1, 1).double()
    for reset in ("zero", "subtract"):
        for layer in (snn.LIF(decay=0.5, reset=reset), snn.ALIF(decay_mem=0.5, adaptation=0.0625, reset=reset)):
            hard, expected = layer(x, layer.initial_state(x))
            layer.surrogate = surrogate.Smooth(surrogate.get(name, 1e7))
            soft, state = layer(x, layer.initial_state(x))
            torch.testing.assert_close(soft, hard, rtol=0, atol=1e-5)
            torch.testing.assert_close(state.v, expected.v, rtol=0, atol=1e-4)
