"""A batch norm in front of a neuron and an average pool behind it or between them: the pieces that `lif.body` calls."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from typing import Any, NamedTuple

from snnkit.kernels.address import at, beyond, recast
from snnkit.kernels.bfloat16 import convert, target, write
from snnkit.kernels.cache import piece
from snnkit.kernels.lanes import LINE, every, streams
from snnkit.kernels.lif.steps import detached_steps, fire_steps, tile_size
from snnkit.kernels.norm_lif.rows import affine, pool, spread
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
    given, scale, shift = at(x, t, lo), at(rows, _SCALE, 0), at(rows, _SHIFT, 0)
    out, y = recast(row, given), recast(at(rows, _Y, 0), given)
    affine(given, scale, shift, around.contract, y if around.between else out, n)
    if around.between:
        pool(y, n, around.window, around.pixels, at(rows, _ROOM, 0), given, out)
    return out


@piece
def room(around, s, t, to, rows):
    line = at(s, t, to)
    return recast(at(rows, _WIDER, 0), line) if around.after else line


@piece
def leave(around, spikes, s, t, to, k, rows):
    if around.after:
        n, out = k * around.window[2] * around.window[3], at(s, t, to)
        pool(spikes, n, around.window, around.pixels, at(rows, _ROOM, 0), out, out)


@piece
def enter_back(around, grad_s, t, to, k, rows, row):
    part = at(grad_s, t, to)
    if not around.after:
        return part
    n, out = k * around.window[2] * around.window[3], recast(row, part)
    spread(part, n, around.window, around.pixels, part, out)
    return out


@piece
def room_back(around, grad_x, t, lo, rows):
    return at(rows, _MEANS, 0) if around.between else target(grad_x, t, lo, at(rows, _Y, 0))


@piece
def leave_back(around, grad, grad_x, t, lo, n, m, rows):
    out = at(grad_x, t, lo)
    if around.between:
        means = recast(at(rows, _Y, 0), out)
        convert(grad, means, m)
        spread(means, n, around.window, around.pixels, means, out)
    else:
        write(grad, grad_x, t, lo, n)


@piece
def kept(around, back):
    return 3 if back else 2


@piece
def _tile(around, bare, rows, one):
    """Neurons of a block in registers; `bare`: with nothing around them."""
    columns, inner, _, _ = around.window
    scale, shift, pooled = at(rows, _SCALE, 0), at(rows, _SHIFT, 0), around.after and not bare
    return Tile(scale, shift, around.contract, bare, columns, inner, pooled, one / around.pixels)


@piece
def _tiled(around, rows, n, one):
    """Whether the block falls into tiles with what is around them."""
    height, width = around.window[2], around.window[3]
    usual = not around.between and (not around.after or (height == 2 and width == 2))
    return usual and fits(_tile(around, False, rows, one), n, every(one))


@piece
def _in_lines(tile, x, lo, one):
    """Whether tiles write whole cache lines of the large x [T, M] from x[:, lo] on."""
    return streams(x, lo) and beside(tile, every(one)) * x.itemsize % LINE == 0


@piece
def forward_steps(around, x, lo, n, s, to, k, neurons, m, to_zero, keep, rows, one):
    a, th, v, v_end = neurons
    steps, tiled = x.shape[0], _tiled(around, rows, n, one)
    tile = _tile(around, not tiled, rows, one)
    now, now_step, ahead, out, out_step, many = at(x, 0, lo), x.shape[1], n, at(s, 0, to), s.shape[1], n
    apart = not tiled and (around.after or m < tile_size(one))  # the spikes are in rows of the kernel's own
    if not tiled:
        now, now_step, ahead, many = recast(at(keep, 0, 0), now), _step(x, rows), 0, max(m, tile_size(one))
        for t in range(steps):
            ask_down(x, t, lo, n)
            enter(around, x, t, lo, n, rows, at(keep, t, 0))
    if apart:
        out, out_step = recast(at(keep, steps, 0), out), now_step
    streamed = not around.after and not apart and _in_lines(tile, s, to, one)
    fire_steps(
        tile, now, now_step, ahead, a, th, to_zero, v, out, out_step, 0 if streamed or not tiled else k, v_end, many,
        steps, streamed, one,
    )  # fmt: skip
    if apart:
        for t in range(steps):
            if around.after:
                leave(around, beyond(out, t * out_step), s, t, to, k, rows)
            else:
                convert(beyond(out, t * out_step), at(s, t, to), k)


@piece
def backward_steps(
    around, x, lo, n, grad_s, to, k, grad_x, neurons, m, to_zero, surrogate, keep, learns, tiles, rows, one
):
    (a, th, v, gv, gv0, ga), (kind, peak, scale), (us, slopes) = neurons, surrogate, tiles
    steps, tiled = x.shape[0], _tiled(around, rows, n, one)
    tile = _tile(around, not tiled, rows, one)
    now, now_step, ahead, given, given_step = at(x, 0, lo), x.shape[1], n, at(grad_s, 0, to), grad_s.shape[1]
    out, out_step, many = at(grad_x, 0, lo), grad_x.shape[1], n
    few = not tiled and m < tile_size(one)
    if not tiled:
        now, now_step, ahead, many = recast(at(keep, 0, 0), now), _step(x, rows), 0, max(m, tile_size(one))
        for t in range(steps):
            ask_down(x, t, lo, n)
            enter(around, x, t, lo, n, rows, at(keep, t, 0))
        if around.after or few:
            given, given_step = recast(at(keep, steps, 0), given), now_step
            for t in range(steps):
                ask_down(grad_s, t, to, k)
                if around.after:
                    enter_back(around, grad_s, t, to, k, rows, at(keep, steps + t, 0))
                else:
                    convert(at(grad_s, t, to), beyond(given, t * given_step), k)
    apart = around.between or few
    if apart:
        out, out_step = recast(at(keep, 2 * steps, 0), out), now_step
    streamed = not apart and _in_lines(tile, grad_x, lo, one)
    detached_steps(
        tile, kind, peak, scale, now, now_step, ahead, a, th, to_zero, v, given, given_step, k if tiled else 0, gv, out,
        out_step, 0 if streamed or not tiled else n, gv0, ga, learns, us, slopes, many, steps, streamed, one,
    )  # fmt: skip
    if apart:
        for t in range(steps):
            grad = beyond(out, t * out_step)
            if around.between:
                spread(grad, n, around.window, around.pixels, grad, at(grad_x, t, lo))
            else:
                convert(grad, at(grad_x, t, lo), n)


@piece
def _step(x, rows):
    """Numbers of x from a row of the kernel's own to the next."""
    return rows[1] * (2 if x.itemsize == 2 else 1)
