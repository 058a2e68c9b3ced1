"""The spike: a step in the forward pass, the surrogate in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.surrogate.base import Surrogate


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, d: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(d)
        ctx.surrogate = surrogate
        return (d >= 0).to(d.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (d,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate.derivative(d), None


def spike(d: Tensor, surrogate: Surrogate) -> Tensor:
    """s = [d ≥ 0] as 0 or 1 in the dtype of `d` (any shape); ∂s/∂d := surrogate.derivative(d)."""
    return _Spike.apply(d, surrogate)
