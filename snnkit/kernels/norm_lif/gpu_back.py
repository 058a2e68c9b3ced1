"""Norm, LIF and pool on the GPU, backward: recomputes from the norm's input, as LIF's own kernel does.

A tile is BLOCK neurons: those behind the norm, which look up their window's gradient; BEFORE: those behind the pool.
"""

# mypy: disable-error-code="no-untyped-def,assignment,misc"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.norm_lif.gpu import RUNTIME
from snnkit.kernels.norm_lif.windows import (
    affine,
    first_pixel,
    first_pixels,
    pool_step,
    share,
    spread,
    spread_load,
    window,
)
from snnkit.kernels.tiles import back, fire, initial, keep, parameter, settle


@triton.jit(do_not_specialize=RUNTIME)
def backward(
    x_ptr,
    scale_ptr,
    shift_ptr,
    channels,
    repeat,
    v0_ptr,
    wait0_ptr,
    decay_ptr,
    decay_count,
    decay_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    kept_v_ptr,
    kept_wait_ptr,
    grad_s_ptr,
    grad_v_ptr,
    grad_y_ptr,
    grad_v0_ptr,
    grad_decay_ptr,
    grad_threshold_ptr,
    short,
    inner,
    refractory: tl.int32,
    peak: tl.float64,
    scaling: tl.float64,
    groups: tl.int64,
    steps: tl.int32,
    KIND: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DETACH: tl.constexpr,
    MASKED: tl.constexpr,
    ONCE: tl.constexpr,
    BEFORE: tl.constexpr,
    HIGH: tl.constexpr,
    ACROSS: tl.constexpr,
    PAIRS: tl.constexpr,
    WHOLE: tl.constexpr,
    STEPS: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of `forward` with respect to what the norm gives, grad_y [T, M], and to state and parameters of the
    neurons, left out where None. Neurons: groups·WIDE. Rooms, WHOLE and STEPS: as in LIF's `backward`."""
    SIZE: tl.constexpr = HIGH * ACROSS
    TILE: tl.constexpr = 2 * BLOCK if BEFORE and PAIRS else BLOCK
    width = groups.to(tl.int64) * WIDE  # of the neurons
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    if short is not None:
        short = short.to(tl.int64) * WIDE
    if inner is not None:
        inner = inner.to(tl.int64) * WIDE
    line = 0 if short is None else short * ACROSS
    step = 1 if inner is None else inner
    pixels, pooled = width, width  # of a step
    if BEFORE:
        pixels = width * SIZE
    else:
        pooled = groups.to(tl.int64) // SIZE * WIDE  # a row of windows is a multiple of WIDE
    if BEFORE and PAIRS:
        at = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
        there = at < 2 * width
        at = first_pixels(at, short, HIGH, NARROW)
    elif BEFORE:
        there = inside
        at = first_pixel(off, short, inner, HIGH, ACROSS, NARROW)
    else:
        there = inside
        at = off
    if BEFORE or SIZE == 1:
        p = off
        heard = inside
    elif PAIRS:
        pair = tl.program_id(0).to(tl.int64) * (BLOCK // 2) + tl.arange(0, BLOCK // 2)
        heard = pair < width // 2
        p = window(pair, short, inner, HIGH, 1, NARROW)
    else:
        heard = inside
        p = window(off, short, inner, HIGH, ACROSS, NARROW)
    scale = spread(scale_ptr, channels, repeat, at, there, NARROW)
    shift = spread(shift_ptr, channels, repeat, at, there, NARROW)
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    peaks = tl.full((BLOCK,), peak, DTYPE)
    scales = tl.full((BLOCK,), scaling, DTYPE)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    chunks = (steps + STEPS - 1) // STEPS
    if kept_v_ptr is not None:
        tl.store(kept_v_ptr + off, v, mask=inside)
        if MASKED:
            tl.store(kept_wait_ptr + off, wait, mask=inside)
        for c in range(1, chunks):
            for k in tl.static_range(STEPS):
                x_row = x_ptr + ((c - 1) * STEPS + k) * pixels
                if BEFORE:
                    x = pool_step(x_row, at, there, scale, shift, line, step, ONCE, HIGH, ACROSS, PAIRS, DTYPE, BLOCK)
                else:
                    x = affine(tl.load(x_row + at, mask=there, other=0.0), scale, shift, ONCE, DTYPE)
                _, v, wait = fire(decay * v + x, v, wait, threshold, refractory, TO_ZERO, MASKED)
            tl.store(kept_v_ptr + c * width + off, v, mask=inside)
            if MASKED:
                tl.store(kept_wait_ptr + c * width + off, wait, mask=inside)
        tl.debug_barrier()  # the threads that read it back need not be those that wrote it
    grad_v = initial(grad_v_ptr, off, inside, BLOCK, DTYPE)
    grad_decay = tl.full((BLOCK,), 0, DTYPE)
    grad_threshold = tl.full((BLOCK,), 0, DTYPE)
    for j in range(chunks):
        first = (chunks - 1 - j) * STEPS
        if kept_v_ptr is not None:
            v = tl.load(kept_v_ptr + (chunks - 1 - j) * width + off, mask=inside, other=0.0)
            if MASKED:
                wait = tl.load(kept_wait_ptr + (chunks - 1 - j) * width + off, mask=inside, other=0)
        start = v
        us = ()
        actives = tl.full((BLOCK,), 0, tl.int32)  # bit k: whether step k of the chunk was active
        for k in tl.static_range(STEPS):
            here = there if WHOLE else there & (first + k < steps)
            x_row = x_ptr + (first + k) * pixels
            if BEFORE:
                x = pool_step(x_row, at, here, scale, shift, line, step, ONCE, HIGH, ACROSS, PAIRS, DTYPE, BLOCK)
            else:
                x = affine(tl.load(x_row + at, mask=here, other=0.0), scale, shift, ONCE, DTYPE)
            u = decay * v + x
            if MASKED:
                u = tl.where(wait == 0, u, v)
                actives = actives | ((wait == 0).to(tl.int32) << k)
            us = us + (u,)
            _, v, wait = fire(u, v, wait, threshold, refractory, TO_ZERO, MASKED)
        for n in tl.static_range(STEPS - 1, -1, -1):
            valid = True if WHOLE else first + n < steps
            if BEFORE:
                grad_s = tl.load(
                    grad_s_ptr + (first + n) * pooled + p, mask=heard if WHOLE else heard & valid, other=0.0
                ).to(DTYPE)
            else:
                grad_s = spread_load(
                    grad_s_ptr + (first + n) * pooled, p, heard if WHOLE else heard & valid,
                    PAIRS and SIZE > 1, SIZE, DTYPE,
                )  # fmt: skip
            active = ((actives >> n) & 1) != 0
            grad_u, before, of_threshold = back(
                grad_s, us[n], active, threshold, decay, peaks, scales, grad_v, grad_threshold,
                KIND, TO_ZERO, DETACH, MASKED, grad_threshold_ptr is not None,
            )  # fmt: skip
            here = there if WHOLE else there & valid
            grad_row = grad_y_ptr + (first + n) * pixels
            if BEFORE:
                part = grad_u.to(grad_y_ptr.dtype.element_ty).to(DTYPE)  # the neuron gives it to the pool so
                part = share(part, SIZE, DTYPE).to(grad_y_ptr.dtype.element_ty)
                part = tl.interleave(part, part) if PAIRS else part
                for k in tl.static_range(SIZE // (2 if PAIRS else 1)):
                    r, q = (k, 0) if PAIRS else (k // ACROSS, k % ACROSS)
                    tl.store(grad_row + (at + (r * line + q * step)), part, mask=here)
            else:
                tl.store(grad_row + at, grad_u.to(grad_y_ptr.dtype.element_ty), mask=here)
            if grad_decay_ptr is not None:
                if n == 0:
                    last = start
                else:
                    last = settle(us[n - 1], ((actives >> (n - 1)) & 1) != 0, threshold, TO_ZERO, MASKED)
                grad_decay = keep(valid, grad_decay + grad_u * last, grad_decay, WHOLE)
            grad_v = keep(valid, before, grad_v, WHOLE)
            grad_threshold = keep(valid, of_threshold, grad_threshold, WHOLE)
    if grad_v0_ptr is not None:
        tl.store(grad_v0_ptr + off, grad_v, mask=inside)
    if grad_decay_ptr is not None:
        tl.store(grad_decay_ptr + off, grad_decay, mask=inside)
    if grad_threshold_ptr is not None:
        tl.store(grad_threshold_ptr + off, grad_threshold, mask=inside)
