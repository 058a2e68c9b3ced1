"""A batch norm in front of a neuron and an average pool behind it or between them: the pieces that `lif.body` calls."""

# mypy: disable-error-code="no-untyped-def,call-arg"
from __future__ import annotations

from typing import Any, NamedTuple

from snnkit.kernels.address import at
from snnkit.kernels.bfloat16 import read, target, write
from snnkit.kernels.cache import row
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
    columns: int
    inner: int
    height: int
    width: int
    """A window has height·width pixels; `columns` of them are side by side in an image, each with `inner` elements
    beside each other in memory. Without a pool all four are 1."""
    before: bool
    """Whether the pool is between norm and neuron."""


def elements(around, block):
    """Most elements of a block, which is `block` rows of windows."""
    return block * around.columns * around.inner * around.height


def place(around, b, block, width, rows):
    group = around.columns * around.inner * around.height
    small = group // (around.height * around.width)
    groups = min(block, width // group - b * block)
    lo, n = b * block * group, groups * group
    to, k = b * block * small, groups * small
    fill(around.scale, around.repeat, lo, n, at(rows, _SCALE, 0))
    fill(around.shift, around.repeat, lo, n, at(rows, _SHIFT, 0))
    if around.before:
        return lo, n, to, k, to, k
    return lo, n, lo, n, to, k


@row
def _pooled(around):
    return around.height * around.width > 1


@row
def _after(around):
    return _pooled(around) and not around.before


@row
def _between(around):
    return _pooled(around) and around.before


def enter(around, x, t, lo, n, rows, one):
    y = at(rows, _Y, 0)
    affine(at(x, t, lo), at(rows, _SCALE, 0), at(rows, _SHIFT, 0), around.contract, y, n)
    if not _between(around):
        return y
    means = at(rows, _MEANS, 0)
    pool(y, n, around.columns, around.inner, around.height, around.width, at(rows, _ROOM, 0), at(x, t, lo), means, one)
    return means


def room(around, s, t, to, rows):
    return at(rows, _WIDER, 0) if _after(around) else target(s, t, to, at(rows, _WIDER, 0))


def leave(around, spikes, s, t, to, k, rows, one):
    if _after(around):
        n = k * around.height * around.width
        out = at(s, t, to)
        pool(spikes, n, around.columns, around.inner, around.height, around.width, at(rows, _ROOM, 0), out, out, one)
    else:
        write(spikes, s, t, to, k)


def enter_back(around, grad_s, t, to, k, rows, one):
    wider = at(rows, _WIDER, 0)
    if not _after(around):
        return read(grad_s, t, to, k, wider)
    n = k * around.height * around.width
    part = at(grad_s, t, to)
    spread(part, n, around.columns, around.inner, around.height, around.width, part, wider, one)
    return wider


def room_back(around, grad_x, t, lo, rows):
    return at(rows, _MEANS, 0) if _between(around) else target(grad_x, t, lo, at(rows, _Y, 0))


def leave_back(around, grad, grad_x, t, lo, n, m, rows, one):
    if _between(around):
        out = at(grad_x, t, lo)
        settle(out, grad, m)
        spread(grad, n, around.columns, around.inner, around.height, around.width, out, out, one)
    else:
        write(grad, grad_x, t, lo, n)
