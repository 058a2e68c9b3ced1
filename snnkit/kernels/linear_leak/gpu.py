"""LinearLeakIF on the GPU: as LIF's kernels, with a constant leak and a floor."""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from snnkit.kernels.tiles import back, fire, initial, keep, many, parameter, settle

_RUNTIME = ("groups", "steps", "leak_count", "leak_repeat", "threshold_count", "threshold_repeat")
_RUNTIME += ("floor_count", "floor_repeat")


@triton.jit
def _leak(u, leak, REVERSES: tl.constexpr):
    """u + leak, away from 0 where it REVERSES (towards 0 for a negative leak)."""
    if REVERSES:
        return u + tl.where(u > 0.0, leak, tl.where(u < 0.0, -leak, 0.0))
    else:
        return u + leak


@triton.jit
def _hold(v, bottom, HELD: tl.constexpr):
    """v, not below the bottom where there is one."""
    return tl.where(v < bottom, bottom, v) if HELD else v


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x_ptr,
    v0_ptr,
    leak_ptr,
    leak_count,
    leak_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    floor_ptr,
    floor_count,
    floor_repeat,
    s_ptr,
    v_ptr,
    groups: tl.int64,
    steps: tl.int32,
    REVERSES: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """x [T, M] → s [T, M], final v [M] where wanted; v0 [M], None for zeros; floor None for none. M = groups·WIDE."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    HELD: tl.constexpr = floor_ptr is not None
    leak = parameter(leak_ptr, leak_count, leak_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    bottom = -parameter(floor_ptr, floor_count, floor_repeat, off, inside, NARROW) if HELD else 0.0
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    ahead = tl.load(x_ptr + off, mask=inside & (steps > 0), other=0.0)
    for t in range(steps):
        x = ahead.to(DTYPE)
        ahead = tl.load(x_ptr + (t + 1) * width + off, mask=inside & (t + 1 < steps), other=0.0)
        s, v, _ = fire(_leak(v + x, leak, REVERSES), v, v, threshold, 0, TO_ZERO, False)
        v = _hold(v, bottom, HELD)
        tl.store(s_ptr + t * width + off, s.to(s_ptr.dtype.element_ty), mask=inside)
    if v_ptr is not None:
        tl.store(v_ptr + off, v, mask=inside)


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    x_ptr,
    v0_ptr,
    leak_ptr,
    leak_count,
    leak_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    floor_ptr,
    floor_count,
    floor_repeat,
    kept_v_ptr,
    grad_s_ptr,
    grad_v_ptr,
    grad_x_ptr,
    grad_v0_ptr,
    grad_leak_ptr,
    grad_threshold_ptr,
    peak: tl.float64,
    scale: tl.float64,
    groups: tl.int64,
    steps: tl.int32,
    KIND: tl.constexpr,
    REVERSES: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DETACH: tl.constexpr,
    WHOLE: tl.constexpr,
    STEPS: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of `forward`, left out where None; kept_v [⌈T / STEPS⌉, M] is room for the chunks' states, None for a
    sequence of one chunk. WHOLE: T is a multiple of STEPS."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    HELD: tl.constexpr = floor_ptr is not None
    SIGNED: tl.constexpr = REVERSES and grad_leak_ptr is not None
    leak = parameter(leak_ptr, leak_count, leak_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    bottom = -parameter(floor_ptr, floor_count, floor_repeat, off, inside, NARROW) if HELD else 0.0
    peaks = tl.full((BLOCK,), peak, DTYPE)
    scales = tl.full((BLOCK,), scale, DTYPE)
    ones = tl.full((BLOCK,), 1, DTYPE)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    chunks = (steps + STEPS - 1) // STEPS
    if kept_v_ptr is not None:
        tl.store(kept_v_ptr + off, v, mask=inside)
        for c in range(1, chunks):
            for k in tl.static_range(STEPS):
                x = tl.load(x_ptr + ((c - 1) * STEPS + k) * width + off, mask=inside, other=0.0).to(DTYPE)
                _, v, _ = fire(_leak(v + x, leak, REVERSES), v, v, threshold, 0, TO_ZERO, False)
                v = _hold(v, bottom, HELD)
            tl.store(kept_v_ptr + c * width + off, v, mask=inside)
        tl.debug_barrier()  # the threads that read it back need not be those that wrote it
    grad_v = initial(grad_v_ptr, off, inside, BLOCK, DTYPE)
    grad_leak = tl.full((BLOCK,), 0, DTYPE)
    grad_threshold = tl.full((BLOCK,), 0, DTYPE)
    for j in range(chunks):
        first = (chunks - 1 - j) * STEPS
        if kept_v_ptr is not None:
            v = tl.load(kept_v_ptr + (chunks - 1 - j) * width + off, mask=inside, other=0.0)
        us, signs = (), ()
        for k in tl.static_range(STEPS):
            here = inside if WHOLE else inside & (first + k < steps)
            x = tl.load(x_ptr + (first + k) * width + off, mask=here, other=0.0).to(DTYPE)
            u = v + x
            if SIGNED:
                signs = signs + (tl.where(u > 0.0, ones, tl.where(u < 0.0, -ones, 0.0)),)
            u = _leak(u, leak, REVERSES)
            us = us + (u,)
            _, v, _ = fire(u, v, v, threshold, 0, TO_ZERO, False)
            v = _hold(v, bottom, HELD)
        for n in tl.static_range(STEPS - 1, -1, -1):
            valid = True if WHOLE else first + n < steps
            here = inside if WHOLE else inside & valid
            grad_s = tl.load(grad_s_ptr + (first + n) * width + off, mask=here, other=0.0).to(DTYPE)
            grad_held = grad_v
            if HELD:  # half where both are equal, as torch.maximum has it
                after = settle(us[n], None, threshold, TO_ZERO, False)
                grad_held = grad_v * tl.where(after < bottom, 0.0, tl.where(after == bottom, 0.5, ones))
            grad_u, before, of_threshold = back(
                grad_s, us[n], None, threshold, ones, peaks, scales, grad_held, grad_threshold,
                KIND, TO_ZERO, DETACH, False, grad_threshold_ptr is not None,
            )  # fmt: skip
            tl.store(grad_x_ptr + (first + n) * width + off, grad_u.to(grad_x_ptr.dtype.element_ty), mask=here)
            if grad_leak_ptr is not None:
                grad_leak = keep(valid, grad_leak + (grad_u * signs[n] if SIGNED else grad_u), grad_leak, WHOLE)
            grad_v = keep(valid, before, grad_v, WHOLE)
            grad_threshold = keep(valid, of_threshold, grad_threshold, WHOLE)
    if grad_v0_ptr is not None:
        tl.store(grad_v0_ptr + off, grad_v, mask=inside)
    if grad_leak_ptr is not None:
        tl.store(grad_leak_ptr + off, grad_leak, mask=inside)
    if grad_threshold_ptr is not None:
        tl.store(grad_threshold_ptr + off, grad_threshold, mask=inside)


def halves(values: list[Tensor], learned: list[Tensor], masked: bool) -> int:
    """How often the chunks of the backward pass are halved, so that its registers suffice."""
    return (learned != []) + many(learned)
