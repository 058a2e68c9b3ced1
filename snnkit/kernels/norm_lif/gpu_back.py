"""Norm, LIF and pool on the GPU, backward: recomputes from the norm's input, as LIF's own kernel does.

A tile is BLOCK neurons: those behind the norm, which look up their window's gradient; BEFORE: those behind the pool.
"""

# mypy: disable-error-code="no-untyped-def,assignment,misc"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.lif import gpu as lif
from snnkit.kernels.norm_lif.gpu import RUNTIME
from snnkit.kernels.norm_lif.gpu_around import enter, fetch, fetch_back, leave_back
from snnkit.kernels.norm_lif.windows import first_pixel, first_pixels, spread, window
from snnkit.kernels.tiles import initial, parameter
from snnkit.kernels.walk import run_back


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
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    run_back(
        fetch, enter, fetch_back, leave_back, lif.step, lif.step_back, lif.settled, lif.pass_on,
        x_ptr, grad_s_ptr, grad_y_ptr,
        ((at, there, line, step, pixels), (scale, shift), (p, heard, pooled), (ONCE, BEFORE, HIGH, ACROSS, PAIRS)),
        (kept_v_ptr,), kept_wait_ptr, width, off, inside, (v,), wait, (decay, threshold), (grad_v_ptr,),
        (grad_v0_ptr,), (grad_decay_ptr, grad_threshold_ptr), 2, refractory, peak, scaling, steps,
        grad_decay_ptr is not None, KIND, TO_ZERO, DETACH, MASKED, WHOLE, STEPS, False, DTYPE, BLOCK,
    )  # fmt: skip
