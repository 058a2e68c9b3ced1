"""Batch norm and average pooling as layers of their own, with the arithmetic they have around a neuron.

On the CPU outputs are those of torch's operators bit for bit, and so are the gradients of pooling and, with the
channels first, of the norm; with the channels last its gradients are those of `gradient`, nearer to float64 than
torch's. Its operators write into new memory each time, which takes the system longer to hand out and to zero than they
compute. On a GPU the pool has torch's bits too, the norm those that it has around a neuron. Second derivatives are
torch's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.layout import Layout, array, prepare, runs_fused
from snnkit.kernels.memory import output_like
from snnkit.kernels.norm_lif.gradient import ROWS, in_rows, of_batch
from snnkit.kernels.norm_lif.gradient import takes as takes_gradient
from snnkit.kernels.norm_lif.op import Pool, image, takes
from snnkit.kernels.norm_lif.statistics import GPU_DTYPES, Norm, channels_for, kernels_for, rounds_once, values_in
from snnkit.kernels.operator import is_wrapped
from snnkit.kernels.state import state_dtype
from snnkit.kernels.threads import SHARES, run_blocks

DTYPES = {
    "cpu": (torch.float32, torch.float64, torch.bfloat16),
    "cuda": GPU_DTYPES,
}
"""Inputs that the kernels of a device take."""


def can_run(x: Tensor, on_gpu: bool = False) -> bool:
    """Whether the kernels here take x [T, B, C, …].

    Args:
        x: the input.
        on_gpu: there is one for GPUs too.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._len_torch_dispatch_stack():
        return False  # before sizes are asked for, which would become conditions of what is compiled
    if type(x) is not Tensor or is_wrapped(x) or x.layout != torch.strided or x.is_neg():
        return False
    if x.dtype not in DTYPES.get(x.device.type, ()) or not x.numel():
        return False
    return runs_fused(x, on_gpu) and takes(x)


def can_normalise(x: Tensor, *params: Tensor | None) -> bool:
    """`can_run`, and `batch_norm` gives on a CPU what torch's does, with parameters and running statistics [C]."""
    if not can_run(x, on_gpu=True):
        return False
    if any(v is not None and (v.dtype != state_dtype(x) or v.device != x.device) for v in params):
        return False
    if channels_for(x) is not None:
        return True
    flat, layout = prepare(x.detach(), low=True)
    return takes_gradient(flat, layout) and rounds_once(x.dtype == torch.bfloat16) is not None


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor | None, bias: Tensor | None, norm: Norm, once: bool) -> Tensor:
        flat, layout = prepare(x, low=True)
        scale, shift = norm.terms(gain, bias, once)
        gpu = channels_for(x)
        if gpu is not None:
            y = torch.empty_like(flat)
            gpu.normalise(values_in(gpu, flat, layout), scale, shift, y)
        else:
            y = output_like(flat)
            _normalise(flat, layout, scale, shift, once, y)
        ctx.norm, ctx.layout = norm, layout
        ctx.save_for_backward(x, gain)
        return layout.restore(y).detach()  # no view, so that it may be written in place

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,), (x, gain), norm = grads, ctx.saved_tensors, ctx.norm
        want = list(ctx.needs_input_grad[:3])
        if torch.is_grad_enabled() or is_wrapped(grad):
            images = x.flatten(0, 1).contiguous()  # torch misreads strides of dimensions of size 1
            found = torch.ops.aten.native_batch_norm_backward(
                grad.reshape(images.shape).contiguous(),
                images,
                gain,
                None,
                None,
                norm.mean,
                norm.rate,
                True,
                norm.eps,
                want,
            )
            found = (found[0].reshape(x.shape) if want[0] else None, *found[1:])
            return *(g if w else None for g, w in zip(found, want)), None, None
        flat = ctx.layout.flatten(x)
        g = ctx.layout.flatten(grad.to(x.dtype)).contiguous()
        gpu = channels_for(x)
        if gpu is not None:
            out = torch.empty_like(flat) if want[0] else None
            found = norm.on_gpu(gpu, g, flat, ctx.layout, gain, want, out)
        else:
            out = output_like(flat) if want[0] else None
            found = of_batch(g, flat, ctx.layout, norm.mean, norm.rate, gain, out)
        found = (None if out is None else ctx.layout.restore(out), *found[1:])
        return *(g if w else None for g, w in zip(found, want)), None, None


def _normalise(x: Tensor, layout: Layout, scale: Tensor, shift: Tensor, once: bool, y: Tensor) -> None:
    """y = scale·x + shift for x and y [T, M] on a CPU."""
    from snnkit.kernels.norm_lif import layers_cpu as cpu

    repeat = layout.channel_repeat
    rows, width = in_rows(x.numel(), len(scale), repeat)
    source, out = (array(v).reshape(rows, width) for v in (x, y))
    block = min(ROWS, -(-rows // (SHARES * torch.get_num_threads())))  # no value depends on it
    run_blocks(cpu.normalise, width, rows, source, array(scale), array(shift), repeat, once, out, block=block)


def batch_norm(x: Tensor, norm: Norm, gain: Tensor | None, bias: Tensor | None) -> Tensor:
    """(x − mean)·rate·gain + bias per channel of x [T, B, C, …] for which `can_normalise`; mean and rate are x's own.

    Args:
        gain, bias: [C]; None for 1 and 0.
    """
    once = channels_for(x) is not None or rounds_once(x.dtype == torch.bfloat16)  # as around a neuron
    assert once is not None
    return _BatchNorm.apply(x, gain, bias, norm, once)  # type: ignore[no-any-return]


class _AvgPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, pool: Pool) -> Tensor:
        flat, layout = prepare(x, low=True)
        small = layout.resized(pool.shape(x))
        ctx.layout, ctx.small, ctx.pool, ctx.window = layout, small, pool, image(layout, pool)
        y = kernels_for(x).average(ctx.window, flat, small.width)
        return small.restore(y).detach()  # no view, so that it may be written in place

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,), pool = grads, ctx.pool
        if torch.is_grad_enabled() or is_wrapped(grad):
            part = grad / (pool.height * pool.width)
            return part.repeat_interleave(pool.height, -2).repeat_interleave(pool.width, -1), None
        out = kernels_for(grad).share(ctx.window, ctx.small.flatten(grad).contiguous(), ctx.layout.width)
        return ctx.layout.restore(out), None


def average(x: Tensor, pool: Pool) -> Tensor:
    """Means over the windows of x [T, B, C, H, W] for which `can_run` (`on_gpu`), and which `pool` fits."""
    return _AvgPool.apply(x, pool)  # type: ignore[no-any-return]
