"""LI on the GPU: the whole sequence in one pass over memory in each direction."""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.tiles import initial, parameter

_RUNTIME = ("groups", "steps", "decay_count", "decay_repeat")


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x_ptr,
    v0_ptr,
    decay_ptr,
    decay_count,
    decay_repeat,
    out_ptr,
    groups: tl.int64,
    steps: tl.int32,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """x [T, M] → out [T, M], the membrane at each step; v0 [M], None for zeros. M = groups·WIDE."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    ahead = tl.load(x_ptr + off, mask=inside & (steps > 0), other=0.0)
    for t in range(steps):
        x = ahead.to(DTYPE)
        ahead = tl.load(x_ptr + (t + 1) * width + off, mask=inside & (t + 1 < steps), other=0.0)
        v = decay * v + x
        tl.store(out_ptr + t * width + off, v, mask=inside)


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    out_ptr,
    v0_ptr,
    decay_ptr,
    decay_count,
    decay_repeat,
    grad_out_ptr,
    grad_x_ptr,
    grad_v0_ptr,
    grad_decay_ptr,
    groups: tl.int64,
    steps: tl.int32,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of `forward` from its output; grad_v0 and grad_decay [M] are left out where None."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    grad_v = tl.full((BLOCK,), 0, DTYPE)
    grad_decay = tl.full((BLOCK,), 0, DTYPE)
    ahead = tl.load(grad_out_ptr + (steps - 1) * width + off, mask=inside & (steps > 0), other=0.0)
    for i in range(steps):
        t = steps - 1 - i
        grad_x = ahead + grad_v
        ahead = tl.load(grad_out_ptr + (t - 1) * width + off, mask=inside & (t > 0), other=0.0)
        grad_v = decay * grad_x
        if grad_decay_ptr is not None:
            before = tl.load(out_ptr + (t - 1) * width + off, mask=inside & (t > 0), other=0.0)
            if v0_ptr is not None:
                before = tl.where(t > 0, before, tl.load(v0_ptr + off, mask=inside & (t == 0), other=0.0))
            grad_decay = grad_decay + grad_x * before
        tl.store(grad_x_ptr + t * width + off, grad_x, mask=inside)
    if grad_v0_ptr is not None:
        tl.store(grad_v0_ptr + off, grad_v, mask=inside)
    if grad_decay_ptr is not None:
        tl.store(grad_decay_ptr + off, grad_decay, mask=inside)
