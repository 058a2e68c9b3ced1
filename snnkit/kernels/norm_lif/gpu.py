"""Batch norm, LIF and average pooling on the GPU: the sequence in one pass over memory, forward; backward recomputes.

Forward a tile is BLOCK windows, and a program goes over their pixels part by part; where windows are two pixels wide
and these lie beside each other in memory (PAIRS), a part is a whole row of 2·BLOCK pixels. Backward: `gpu_back`.

scale·x + shift is rounded once where ONCE, as on CPUs that have such an instruction; nothing else is contracted. What
the norm and the pool give is rounded to the input's precision, as the layers one by one do.
"""

# mypy: disable-error-code="no-untyped-def,assignment,misc"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.lif import gpu as lif
from snnkit.kernels.norm_lif.gpu_around import add, enter, fetch, leave
from snnkit.kernels.norm_lif.windows import first_pixel, first_pixels, spread
from snnkit.kernels.tiles import initial, parameter, put
from snnkit.kernels.walk import run

RUNTIME = (
    "channels", "repeat", "short", "inner", "groups", "steps", "refractory",
    "decay_count", "decay_repeat", "threshold_count", "threshold_repeat",
)  # fmt: skip


@triton.jit(do_not_specialize=RUNTIME)
def terms(
    mean_ptr,
    rate_ptr,
    gain_ptr,
    bias_ptr,
    scale_ptr,
    shift_ptr,
    groups: tl.int64,
    steps: tl.int32,
    ONCE: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """scale = rate·gain and shift = bias − mean·scale [C], rounded as on the CPU; no gain is 1, no bias 0."""
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < groups.to(tl.int64) * WIDE
    mean = tl.load(mean_ptr + off, mask=inside, other=0.0)
    scale = tl.load(rate_ptr + off, mask=inside, other=0.0)
    bias = tl.full((BLOCK,), 0, DTYPE)
    if gain_ptr is not None:
        scale = scale * tl.load(gain_ptr + off, mask=inside, other=0.0)
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + off, mask=inside, other=0.0)
    shift = tl.fma(-mean, scale, bias) if ONCE else bias - mean * scale
    tl.store(scale_ptr + off, scale, mask=inside)
    tl.store(shift_ptr + off, shift, mask=inside)


@triton.jit(do_not_specialize=RUNTIME)
def forward(
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
    s_ptr,
    v_ptr,
    wait_ptr,
    short,
    inner,
    refractory: tl.int32,
    groups: tl.int64,
    steps: tl.int32,
    TO_ZERO: tl.constexpr,
    MASKED: tl.constexpr,
    ONCE: tl.constexpr,
    BEFORE: tl.constexpr,
    HIGH: tl.constexpr,
    ACROSS: tl.constexpr,
    PAIRS: tl.constexpr,
    EACH: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """x [T, M] → s [T, P], final v and wait [M], or [P] where BEFORE; P = M / (HIGH·ACROSS) = groups·WIDE.

    short and inner (`windows.first_pixel`) come in units of WIDE. BEFORE: the pool stands between norm and neuron.
    EACH: decay or threshold differ within a window.
    """
    TILE: tl.constexpr = 2 * BLOCK if PAIRS else BLOCK
    PARTS: tl.constexpr = HIGH * ACROSS // (2 if PAIRS else 1)
    pooled = groups.to(tl.int64) * WIDE
    width = pooled * (HIGH * ACROSS)
    p = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    whole = p < pooled
    if short is not None:
        short = short.to(tl.int64) * WIDE
    if inner is not None:
        inner = inner.to(tl.int64) * WIDE
    if PAIRS:
        at = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
        inside = at < 2 * pooled
        at = first_pixels(at, short, HIGH, NARROW)
    else:
        inside = whole
        at = first_pixel(p, short, inner, HIGH, ACROSS, NARROW)
    line = 0 if short is None else short * ACROSS
    step = 1 if inner is None else inner
    first = first_pixel(p, short, inner, HIGH, ACROSS, NARROW)
    scale = spread(scale_ptr, channels, repeat, first, whole, NARROW)
    shift = spread(shift_ptr, channels, repeat, first, whole, NARROW)
    if PAIRS:
        scale, shift = tl.interleave(scale, scale), tl.interleave(shift, shift)
    states, waits, params = (), (), ()
    if BEFORE:
        states = ((initial(v0_ptr, p, whole, BLOCK, DTYPE),),)
        waits = (initial(wait0_ptr, p, whole, BLOCK, tl.int32),)
        decay = parameter(decay_ptr, decay_count, decay_repeat, p, whole, NARROW)
        threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, p, whole, NARROW)
        params = ((decay, threshold),)
    else:
        for n in tl.static_range(PARTS):
            r, q = (n, 0) if PAIRS else (n // ACROSS, n % ACROSS)
            off = at + (r * line + q * step)
            states = states + ((initial(v0_ptr, off, inside, TILE, DTYPE),),)
            waits = waits + (initial(wait0_ptr, off, inside, TILE, tl.int32),)
            if EACH or n == 0:
                decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
                threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
            params = params + ((decay, threshold),)
    states, waits = run(
        fetch, enter, add, leave, lif.step, x_ptr, s_ptr,
        ((at, inside, line, step, width), (scale, shift), (p, whole, pooled), (ONCE, BEFORE, HIGH, ACROSS, PAIRS)),
        states, waits, params, refractory, steps, (None,), None, 1, False, 1 if BEFORE else PARTS, TO_ZERO, MASKED,
        DTYPE, BLOCK,
    )  # fmt: skip
    for n in tl.static_range(1 if BEFORE else PARTS):
        r, q = (n, 0) if PAIRS else (n // ACROSS, n % ACROSS)
        off, there = p, whole
        if not BEFORE:
            off, there = at + (r * line + q * step), inside
        put((v_ptr, wait_ptr), (states[n][0], waits[n]), off, there)
