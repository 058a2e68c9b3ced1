"""Batch normalisation with the statistics of all processes: one all-reduce forward, one backward."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snnkit.kernels.state import state_dtype
from snnkit.nn.processes import add_up


class _Together(torch.autograd.Function):
    """y = (x − mean)·r·gain + bias with r = 1/√(var + eps), over the valid values of all processes.

    With ĝ = g·gain·r, x̂ = (x − mean)·r and n values: dx = ĝ − (Σ ĝ + x̂·Σ ĝ·x̂)/n at valid steps, ĝ elsewhere. The
    gradients of gain and bias are those of this process; DistributedDataParallel averages them.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gain: Tensor | None, bias: Tensor | None, mask: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        wide, dims, shape = _layout(x)
        valid = None if mask is None else mask.view(*mask.shape, *[1] * (x.dim() - 2))
        per_step = math.prod(x.shape[3:])
        if valid is None or mask is None:
            var, mean = torch.var_mean(wide, dims, correction=0)
            mean, var = mean.double(), var.double()
            count = torch.full((1,), x.shape[0] * x.shape[1] * per_step, dtype=torch.float64, device=x.device)
        else:
            counted = torch.where(valid, wide, 0.0)
            count = (mask.sum() * per_step).to(torch.float64).view(1)
            mean = counted.sum(dims).double() / count.clamp(min=1)
            apart = torch.where(valid, counted - mean.to(wide.dtype).view(shape), 0.0)
            var = apart.square().sum(dims).double() / count.clamp(min=1)
        # The sums are float64: Σ x² − (Σ x)²/n loses what float32 holds, where the mean is larger than the deviation.
        total = add_up(torch.cat([count, count * mean, count * (var + mean.square())]))
        n, (mean, square) = total[0], (total[1:] / total[0].clamp(min=1)).chunk(2)
        var = (square - mean.square()).clamp(min=0)
        rate = torch.rsqrt(var + eps)
        scale = rate if gain is None else rate * gain.double()
        shift = -mean * scale if bias is None else bias.double() - mean * scale
        scale, shift, mean32, rate = (v.to(wide.dtype) for v in (scale, shift, mean, rate))
        ctx.save_for_backward(x, mask, mean32, rate, scale, n.to(wide.dtype))
        ctx.has = (gain is not None, bias is not None)
        unbiased = var * (n / (n - 1).clamp(min=1))
        ctx.mark_non_differentiable(mean, unbiased)
        return (wide * scale.view(shape) + shift.view(shape)).to(x.dtype), mean, unbiased

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, mask, mean, rate, scale, n = ctx.saved_tensors
        wide, dims, shape = _layout(x)
        g = grad.to(wide.dtype)
        normal = (wide - mean.view(shape)) * rate.view(shape)
        valid, counted = None, g
        if mask is not None:
            valid = mask.view(*mask.shape, *[1] * (x.dim() - 2))
            counted, normal = torch.where(valid, g, 0.0), torch.where(valid, normal, 0.0)
        bias_grad, gain_grad = counted.sum(dims), (counted * normal).sum(dims)
        out = None
        if ctx.needs_input_grad[0]:
            total = add_up(torch.cat([bias_grad, gain_grad])) / n.clamp(min=1)
            first, second = (part.view(shape) for part in total.chunk(2))
            out = counted - first - normal * second
            if valid is not None:
                out = torch.where(valid, out, g)
            out = (out * scale.view(shape)).to(x.dtype)
        has_gain, has_bias = ctx.has
        return out, gain_grad if has_gain else None, bias_grad if has_bias else None, None, None


def _layout(x: Tensor) -> tuple[Tensor, list[int], list[int]]:
    """(x at least float32, all dimensions but the channels', shape of a value per channel)."""
    return x.to(state_dtype(x)), [d for d in range(x.dim()) if d != 2], [1, 1, -1] + [1] * (x.dim() - 3)


def normalise_together(
    x: Tensor, gain: Tensor | None, bias: Tensor | None, mask: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(y [T, B, C, …], mean [C], unbiased variance [C]) of x [T, B, C, …], the steps of mask [T, B] of all processes
    counting (None: all of this one's).

    Count, sum and sum of squares travel in one float64 tensor, and so on the way back the two sums of the gradient. The
    processes may have different T and B, and none of a process's values need count. Values and gradients equal those of
    one process with the whole batch up to float32's rounding (not bit for bit: the order of the sums differs); means
    and variances have the same bits in all processes. torch.compile leaves the function as it is.

    Source: the sums of Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1; over processes as torch.nn.SyncBatchNorm.
    """
    return _uncompiled()(x, gain, bias, mask, eps)  # type: ignore[no-any-return]


@functools.cache
def _uncompiled() -> Any:
    """The normalisation, hidden from torch.compile; made when first used, because that loads torch's compiler."""
    return torch.compiler.disable(_Together.apply)
