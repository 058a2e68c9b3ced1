"""A batch norm in front of a neuron and an average pool behind it or between them: the pieces that `lif.body` calls."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from typing import Any, NamedTuple

from snnkit.kernels.address import at
from snnkit.kernels.bfloat16 import read, target, write
from snnkit.kernels.cache import piece
from snnkit.kernels.norm_lif.rows import affine, pool, settle, spread
from snnkit.kernels.rows import fill

_SCALE, _SHIFT, _Y, _MEANS, _WIDER, _ROOM = 0, 1, 2, 3, 4, 5


class Around(NamedTuple):
    """What the pieces need to know."""

    scale: Any
    shift: Any
    repeat: int
    """Of scale and shift, which belong to channels, as `Layout.parameter` has it."""
    contract: bool
    """Whether scale·x + shift is rounded once."""
    window: tuple[int, int, int, int]
    """(columns, inner, height, width): a window has height·width pixels; `columns` of them are side by side in an
    image, each with `inner` elements beside each other in memory. Without a pool all four are 1."""
    pixels: Any
    """Pixels of a window, as the numbers are."""
    between: bool
    """Whether there is a pool between norm and neuron."""
    after: bool
    """Whether there is one behind the neuron."""


@piece
def surroundings(scale, shift, repeat, contract, window, before):
    """Around, from what the kernels get; `before`: the pool takes what the norm gives."""
    height, width = window[2], window[3]
    pixels, pooled = scale.dtype.type(height * width), height * width > 1
    return Around(scale, shift, repeat, contract, window, pixels, pooled and before, pooled and not before)


@piece
def elements(around, block):
    """Most elements of a block, which is `block` rows of windows."""
    columns, inner, height, _ = around.window
    return block * columns * inner * height


@piece
def place(around, b, block, width, rows):
    columns, inner, high, wide = around.window
    group, small = columns * inner * high, columns // wide * inner
    groups = min(block, width // group - b * block)
    lo, n = b * block * group, groups * group
    to, k = b * block * small, groups * small
    fill(around.scale, around.repeat, lo, n, at(rows, _SCALE, 0))
    fill(around.shift, around.repeat, lo, n, at(rows, _SHIFT, 0))
    if around.between:
        return lo, n, to, k, to, k
    return lo, n, lo, n, to, k


@piece
def enter(around, x, t, lo, n, rows):
    y, means = at(rows, _Y, 0), at(rows, _MEANS, 0)
    affine(at(x, t, lo), at(rows, _SCALE, 0), at(rows, _SHIFT, 0), around.contract, y, n)
    if not around.between:
        return y
    pool(y, n, around.window, around.pixels, at(rows, _ROOM, 0), at(x, t, lo), means)
    return means


@piece
def room(around, s, t, to, rows):
    return at(rows, _WIDER, 0) if around.after else target(s, t, to, at(rows, _WIDER, 0))


@piece
def leave(around, spikes, s, t, to, k, rows):
    if around.after:
        n, out = k * around.window[2] * around.window[3], at(s, t, to)
        pool(spikes, n, around.window, around.pixels, at(rows, _ROOM, 0), out, out)
    else:
        write(spikes, s, t, to, k)


@piece
def enter_back(around, grad_s, t, to, k, rows):
    wider = at(rows, _WIDER, 0)
    if not around.after:
        return read(grad_s, t, to, k, wider)
    n, part = k * around.window[2] * around.window[3], at(grad_s, t, to)
    spread(part, n, around.window, around.pixels, part, wider)
    return wider


@piece
def room_back(around, grad_x, t, lo, rows):
    return at(rows, _MEANS, 0) if around.between else target(grad_x, t, lo, at(rows, _Y, 0))


@piece
def leave_back(around, grad, grad_x, t, lo, n, m, rows):
    if around.between:
        out = at(grad_x, t, lo)
        settle(out, grad, m)
        spread(grad, n, around.window, around.pixels, out, out)
    else:
        write(grad, grad_x, t, lo, n)
