"""Batch normalisation by the values that count: of valid steps, and of all processes by one all-reduce each way."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snnkit.errors import UsageError
from snnkit.kernels.norm_lif.counted import Counted, lies
from snnkit.kernels.norm_lif.statistics import channels_for
from snnkit.kernels.operator import is_wrapped
from snnkit.kernels.state import state_dtype


def masked(
    x: Tensor, gain: Tensor | None, bias: Tensor | None, mask: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(y, mean [C], unbiased variance [C]) of x [N, C, …], of which mask [N] count (None: all), in plain operations.

    What torch.compile, torch.func and second derivatives see; its sums are the input's own precision's.
    """
    wide = x.to(state_dtype(x))
    shape, dims = [1, -1] + [1] * (x.dim() - 2), [0, *range(2, x.dim())]
    if mask is None:
        mask = torch.ones(x.shape[:1], dtype=torch.bool, device=x.device)
    valid = mask.view(-1, *[1] * (x.dim() - 1))
    counted = torch.where(valid, wide, 0.0)
    count = (mask.sum() * x.shape[2:].numel()).to(wide.dtype)
    mean = counted.sum(dims) / count.clamp(min=1)
    var = torch.where(valid, counted - mean.view(shape), 0.0).square().sum(dims) / count.clamp(min=1)
    scale = torch.rsqrt(var + eps)
    if gain is not None:
        scale = scale * gain
    shift = -mean * scale if bias is None else bias - mean * scale
    wide_scale, wide_shift = scale.view(shape), shift.view(shape)
    # The steps that do not count get the same values on a way of their own: 0·NaN would spoil the gradients.
    beyond = wide * wide_scale.detach() + wide_shift.detach()
    y = torch.where(valid, counted * wide_scale + wide_shift, beyond).to(x.dtype)
    return y, mean, var * (count / (count - 1).clamp(min=1))


class _Alone(torch.autograd.Function):
    """y = scale·x + shift, and the gradients of x [T, B, C, …], gain and bias, by a `Counted`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor | None, bias: Tensor | None, norm: Counted, eps: float) -> Tensor:
        ctx.norm, ctx.eps = norm, eps
        ctx.save_for_backward(x, gain, bias)
        scale, shift = (v.view(-1, *[1] * (x.dim() - 3)) for v in norm.terms(gain, bias))
        y = torch.empty_like(x, dtype=scale.dtype)  # laid out as x: one image too, whose strides operations make up
        return torch.mul(x.to(scale.dtype), scale, out=y).add_(shift).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, bias = ctx.saved_tensors
        want, (grad,) = ctx.needs_input_grad[:3], grads
        if is_wrapped(grad) and ctx.norm.add_up is not None:
            raise UsageError(
                "gradients of a norm of several processes for several outputs at once are not available",
                why="the processes add up one gradient of its output at a time",
                fix="take them one after the other (vectorize=False, is_grads_batched=False)",
            )
        if torch.is_grad_enabled() or is_wrapped(grad):
            return *_plainly(grad, (x, gain, bias), want, ctx.norm.mask, ctx.eps), None, None
        flat = dense(x)
        free = torch.empty_like(flat).copy_(grad.flatten(0, 1))
        found, *others = ctx.norm.of_images(free, flat, gain, want)
        return None if found is None else found.unflatten(0, x.shape[:2]), *others, None, None


class _Together(_Alone):
    """The same with sums over processes, which have one derivative."""

    backward = staticmethod(once_differentiable(_Alone.backward))  # type: ignore[assignment]


def _plainly(
    grad: Tensor,
    inputs: tuple[Tensor, Tensor | None, Tensor | None],
    want: Sequence[bool],
    mask: Tensor | None,
    eps: float,
) -> list[Tensor | None]:
    """Gradients that have derivatives themselves."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        x, gain, bias = inputs
        y = masked(x.flatten(0, 1), gain, bias, mask, eps)[0].unflatten(0, x.shape[:2])
        wanted = [v for v, wish in zip(inputs, want) if wish and v is not None]
        found = iter(torch.autograd.grad(y, wanted, grad, create_graph=again))
    return [next(found) if wish else None for wish in want]


def dense(x: Tensor) -> Tensor:
    """x [T, B, C, …] as [N, C, …], its memory such as a `Counted` takes."""
    flat = x.flatten(0, 1)
    gpu = channels_for(flat)
    if gpu is not None:
        return flat if gpu.lies(flat) else flat.contiguous()
    return flat if flat.device.type != "cpu" or lies(flat) else flat.contiguous()


def normalise(x: Tensor, gain: Tensor | None, bias: Tensor | None, norm: Counted, eps: float) -> Tensor:
    """y of x [T, B, C, …], for which `norm` was found.

    Values and gradients over several processes equal those of one process with the whole batch up to float32's rounding
    (not bit for bit: the order of the sums differs).

    Source: the sums of Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1; over processes as torch.nn.SyncBatchNorm.
    """
    kind = _Alone if norm.add_up is None else _Together
    return kind.apply(x, gain, bias, norm, eps)  # type: ignore[no-any-return]


@functools.cache
def uncompiled(function: Any) -> Any:
    """The function, hidden from torch.compile; made when first used, because that loads torch's compiler."""
    return torch.compiler.disable(function)
