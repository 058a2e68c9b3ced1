"""Average pooling of whole sequences on the GPU, with no neuron beside it; steps lie behind each other as rows do.

Forward a tile is BLOCK windows. Backward it is BLOCK pixels, which look up the gradient of their window, so that what
is written lies in one piece; with the channels last, where the pixels of a window are whole pieces themselves, it is
BLOCK windows, since there is less to divide then.
"""

# mypy: disable-error-code="no-untyped-def,assignment,misc"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.norm_lif.windows import (
    add_pixels,
    first_pixel,
    first_pixels,
    pool_step,
    spread_load,
    window,
)
from snnkit.kernels.norm_lif.windows import share as part_of

RUNTIME = ("short", "inner", "groups", "steps")

MOST = tl.constexpr(16)
"""Pixels of a window that the compiler writes out one by one."""


@triton.jit
def many_pixels(
    x_ptr, at, inside, line, step, HIGH: tl.constexpr, ACROSS: tl.constexpr, PAIRS: tl.constexpr, DTYPE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """`pool_step` of larger windows, with no norm before it."""
    ROW: tl.constexpr = ACROSS // (2 if PAIRS else 1)
    total = tl.full((BLOCK,), 0, DTYPE)
    for n in tl.range(0, HIGH * ROW, loop_unroll_factor=4):
        x = tl.load(x_ptr + (at + ((n // ROW) * line + (n % ROW) * step)), mask=inside, other=0.0)
        total = add_pixels(total, x.to(DTYPE), PAIRS)
    return part_of(total, HIGH * ACROSS, DTYPE)


@triton.jit(do_not_specialize=RUNTIME)
def average(
    x_ptr,
    y_ptr,
    short,
    inner,
    groups: tl.int64,
    steps: tl.int32,
    HIGH: tl.constexpr,
    ACROSS: tl.constexpr,
    PAIRS: tl.constexpr,
    UNIT: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Means of the windows of x [1, N] to y, of groups·WIDE windows. short and inner (`windows.first_pixel`) come in
    units of UNIT."""
    pooled = groups.to(tl.int64) * WIDE
    short = short.to(tl.int64) * UNIT
    if inner is not None:
        inner = inner.to(tl.int64) * UNIT
    p = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    whole = p < pooled
    if PAIRS:
        at = tl.program_id(0).to(tl.int64) * (2 * BLOCK) + tl.arange(0, 2 * BLOCK)
        inside = at < 2 * pooled
        at = first_pixels(at, short, HIGH, NARROW)
    else:
        inside = whole
        at = first_pixel(p, short, inner, HIGH, ACROSS, NARROW)
    step = 1 if inner is None else inner
    line = short * ACROSS
    if HIGH * ACROSS > MOST:
        mean = many_pixels(x_ptr, at, inside, line, step, HIGH, ACROSS, PAIRS, DTYPE, BLOCK)
    else:
        mean = pool_step(x_ptr, at, inside, None, None, line, step, False, HIGH, ACROSS, PAIRS, DTYPE, BLOCK)
    tl.store(y_ptr + p, mean.to(y_ptr.dtype.element_ty), mask=whole)


@triton.jit(do_not_specialize=RUNTIME)
def share(
    grad_x_ptr,
    grad_y_ptr,
    short,
    inner,
    groups: tl.int64,
    steps: tl.int32,
    HIGH: tl.constexpr,
    ACROSS: tl.constexpr,
    PAIRS: tl.constexpr,
    UNIT: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradient of `average`: of x, [1, N], from that of y. groups·WIDE: pixels, or windows where there is an
    inner."""
    SIZE: tl.constexpr = HIGH * ACROSS
    count = groups.to(tl.int64) * WIDE
    short = short.to(tl.int64) * UNIT
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < count
    if inner is None:
        if PAIRS:
            pair = tl.program_id(0).to(tl.int64) * (BLOCK // 2) + tl.arange(0, BLOCK // 2)
            p = window(pair, short, inner, HIGH, 1, NARROW)
            part = spread_load(grad_y_ptr, p, pair < count // 2, PAIRS, SIZE, DTYPE)
        else:
            p = window(off, short, inner, HIGH, ACROSS, NARROW)
            part = spread_load(grad_y_ptr, p, inside, PAIRS, SIZE, DTYPE)
        tl.store(grad_x_ptr + off, part.to(grad_x_ptr.dtype.element_ty), mask=inside)
    else:
        inner = inner.to(tl.int64) * UNIT
        at = first_pixel(off, short, inner, HIGH, ACROSS, NARROW)
        part = spread_load(grad_y_ptr, off, inside, False, SIZE, DTYPE).to(grad_x_ptr.dtype.element_ty)
        line = short * ACROSS
        if SIZE > MOST:
            for n in range(SIZE):
                tl.store(grad_x_ptr + (at + ((n // ACROSS) * line + (n % ACROSS) * inner)), part, mask=inside)
        else:
            for n in tl.static_range(SIZE):
                tl.store(grad_x_ptr + (at + (n // ACROSS * line + n % ACROSS * inner)), part, mask=inside)
