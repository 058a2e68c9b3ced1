"""Sequences in bfloat16 on the CPU: what the kernels read and write themselves is float32's result, rounded once."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from snnkit import nn as snn

from .options import random_state

NEURONS = ("LIF", "CubaLIF", "ALIF", "LinearLeakIF", "LI")


def both(layer: Any, x: Tensor, gradient: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Output, states and gradients of one pass in bfloat16 and in float32."""
    results = []
    for dtype in (torch.bfloat16, torch.float32):
        given = x.to(dtype).requires_grad_()
        state = random_state(layer, given)
        out, final = layer(given, state)
        inputs = [given, *(t for t in state if t.is_floating_point()), *layer.parameters()]
        results.append([out, *final, *torch.autograd.grad(out, inputs, gradient.to(out.dtype))])
    return results[0], results[1]


@pytest.mark.parametrize("neuron", NEURONS)
def test_it_is_float32_rounded_once(neuron: str) -> None:
    """Spikes, states and their gradients are equal, and those of parameters; that of x is rounded as torch does it."""
    torch.manual_seed(0)
    learn = {"learn_leak": True} if neuron == "LinearLeakIF" else {"learn_decay": True}
    layers = [getattr(snn, neuron)(shape=(300,), **learn)]
    if neuron != "LI":
        layers.append(getattr(snn, neuron)(shape=(300,), reset="subtract", detach_reset=False))
    for layer in layers:
        x = (torch.randn(20, 3, 300) * 0.8 + 0.2).bfloat16()
        found, expected = both(layer, x, torch.randn(x.shape).bfloat16())
        assert found[0].dtype == (torch.float32 if neuron == "LI" else torch.bfloat16)
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b.to(a.dtype))


def test_values_that_are_none() -> None:
    """Infinite and not a number, in input and gradient, and numbers halfway between two of bfloat16."""
    values = [math.nan, math.inf, -math.inf, 1.0, -0.0, 1e-40, -1e-40, 3.38e38, -3.38e38, 0.4, 1 + 2**-8, 1 + 3 * 2**-8]
    x = torch.tensor(values).repeat(3, 1, 1)
    gradient = torch.tensor(values).roll(1).repeat(3, 1, 1)
    for layer in (snn.LIF(), snn.LIF(reset="subtract", surrogate="triangle"), snn.CubaLIF(), snn.ALIF()):
        found, expected = both(layer, x.bfloat16(), gradient.bfloat16())
        assert expected[-1].isnan().any()
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b.to(a.dtype), rtol=0, atol=0, equal_nan=True)


class Conversions(TorchDispatchMode):
    """Counts the tensors that are made from others by changing their type."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "_to_copy" in str(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("neuron", NEURONS)
def test_no_copy_in_another_type(neuron: str) -> None:
    layer = getattr(snn, neuron)()
    plain, low = torch.randn(4, 2, 6), torch.randn(4, 2, 6).bfloat16()
    counts = []
    for x in (plain, low, plain.half()):
        with torch.no_grad(), Conversions() as watch:
            layer(x)
        counts.append(watch.count)
    assert counts[0] == counts[1] < counts[2]  # float16 has no kernel of its own on the CPU
