"""Sums over the values of each channel on the GPU, in one pass over memory.

The memory of x [N, C, …] is a matrix of rows, one behind the other; a program takes a strip of columns of it down some
rows, DOWN rows of ACROSS columns at a time: columns of one channel where they lie APART, which become one sum, else of
several, each with a sum of its own. Sums of UNROLL values in the numbers' own precision are added up in float64, lane
by lane, then the lanes, then (`channels_gpu_end`) the programs, in an order that the sizes decide.

Where there is `valid` [N], only those samples are read and count.
"""

# mypy: disable-error-code="no-untyped-def,assignment,misc"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.norm_lif.windows import divide

RUNTIME = ("rows", "width", "size", "strips", "chunks", "each", "per")


@triton.jit
def strip(
    rows, width, size, strips, chunks, each,
    APART: tl.constexpr, WIDE: tl.constexpr, ACROSS: tl.constexpr, DOWN: tl.constexpr,
):  # fmt: skip
    """Of this program: (its columns, which of them are in the strip, its first row, the one behind its last, offsets of
    a tile from a row's begin, where its sums go)."""
    program = tl.program_id(0)
    split, k = program // strips, program % strips
    if APART:
        first = (k // chunks).to(tl.int64) * (size * WIDE)
        last = first + size * WIDE
        first += (k % chunks).to(tl.int64) * ACROSS
    else:
        first = k.to(tl.int64) * ACROSS
        last = width * WIDE
    columns = first + tl.arange(0, ACROSS)
    begin = split.to(tl.int64) * each
    tile = tl.arange(0, DOWN).to(tl.int64)[:, None] * (width * WIDE) + columns[None, :]
    to = split.to(tl.int64) * strips + k if APART else split.to(tl.int64) * (width * WIDE) + columns
    return columns, columns < last, begin, tl.minimum(begin + each, rows), tile, to


@triton.jit
def rows_counting(valid_ptr, per, row, end, NARROW: tl.constexpr, DOWN: tl.constexpr):
    """Which of the rows from `row` on count. per: rows of a sample; None: one."""
    at = row + tl.arange(0, DOWN)
    inside = at < end
    if valid_ptr is not None:
        sample = at if per is None else divide(at, per, NARROW)[0]
        inside = inside & (tl.load(valid_ptr + sample, mask=inside, other=0) != 0)
    return inside


@triton.jit
def first_counting(valid_ptr, per, begin, end, NARROW: tl.constexpr):
    """The first row that counts; end where there is none."""
    first = end
    if valid_ptr is None:
        first = begin
    else:
        for row in range(begin, end, 128):
            counts = rows_counting(valid_ptr, per, row, end, NARROW, 128)
            first = tl.minimum(first, tl.min(tl.where(counts, row + tl.arange(0, 128), end), 0))
    return first


@triton.jit
def channel_of(columns, size, strips, chunks, channels, APART: tl.constexpr, NARROW: tl.constexpr):
    """The columns' channels: one where APART, else [1, ACROSS]."""
    if APART:
        return ((tl.program_id(0) % strips) // chunks).to(tl.int64)
    else:
        return divide(divide(columns, size, NARROW)[0], channels, NARROW)[1][None, :]


@triton.jit
def joined(lanes, APART: tl.constexpr):
    """The sum of a tile's lanes: of each column, or of all."""
    lanes = tl.sum(lanes, 0)
    return tl.sum(lanes, 0) if APART else lanes


@triton.jit
def leave(found_ptr, value, to, own, APART: tl.constexpr):
    if APART:
        tl.store(found_ptr + to, value)
    else:
        tl.store(found_ptr + to, value, mask=own)


@triton.jit(do_not_specialize=[*RUNTIME, "plane"])
def moments(
    x_ptr,
    valid_ptr,
    found_ptr,
    plane: tl.int64,
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
    """found [3, plane]: of each strip, or of its columns, how many values there are, their mean, and the sum of squares
    of what they are away from it.

    What is added up is how far values are from the first row, so that no large and nearly equal numbers are subtracted.
    """
    columns, own, begin, end, tile, to = strip(rows, width, size, strips, chunks, each, APART, WIDE, ACROSS, DOWN)
    first = first_counting(valid_ptr, per, begin, end, NARROW)
    center = tl.load(x_ptr + first * (width * WIDE) + columns, mask=own & (first < end), other=0.0)
    if APART:
        center = tl.sum(center.to(DTYPE), 0) / tl.sum(own.to(DTYPE), 0)
        center = tl.full((1, 1), 0, x_ptr.dtype.element_ty) + center.to(x_ptr.dtype.element_ty)
    else:
        center = center[None, :]
    total, square = tl.full((DOWN, ACROSS), 0, tl.float64), tl.full((DOWN, ACROSS), 0, tl.float64)
    counted = tl.full((DOWN,), 0, tl.int32)
    for row in range(begin, end, DOWN * UNROLL):
        some, squares = tl.full((DOWN, ACROSS), 0, DTYPE), tl.full((DOWN, ACROSS), 0, DTYPE)
        values = ()
        for n in tl.static_range(UNROLL):
            at = row + n * DOWN
            counts = rows_counting(valid_ptr, per, at, end, NARROW, DOWN)
            if valid_ptr is not None:
                counted += counts.to(tl.int32)
            there = counts[:, None] & own[None, :]
            rest = tl.broadcast_to(center, (DOWN, ACROSS))  # what is not there is no way off
            values = values + (tl.load(x_ptr + at * (width * WIDE) + tile, mask=there, other=rest),)
        for n in tl.static_range(UNROLL):
            away = values[n].to(DTYPE) - center.to(DTYPE)
            some += away
            squares += away * away
        total += some.to(tl.float64)
        square += squares.to(tl.float64)
    many = (end - begin).to(tl.float64)
    if valid_ptr is not None:
        many = tl.sum(counted, 0).to(tl.float64)
    if APART:
        many = many * tl.sum(own.to(tl.int32), 0).to(tl.float64)
        middle = tl.sum(tl.sum(center, 0), 0).to(tl.float64)
    else:
        many = tl.full((ACROSS,), 0, tl.float64) + many
        middle = tl.sum(center.to(DTYPE), 0).to(tl.float64)
    moved, apart = joined(total, APART), joined(square, APART)
    away = moved / tl.maximum(many, 1.0)
    leave(found_ptr, many, to, own, APART)
    leave(found_ptr + plane, middle + away, to, own, APART)
    leave(found_ptr + 2 * plane, apart - moved * away, to, own, APART)


@triton.jit(do_not_specialize=[*RUNTIME, "plane", "channels"])
def sums(
    x_ptr,
    g_ptr,
    center_ptr,
    valid_ptr,
    found_ptr,
    plane: tl.int64,
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
    """found [2, plane]: of each strip, or of its columns, Σ g and Σ (x − center)·g; center [C]."""
    columns, own, begin, end, tile, to = strip(rows, width, size, strips, chunks, each, APART, WIDE, ACROSS, DOWN)
    channel = channel_of(columns, size, strips, chunks, channels, APART, NARROW)
    center = tl.load(center_ptr + channel).to(DTYPE)
    total, dot = tl.full((DOWN, ACROSS), 0, tl.float64), tl.full((DOWN, ACROSS), 0, tl.float64)
    for row in range(begin, end, DOWN * UNROLL):
        some, some_dot = tl.full((DOWN, ACROSS), 0, DTYPE), tl.full((DOWN, ACROSS), 0, DTYPE)
        values = ()
        for n in tl.static_range(UNROLL):
            at = row + n * DOWN
            there = rows_counting(valid_ptr, per, at, end, NARROW, DOWN)[:, None] & own[None, :]
            place = at * (width * WIDE) + tile
            x, g = tl.load(x_ptr + place, mask=there, other=0.0), tl.load(g_ptr + place, mask=there, other=0.0)
            values = values + ((x, g),)
        for n in tl.static_range(UNROLL):
            g = values[n][1].to(DTYPE)
            some += g
            some_dot += (values[n][0].to(DTYPE) - center) * g
        total += some.to(tl.float64)
        dot += some_dot.to(tl.float64)
    leave(found_ptr, joined(total, APART), to, own, APART)
    leave(found_ptr + plane, joined(dot, APART), to, own, APART)
