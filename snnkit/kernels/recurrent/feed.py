"""A matrix that spikes come in through, in front of a recurrent layer: its gradient by sums where spikes are few.

The product is torch's own, with its bits, and so is all of it where the input is no spikes, or has many. On a GPU the
product is as fast, and whether it would be is not known there without waiting.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.kernels.layout import runs_fused
from snnkit.kernels.operator import is_wrapped


class _Feed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, active: float) -> Tensor:
        ctx.active = active
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (x, weight), want = grads, ctx.saved_tensors, ctx.needs_input_grad
        from snnkit.kernels.recurrent import gather

        g, s = grad.flatten(0, -2), x.flatten(0, -2)
        of_weight = None
        if want[1]:
            plain = torch.is_grad_enabled() or is_wrapped(grad)  # operations that have derivatives, for several at once
            of_weight = g.t() @ s if plain else gather.product(g.contiguous(), s, ctx.active)
        return grad @ weight if want[0] else None, of_weight, g.sum(0) if want[2] else None, None


def feed(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """W·x[t] + b for x [T, B, K] of few spikes, zeros and ones, whose gradient with respect to W costs less; None where
    it would not.

    Args:
        x: the input.
        weight: W [N, K].
        bias: b [N].
    """
    if torch._C._len_torch_dispatch_stack():  # something looks at operations
        return None
    dtypes = {part.dtype for part in (x, weight, bias) if part is not None}
    if type(x) is not Tensor or is_wrapped(x) or not runs_fused(x) or len(dtypes) > 1 or x.dim() != 3:
        return None
    if x.dtype not in (torch.float32, torch.float64) or not x.is_contiguous() or torch.is_autocast_enabled("cpu"):
        return None
    if not (torch.is_grad_enabled() and weight.requires_grad) or weight.device.type != "cpu":
        return None
    from snnkit.kernels.recurrent import gather  # numba comes with it

    if weight.shape[0] < gather.FEWEST or x.shape[2] != weight.shape[1] or not x.numel():
        return None
    active = gather.spikes(x.detach().flatten(0, 1))
    return None if active > gather.MOST_ACTIVE else _Feed.apply(x, weight, bias, active)  # type: ignore[no-any-return]
