"""The spike: a step in the forward pass, the surrogate in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from snnkit.surrogate.base import Surrogate


def _step(d: Tensor) -> Tensor:
    return torch.where(d == d, (d >= 0).to(d.dtype), d)  # not a number stays visible


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, d: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(d)
        ctx.surrogate = surrogate
        return _step(d)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (d,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate.derivative(d), None


class _TransformedSpike(torch.autograd.Function):
    """The same for torch.func and forward-mode differentiation; torch.compile does not take a function with a jvp."""

    generate_vmap_rule = True

    @staticmethod
    def forward(d: Tensor, surrogate: Surrogate) -> Tensor:
        return _step(d)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        d, ctx.surrogate = inputs
        ctx.save_for_backward(d)
        ctx.save_for_forward(d)

    backward = staticmethod(_Spike.backward)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (d,) = ctx.saved_tensors
        return tangents[0] * ctx.surrogate.derivative(d)


def transformed() -> bool:
    """Whether this runs inside torch.func (vmap, grad, jvp, …) or forward-mode differentiation."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def spike(d: Tensor, surrogate: Surrogate) -> Tensor:
    """s = [d ≥ 0] as 0 or 1 in the dtype of `d` (any shape); ∂s/∂d := surrogate.derivative(d).

    Where d is not a number neither is s. With `Smooth`, s = surrogate.ramp(d).
    """
    if surrogate.smooth:
        return surrogate.ramp(d)
    return (_TransformedSpike if transformed() else _Spike).apply(d, surrogate)
