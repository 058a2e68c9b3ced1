"""What a batch norm does with every value on the GPU, its sums being known, in the strips of `channels_gpu`."""

# mypy: disable-error-code="no-untyped-def,assignment,misc,var-annotated"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.norm_lif.channels_gpu import RUNTIME, channel_of, rows_counting, strip


@triton.jit(do_not_specialize=[*RUNTIME, "channels"])
def project(
    x_ptr,
    g_ptr,
    out_ptr,
    mean_ptr,
    middle_ptr,
    slope_ptr,
    scale_ptr,
    valid_ptr,
    channels: tl.int64,
    rows: tl.int64,
    width: tl.int64,
    size: tl.int64,
    strips: tl.int32,
    chunks: tl.int32,
    each: tl.int64,
    per,
    APART: tl.constexpr,
    NARROW: tl.constexpr,
    DTYPE: tl.constexpr,
    WIDE: tl.constexpr,
    ACROSS: tl.constexpr,
    DOWN: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """out (g itself perhaps) = (g − middle − (x − mean)·slope)·scale where a value counts, g·scale elsewhere, and
    everywhere where there is no x; mean, middle, slope, scale [C]."""
    columns, own, begin, end, tile, _ = strip(rows, width, size, strips, chunks, each, APART, WIDE, ACROSS, DOWN)
    channel = channel_of(columns, size, strips, chunks, channels, APART, NARROW)
    scale = tl.load(scale_ptr + channel)
    if x_ptr is not None:
        mean, middle, slope = tl.load(mean_ptr + channel), tl.load(middle_ptr + channel), tl.load(slope_ptr + channel)
    for row in range(begin, end, DOWN * UNROLL):
        values = ()
        for n in tl.static_range(UNROLL):
            at = row + n * DOWN
            there = rows_counting(None, None, at, end, NARROW, DOWN)[:, None] & own[None, :]
            place = at * (width * WIDE) + tile
            counts, x = there, 0.0
            if x_ptr is not None:
                counts = rows_counting(valid_ptr, per, at, end, NARROW, DOWN)[:, None] & own[None, :]
                x = tl.load(x_ptr + place, mask=counts, other=0.0)
            values = values + ((x, tl.load(g_ptr + place, mask=there, other=0.0), there, counts),)
        for n in tl.static_range(UNROLL):
            x, g, there, counts = values[n]
            g = g.to(DTYPE)
            if x_ptr is not None:
                apart = g - middle - (x.to(DTYPE) - mean) * slope
                g = apart if valid_ptr is None else tl.where(counts, apart, g)
            place = (row + n * DOWN) * (width * WIDE) + tile
            tl.store(out_ptr + place, (g * scale).to(out_ptr.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=[*RUNTIME, "channels"])
def normalise(
    x_ptr,
    scale_ptr,
    shift_ptr,
    out_ptr,
    channels: tl.int64,
    rows: tl.int64,
    width: tl.int64,
    size: tl.int64,
    strips: tl.int32,
    chunks: tl.int32,
    each: tl.int64,
    per,
    APART: tl.constexpr,
    NARROW: tl.constexpr,
    DTYPE: tl.constexpr,
    WIDE: tl.constexpr,
    ACROSS: tl.constexpr,
    DOWN: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """out = scale·x + shift, rounded once, as around a neuron; scale, shift [C]."""
    columns, own, begin, end, tile, _ = strip(rows, width, size, strips, chunks, each, APART, WIDE, ACROSS, DOWN)
    channel = channel_of(columns, size, strips, chunks, channels, APART, NARROW)
    scale = tl.broadcast_to(tl.load(scale_ptr + channel), (DOWN, ACROSS))
    shift = tl.broadcast_to(tl.load(shift_ptr + channel), (DOWN, ACROSS))
    for row in range(begin, end, DOWN * UNROLL):
        values = ()
        for n in tl.static_range(UNROLL):
            at = row + n * DOWN
            there = rows_counting(None, None, at, end, NARROW, DOWN)[:, None] & own[None, :]
            place = at * (width * WIDE) + tile
            values = values + ((tl.load(x_ptr + place, mask=there, other=0.0), place, there),)
        for n in tl.static_range(UNROLL):
            x, place, there = values[n]
            y = tl.fma(x.to(DTYPE), scale, shift)
            tl.store(out_ptr + place, y.to(out_ptr.dtype.element_ty), mask=there)
