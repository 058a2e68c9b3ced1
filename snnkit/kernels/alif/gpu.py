"""ALIF on the GPU: as LIF's kernels, with a threshold that is worked out anew at each step."""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from snnkit.kernels.tiles import (
    back,
    fire,
    initial,
    keep,
    many,
    parameter,
    settle,
)

_RUNTIME = ("groups", "steps", "refractory", "decay_count", "decay_repeat", "adapt_count", "adapt_repeat")
_RUNTIME += ("strength_count", "strength_repeat", "threshold_count", "threshold_repeat")


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x_ptr,
    v0_ptr,
    a0_ptr,
    wait0_ptr,
    decay_ptr,
    decay_count,
    decay_repeat,
    adapt_ptr,
    adapt_count,
    adapt_repeat,
    strength_ptr,
    strength_count,
    strength_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    s_ptr,
    v_ptr,
    a_ptr,
    wait_ptr,
    refractory: tl.int32,
    groups: tl.int64,
    steps: tl.int32,
    TO_ZERO: tl.constexpr,
    MASKED: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """x [T, M] → s [T, M], final v, a, wait [M] where wanted; v0, a0, wait0 [M], None for zeros. M = groups·WIDE."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    adapt = parameter(adapt_ptr, adapt_count, adapt_repeat, off, inside, NARROW)
    strength = parameter(strength_ptr, strength_count, strength_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    trace = initial(a0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    AHEAD: tl.constexpr = threshold_count is None  # else the parameters take the registers
    ahead = tl.load(x_ptr + off, mask=inside & (steps > 0), other=0.0)
    for t in range(steps):
        if AHEAD:
            x = ahead.to(DTYPE)
            ahead = tl.load(x_ptr + (t + 1) * width + off, mask=inside & (t + 1 < steps), other=0.0)
        else:
            x = tl.load(x_ptr + t * width + off, mask=inside, other=0.0).to(DTYPE)
        theta = threshold + strength * trace
        s, v, wait = fire(decay * v + x, v, wait, theta, refractory, TO_ZERO, MASKED)
        trace = adapt * trace + s
        tl.store(s_ptr + t * width + off, s.to(s_ptr.dtype.element_ty), mask=inside)
    if v_ptr is not None:
        tl.store(v_ptr + off, v, mask=inside)
        tl.store(a_ptr + off, trace, mask=inside)
    if wait_ptr is not None:
        tl.store(wait_ptr + off, wait, mask=inside)


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    x_ptr,
    v0_ptr,
    a0_ptr,
    wait0_ptr,
    decay_ptr,
    decay_count,
    decay_repeat,
    adapt_ptr,
    adapt_count,
    adapt_repeat,
    strength_ptr,
    strength_count,
    strength_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    kept_v_ptr,
    kept_a_ptr,
    kept_wait_ptr,
    grad_s_ptr,
    grad_v_ptr,
    grad_a_ptr,
    grad_x_ptr,
    grad_v0_ptr,
    grad_a0_ptr,
    grad_decay_ptr,
    grad_adapt_ptr,
    grad_strength_ptr,
    grad_threshold_ptr,
    refractory: tl.int32,
    peak: tl.float64,
    scale: tl.float64,
    groups: tl.int64,
    steps: tl.int32,
    KIND: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DETACH: tl.constexpr,
    MASKED: tl.constexpr,
    WHOLE: tl.constexpr,
    STEPS: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of `forward`, left out where None; kept_v, kept_a, kept_wait [⌈T / STEPS⌉, M] are room for the
    chunks' states, None for a sequence of one chunk. WHOLE: T is a multiple of STEPS."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    adapt = parameter(adapt_ptr, adapt_count, adapt_repeat, off, inside, NARROW)
    strength = parameter(strength_ptr, strength_count, strength_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    peaks = tl.full((BLOCK,), peak, DTYPE)
    scales = tl.full((BLOCK,), scale, DTYPE)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    trace = initial(a0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    chunks = (steps + STEPS - 1) // STEPS
    if kept_v_ptr is not None:
        tl.store(kept_v_ptr + off, v, mask=inside)
        tl.store(kept_a_ptr + off, trace, mask=inside)
        if MASKED:
            tl.store(kept_wait_ptr + off, wait, mask=inside)
        for c in range(1, chunks):
            for k in tl.static_range(STEPS):
                x = tl.load(x_ptr + ((c - 1) * STEPS + k) * width + off, mask=inside, other=0.0).to(DTYPE)
                theta = threshold + strength * trace
                s, v, wait = fire(decay * v + x, v, wait, theta, refractory, TO_ZERO, MASKED)
                trace = adapt * trace + s
            tl.store(kept_v_ptr + c * width + off, v, mask=inside)
            tl.store(kept_a_ptr + c * width + off, trace, mask=inside)
            if MASKED:
                tl.store(kept_wait_ptr + c * width + off, wait, mask=inside)
        tl.debug_barrier()  # the threads that read it back need not be those that wrote it
    grad_v = initial(grad_v_ptr, off, inside, BLOCK, DTYPE)
    grad_a = initial(grad_a_ptr, off, inside, BLOCK, DTYPE)
    nothing = tl.full((BLOCK,), 0, DTYPE)
    grad_decay, grad_adapt, grad_strength, grad_threshold = nothing, nothing, nothing, nothing
    for j in range(chunks):
        first = (chunks - 1 - j) * STEPS
        if kept_v_ptr is not None:
            v = tl.load(kept_v_ptr + (chunks - 1 - j) * width + off, mask=inside, other=0.0)
            trace = tl.load(kept_a_ptr + (chunks - 1 - j) * width + off, mask=inside, other=0.0)
            if MASKED:
                wait = tl.load(kept_wait_ptr + (chunks - 1 - j) * width + off, mask=inside, other=0)
        start = v
        us, traces = (), ()
        actives = tl.full((BLOCK,), 0, tl.int32)  # bit k: whether step k of the chunk was active
        for k in tl.static_range(STEPS):
            here = inside if WHOLE else inside & (first + k < steps)
            x = tl.load(x_ptr + (first + k) * width + off, mask=here, other=0.0).to(DTYPE)
            traces = traces + (trace,)  # before the step
            u = decay * v + x
            if MASKED:
                u = tl.where(wait == 0, u, v)
                actives = actives | ((wait == 0).to(tl.int32) << k)
            us = us + (u,)
            s, v, wait = fire(u, v, wait, threshold + strength * trace, refractory, TO_ZERO, MASKED)
            trace = adapt * trace + s
        for n in tl.static_range(STEPS - 1, -1, -1):
            valid = True if WHOLE else first + n < steps
            here = inside if WHOLE else inside & valid
            grad_s = tl.load(grad_s_ptr + (first + n) * width + off, mask=here, other=0.0).to(DTYPE)
            active = ((actives >> n) & 1) != 0
            theta = threshold + strength * traces[n]
            grad_u, before, grad_theta = back(  # a spike is seen, and raises the threshold of later steps
                grad_s + grad_a, us[n], active, theta, decay, peaks, scales, grad_v, nothing,
                KIND, TO_ZERO, DETACH, MASKED, True,
            )  # fmt: skip
            tl.store(grad_x_ptr + (first + n) * width + off, grad_u.to(grad_x_ptr.dtype.element_ty), mask=here)
            if grad_decay_ptr is not None:
                if n == 0:
                    last = start
                else:
                    theta = threshold + strength * traces[n - 1]
                    last = settle(us[n - 1], ((actives >> (n - 1)) & 1) != 0, theta, TO_ZERO, MASKED)
                grad_decay = keep(valid, grad_decay + grad_u * last, grad_decay, WHOLE)
            if grad_adapt_ptr is not None:
                grad_adapt = keep(valid, grad_adapt + grad_a * traces[n], grad_adapt, WHOLE)
            if grad_strength_ptr is not None:
                grad_strength = keep(valid, grad_strength + grad_theta * traces[n], grad_strength, WHOLE)
            if grad_threshold_ptr is not None:
                grad_threshold = keep(valid, grad_threshold + grad_theta, grad_threshold, WHOLE)
            grad_a = keep(valid, adapt * grad_a + strength * grad_theta, grad_a, WHOLE)
            grad_v = keep(valid, before, grad_v, WHOLE)
    if grad_v0_ptr is not None:
        tl.store(grad_v0_ptr + off, grad_v, mask=inside)
    if grad_a0_ptr is not None:
        tl.store(grad_a0_ptr + off, grad_a, mask=inside)
    if grad_decay_ptr is not None:
        tl.store(grad_decay_ptr + off, grad_decay, mask=inside)
    if grad_adapt_ptr is not None:
        tl.store(grad_adapt_ptr + off, grad_adapt, mask=inside)
    if grad_strength_ptr is not None:
        tl.store(grad_strength_ptr + off, grad_strength, mask=inside)
    if grad_threshold_ptr is not None:
        tl.store(grad_threshold_ptr + off, grad_threshold, mask=inside)


def halves(values: list[Tensor], learned: list[Tensor], masked: bool) -> int:
    """How often the chunks of the backward pass are halved, so that its registers suffice."""
    return 2 if learned else int(masked or many(values))
