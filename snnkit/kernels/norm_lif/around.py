"""A batch norm in front of a neuron and an average pool behind it or between them: the pieces that `lif.body` calls."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from typing import Any, NamedTuple

from snnkit.kernels.address import at
from snnkit.kernels.bfloat16 import convert, read, target, write
from snnkit.kernels.cache import piece
from snnkit.kernels.lanes import LINE, every, streams
from snnkit.kernels.lif.steps import detached_steps, fire_steps
from snnkit.kernels.norm_lif.rows import affine, pool, settle, spread
from snnkit.kernels.norm_lif.tile import Tile, beside, fits
from snnkit.kernels.prefetch import ask_down
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
def place(around, b, fresh, block, width, rows):
    columns, inner, high, wide = around.window
    group, small = columns * inner * high, columns // wide * inner
    groups = min(block, width // group - b * block)
    lo, n = b * block * group, groups * group
    to, k = b * block * small, groups * small
    same = around.repeat == 1 and block * group % around.scale.shape[0] == 0  # whole rounds of the channels
    if fresh or not same:
        fill(around.scale, around.repeat, lo, n, at(rows, _SCALE, 0))
        fill(around.shift, around.repeat, lo, n, at(rows, _SHIFT, 0))
    if around.between:
        return lo, n, to, k, to, k
    return lo, n, lo, n, to, k


@piece
def enter(around, x, t, lo, n, rows, row):
    y = at(rows, _Y, 0) if around.between else row
    affine(at(x, t, lo), at(rows, _SCALE, 0), at(rows, _SHIFT, 0), around.contract, y, n)
    if around.between:
        pool(y, n, around.window, around.pixels, at(rows, _ROOM, 0), at(x, t, lo), row)
    return row


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
def enter_back(around, grad_s, t, to, k, rows, row):
    if not around.after:
        return read(grad_s, t, to, k, row)
    n, part = k * around.window[2] * around.window[3], at(grad_s, t, to)
    spread(part, n, around.window, around.pixels, part, row)
    return row


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


@piece
def kept(around, back):
    return 3 if back else 2


@piece
def _tile(around, rows, one):
    """Neurons of a block in registers."""
    columns, inner, _, _ = around.window
    scale, shift = at(rows, _SCALE, 0), at(rows, _SHIFT, 0)
    return Tile(scale, shift, around.contract, columns, inner, around.after, one / around.pixels)


@piece
def _tiled(around, tile, n, one):
    """Whether the block falls into such tiles."""
    height, width = around.window[2], around.window[3]
    return not around.between and (not around.after or (height == 2 and width == 2)) and fits(tile, n, every(one))


@piece
def _in_lines(tile, x, lo, one):
    """Whether tiles write whole cache lines of the large x [T, M] from x[:, lo] on."""
    return streams(x, lo) and beside(tile, every(one)) * x.itemsize % LINE == 0


@piece
def forward_steps(around, x, lo, n, s, to, k, neurons, m, to_zero, keep, rows, one):
    a, th, v, v_end = neurons
    steps, size = x.shape[0], rows[1]
    tile = _tile(around, rows, one)
    if _tiled(around, tile, n, one):
        streamed = not around.after and _in_lines(tile, s, to, one)
        fire_steps(
            tile, at(x, 0, lo), x.shape[1], n, a, th, to_zero, v, at(s, 0, to), s.shape[1], 0 if streamed else k, v_end,
            n, steps, streamed, one,
        )  # fmt: skip
        return
    for t in range(steps):
        ask_down(x, t, lo, n)
        enter(around, x, t, lo, n, rows, at(keep, t, 0))
    now, spikes = at(keep, 0, 0), at(keep, steps, 0)
    fire_steps(None, now, size, 0, a, th, to_zero, v, spikes, size, 0, v_end, m, steps, False, one)
    for t in range(steps):
        if around.after:
            leave(around, at(keep, steps + t, 0), s, t, to, k, rows)
        else:
            convert(at(keep, steps + t, 0), at(s, t, to), k)


@piece
def backward_steps(
    around, x, lo, n, grad_s, to, k, grad_x, neurons, m, to_zero, surrogate, keep, learns, tiles, rows, one
):
    (a, th, v, gv, gv0, ga), (kind, peak, scale), (us, slopes) = neurons, surrogate, tiles
    steps, size = x.shape[0], rows[1]
    tile = _tile(around, rows, one)
    if _tiled(around, tile, n, one):
        streamed = _in_lines(tile, grad_x, lo, one)
        detached_steps(
            tile, kind, peak, scale, at(x, 0, lo), x.shape[1], n, a, th, to_zero, v, at(grad_s, 0, to),
            grad_s.shape[1], k, gv, at(grad_x, 0, lo), grad_x.shape[1], 0 if streamed else n, gv0, ga, learns, us,
            slopes, n, steps, streamed, one,
        )  # fmt: skip
        return
    for t in range(steps):
        ask_down(x, t, lo, n)
        enter(around, x, t, lo, n, rows, at(keep, t, 0))
    for t in range(steps):
        ask_down(grad_s, t, to, k)
        if around.after:
            enter_back(around, grad_s, t, to, k, rows, at(keep, steps + t, 0))
        else:
            convert(at(grad_s, t, to), at(keep, steps + t, 0), k)
    now, given, out = at(keep, 0, 0), at(keep, steps, 0), at(keep, 2 * steps, 0)
    detached_steps(
        None, kind, peak, scale, now, size, 0, a, th, to_zero, v, given, size, 0, gv,
        out, size, 0, gv0, ga, learns, us, slopes, m, steps, False, one,
    )  # fmt: skip
    for t in range(steps):
        if around.between:
            leave_back(around, at(keep, 2 * steps + t, 0), grad_x, t, lo, n, m, rows)
        else:
            convert(at(keep, 2 * steps + t, 0), at(grad_x, t, lo), n)
