"""Pieces of the kernels that run norm, LIF and pool in one on the GPU: where pixels lie, what surrounds the neuron."""

# mypy: disable-error-code="no-untyped-def,assignment,misc"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.tiles import parameter


@triton.jit
def divide(a, b, NARROW: tl.constexpr):
    """(a // b, a % b) of a tile of offsets."""
    if NARROW:
        whole = a.to(tl.uint32) // b.to(tl.uint32)
        rest = a.to(tl.uint32) % b.to(tl.uint32)
        return whole.to(tl.int64), rest.to(tl.int64)
    else:
        return a // b, a % b


@triton.jit
def first_pixel(p, short, inner, HIGH: tl.constexpr, ACROSS: tl.constexpr, NARROW: tl.constexpr):
    """Offset of the first pixel of window p. short: elements of a row of windows; inner: channels beside each other in
    memory, None where pixels are."""
    if HIGH * ACROSS == 1:
        return p
    elif inner is None:
        row, column = divide(p, short, NARROW)
        return row * (short * ACROSS * HIGH) + column * ACROSS
    else:  # p itself is divided, since the compiler sees neighbours in what is left of neighbours, but no further
        window, channel = divide(p, inner, NARROW)
        row, column = divide(window, short // inner, NARROW)
        return row * (short * ACROSS * HIGH) + column * (ACROSS * inner) + channel


@triton.jit
def first_pixels(p, short, HIGH: tl.constexpr, NARROW: tl.constexpr):
    """As `first_pixel` for both pixels of the upper row of windows two pixels wide: p counts these."""
    row, rest = divide(p, short * 2, NARROW)
    return row * (short * 2 * HIGH) + rest


@triton.jit
def window(m, short, inner, HIGH: tl.constexpr, ACROSS: tl.constexpr, NARROW: tl.constexpr):
    """The window of pixel m, by offsets."""
    if inner is None:
        row, column = divide(m, short * ACROSS, NARROW)
        return row // HIGH * short + column // ACROSS
    else:
        pixel, channel = divide(m, inner, NARROW)
        row, column = divide(pixel, short // inner * ACROSS, NARROW)
        return row // HIGH * short + column // ACROSS * inner + channel


@triton.jit
def spread(values, channels, repeat, off, inside, NARROW: tl.constexpr):
    """A value of each channel over a tile, also where there is one channel."""
    return tl.broadcast_to(parameter(values, channels, repeat, off, inside, NARROW), off.shape)


@triton.jit
def affine(x, scale, shift, ONCE: tl.constexpr, DTYPE: tl.constexpr):
    """What the norm gives for x, in the precision of x."""
    wide = x.to(DTYPE)
    y = tl.fma(wide, scale, shift) if ONCE else wide * scale + shift
    return y.to(x.dtype).to(DTYPE)


@triton.jit
def share(total, SIZE: tl.constexpr, DTYPE: tl.constexpr):
    """total / SIZE, rounded to the nearest."""
    if SIZE == 1:
        return total
    elif SIZE & (SIZE - 1) == 0:
        return total * (1.0 / SIZE)
    elif total.dtype == tl.float64:
        return total / SIZE
    else:
        return tl.div_rn(total, tl.full(total.shape, SIZE, DTYPE))


@triton.jit
def add_pixels(total, tile, PAIRS: tl.constexpr):
    """A part's pixels added to the windows' sums, from left to right."""
    if PAIRS:
        left, right = tl.split(tl.reshape(tile, (total.shape[0], 2)))
        return total + left + right
    else:
        return total + tile


@triton.jit
def pool_step(
    x_row, at, inside, scale, shift, line, step,
    ONCE: tl.constexpr, HIGH: tl.constexpr, ACROSS: tl.constexpr, PAIRS: tl.constexpr, DTYPE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Means over windows of what the norm gives for a step, or of the step where there is no scale; `at`: first pixels,
    those of both columns where PAIRS."""
    total = tl.full((BLOCK,), 0, DTYPE)
    for n in tl.static_range(HIGH * ACROSS // (2 if PAIRS else 1)):
        r, q = (n, 0) if PAIRS else (n // ACROSS, n % ACROSS)
        x = tl.load(x_row + (at + (r * line + q * step)), mask=inside, other=0.0)
        y = x.to(DTYPE) if scale is None else affine(x, scale, shift, ONCE, DTYPE)
        total = add_pixels(total, y, PAIRS)
    return share(total, HIGH * ACROSS, DTYPE).to(x_row.dtype.element_ty).to(DTYPE)


@triton.jit
def spread_load(ptr, p, inside, PAIRS: tl.constexpr, SIZE: tl.constexpr, DTYPE: tl.constexpr):
    """The part that each pixel of a window has of the window's gradient; p: windows of pixels, of pairs where PAIRS."""
    g = share(tl.load(ptr + p, mask=inside, other=0.0).to(DTYPE), SIZE, DTYPE)
    g = g.to(ptr.dtype.element_ty).to(DTYPE)
    return tl.interleave(g, g) if PAIRS else g
