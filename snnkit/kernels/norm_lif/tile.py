"""A tile of neurons with a batch norm in front and windows of 2×2 pixels behind them, in registers: what `lif.steps`
asks about it.

A tile is eight parts of numbers beside each other in memory. Without windows they follow each other. With the channels
last they are the four pixels of a window, two parts each, some channels of it. With the channels first they are pixels
of upper rows of windows, and then those below them.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from snnkit.kernels.address import beyond
from snnkit.kernels.bfloat16 import held, low, to_half, to_number
from snnkit.kernels.cache import piece
from snnkit.kernels.lanes import Lanes, get, join, many, multiply_add, put, repeated, shuffled, store
from snnkit.kernels.prefetch import prefetch

PARTS = 8
"""Of a tile: two of each pixel of a window, or of each of four groups of windows."""

_PLACES = types.UniTuple(types.intp, PARTS)


class Tile(NamedTuple):
    """What the pieces need to know."""

    scale: Any
    shift: Any
    """Rows of the block."""
    contract: bool
    """Whether scale·x + shift is rounded once."""
    bare: bool
    """Whether the norm has been applied already; then there are no windows either."""
    columns: int
    inner: int
    """Pixels side by side in an image, and elements of each beside each other in memory."""
    pooled: bool
    """Whether there are windows."""
    quarter: Any
    """1/4, as the numbers are."""


@piece
def fits(tile, n, one):
    """Whether n elements of a block fall into such tiles; one: Lanes."""
    size, across = many(one), tile.columns // 2
    if not tile.pooled:
        return n >= size
    if tile.inner > 1:
        return tile.inner % (size // 4) == 0
    return across % (size // PARTS // 2) == 0 and n % size == 0


@piece
def beside(tile, one):
    """Numbers of a tile that are beside each other, at least."""
    if not tile.pooled:
        return many(one)
    if tile.inner > 1:
        return many(one) // 4
    return many(one) // 2 if tile.columns % (many(one) // 2) == 0 else tile.columns


@piece
def tile_at(tile, k, n, one):
    """The places of its parts in a row of the block, and the place of its windows."""
    size, across = many(one), tile.columns // 2
    part = size // PARTS
    if not tile.pooled:
        i = min(k, n - size)
        return (i, i + part, i + 2 * part, i + 3 * part, i + 4 * part, i + 5 * part, i + 6 * part, i + 7 * part), i
    down, inner = tile.columns * tile.inner, tile.inner
    if inner > 1:
        chunks = 4 * inner // size
        w, c = k // size // chunks, k // size % chunks * (size // 4)
        a = w // across * 2 * down + w % across * 2 * inner + c
        b = a + inner
        return (a, a + part, b, b + part, a + down, a + down + part, b + down, b + down + part), w * inner + c
    w, windows = k // 4, part // 2
    a, b = _upper(w, across), _upper(w + windows, across)
    c, d = _upper(w + 2 * windows, across), _upper(w + 3 * windows, across)
    return (a, b, c, d, a + down, b + down, c + down, d + down), w


@piece
def _upper(w, across):
    """Place of the first pixel of window w, with the channels first."""
    return w // across * 4 * across + w % across * 2


@intrinsic
def _gather(typing_context, row, start, places, like):
    count = like.count // PARTS

    def generate(context, builder, signature, args):
        first = builder.gep(args[0], [args[1]])
        parts = []
        for k in range(PARTS):
            place = builder.gep(first, [builder.extract_value(args[2], k)])
            vector = ir.VectorType(place.type.pointee, count)
            part = builder.load(builder.bitcast(place, vector.as_pointer()), align=row.dtype.bitwidth // 8)
            parts.append(to_number(builder, part) if low(row) else part)
        return join(builder, parts)

    return like(row, types.intp, _PLACES, like), generate


def _scattering(streamed: bool):
    @intrinsic
    def scatter(typing_context, value, row, start, places):
        count = value.count // PARTS

        def generate(context, builder, signature, args):
            number = to_half(builder, args[0]) if low(row) else args[0]
            first = builder.gep(args[1], [args[2]])
            for k in range(PARTS):
                place = builder.gep(first, [builder.extract_value(args[3], k)])
                part = shuffled(builder, number, range(k * count, (k + 1) * count))
                size = row.dtype.bitwidth // 8
                store(builder, part, place, size, size * count if streamed else 0)
            return context.get_dummy_value()

        return types.void(value, row, types.intp, _PLACES), generate

    return scatter


_scatter, _stream = _scattering(False), _scattering(True)


@intrinsic
def _sums(typing_context, value, last):
    """Sums over the windows of a tile, with the channels last or first, of what is added without rounding."""
    count = value.count

    def generate(context, builder, signature, args):
        quarters = [shuffled(builder, args[0], range(k * count // 4, (k + 1) * count // 4)) for k in range(4)]
        a, b, c, d = quarters
        by_channel = builder.fadd(builder.fadd(a, b), builder.fadd(c, d))
        both = builder.fadd(*(shuffled(builder, args[0], range(k, k + count // 2)) for k in (0, count // 2)))
        by_pixel = builder.fadd(*(shuffled(builder, both, range(k, count // 2, 2)) for k in (0, 1)))
        return builder.select(args[1], by_channel, by_pixel)

    return Lanes(value.number, count // 4)(value, types.boolean), generate


@intrinsic
def _spread(typing_context, value, last):
    """The windows' numbers on each of their pixels."""
    count = value.count

    def generate(context, builder, signature, args):
        by_channel = shuffled(builder, args[0], list(range(count)) * 4)
        by_pixel = shuffled(builder, args[0], [k // 2 for k in range(2 * count)] * 2)
        return builder.select(args[1], by_channel, by_pixel)

    return Lanes(value.number, 4 * count)(value, types.boolean), generate


@intrinsic
def _fewer(typing_context, value, like):
    """As many of a number as a tile has windows."""
    lanes = Lanes(like.number, like.count // 4)

    def generate(context, builder, signature, args):
        return repeated(builder, args[0], lanes.count)

    return lanes(value, like), generate


@piece
def take(tile, row, where, one):
    return _gather(row, 0, where[0], one)


@piece
def keep(tile, value, row, where):
    _scatter(value, row, 0, where[0])


@piece
def begin(tile, where, one):
    return take(tile, tile.scale, where, one), take(tile, tile.shift, where, one)


@piece
def given(tile, x, start, where, front, one):
    value, (scale, shift) = _gather(x, start, where[0], one), front
    if tile.bare:
        return value, front
    y = multiply_add(value, scale, shift) if tile.contract else value * scale + shift
    return held(x, y), front


@piece
def finish(tile, front, where):
    pass


@piece
def give(tile, spikes, s, start, where, streamed):
    if tile.pooled:
        sums = _sums(spikes, tile.inner > 1)
        put(sums * _fewer(tile.quarter, spikes), s, start + where[1], False)
    else:
        _leave(spikes, s, start, where, streamed)


@piece
def _leave(value, row, start, where, streamed):
    if streamed:
        _stream(value, row, start, where[0])
    else:
        _scatter(value, row, start, where[0])


@piece
def given_back(tile, grad_s, start, where, one):
    if not tile.pooled:
        return _gather(grad_s, start, where[0], one)
    quarters = _fewer(tile.quarter, one)
    return _spread(held(grad_s, get(grad_s, start + where[1], quarters) * quarters), tile.inner > 1)


@piece
def begin_back(tile, where, one):
    return one


@piece
def give_back(tile, grad, grad_x, start, where, rear, streamed):
    _leave(grad, grad_x, start, where, streamed)
    return rear


@piece
def finish_back(tile, rear, where):
    pass


@piece
def ask(tile, x, start, where, wanted, one):
    if wanted:
        for k in range(0, PARTS, 2):
            prefetch(beyond(x, start + where[0][k]))


@piece
def ask_out(tile, s, start, where, wanted, one):
    if wanted:
        prefetch(beyond(s, start + where[1]))


@piece
def ask_back(tile, grad_s, start, where, wanted, one):
    ask_out(tile, grad_s, start, where, wanted, one)
