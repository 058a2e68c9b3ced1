"""LIF over all steps of a block in the usual case, a tile of neurons at a time, whose state stays in registers.

The usual case: no neuron is refractory, and, on the way back, the reset is detached and no threshold learns. Values are
those of the rows in `lif.body`, operation by operation.

A sequence of rows is the address of its first, and from each to the next it is `…_step` numbers.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import overload

from snnkit.kernels.address import beyond
from snnkit.kernels.cache import piece, piece_options, row
from snnkit.kernels.lanes import alike, every, get, landed, many, put, select, unordered
from snnkit.kernels.lif.pieces import piece_of
from snnkit.kernels.row_gradients import surrogate_row
from snnkit.surrogate import arctan

_arctan = piece(arctan.derivative_numba)


tile_at, take, keep, ask = map(piece_of, ("tile_at", "take", "keep", "ask"))
begin, given, finish, give, ask_out = map(piece_of, ("begin", "given", "finish", "give", "ask_out"))
given_back, begin_back, give_back = map(piece_of, ("given_back", "begin_back", "give_back"))
finish_back, ask_back = map(piece_of, ("finish_back", "ask_back"))


@piece
def _forward(
    around, x, x_step, x_next, decay, threshold, to_zero, v, out, out_step, out_next, v_end, where, steps, streamed, one
):
    """The tile of neurons `where`."""
    zero, front = one - one, begin(around, where, one)
    a, theta, before = take(around, decay, where, one), take(around, threshold, where, one), take(around, v, where, one)
    for t in range(steps):
        ask(around, x, t * x_step + x_next, where, x_next > 0, one)
        ask_out(around, out, t * out_step + out_next, where, out_next > 0, one)
        drive, front = given(around, x, t * x_step, where, front, one)
        u = a * before + drive
        fired = u >= theta
        s = select(unordered(u, theta), u + theta, select(fired, one, zero))
        give(around, s, out, t * out_step, where, streamed)
        before = select(fired, zero if to_zero else u - theta, u)
    keep(around, before, v_end, where)
    finish(around, front, where)


def _of_none(function: Any) -> Any:
    """A piece for a single neuron, which is compiled where nothing is around it: only there are there so few."""

    def stub(around: Any, *args: Any) -> Any:
        raise NotImplementedError

    def nothing(around, *args):
        pass

    overload(stub, strict=False, jit_options=piece_options())(
        lambda around, *args: function if around is types.none else nothing
    )
    return stub


@_of_none
def _forward_one(around, x, x_step, decay, threshold, to_zero, v, out, out_step, v_end, i, steps, one):
    _forward(around, x, x_step, 0, decay, threshold, to_zero, v, out, out_step, 0, v_end, i, steps, False, one)


@row
def fire_steps(
    around, x, x_step, x_next, decay, threshold, to_zero, v, out, out_step, out_next, v_end, n, steps, streamed, one
):
    """`rows.fire` for all steps, rows x to rows out, which go past the caches where `streamed`; v_end: v in the end.

    around: what is around the neurons of a tile, by the pieces that `lif.alone` has for nothing; where it is something,
    n is at least `tile_size`.
    x_next, out_next: numbers from a row of this block to that of the next one, which is asked for; 0 for none.
    """
    ones = every(one)
    size = many(ones)
    for k in range(0, n if n >= size else 0, size):
        past = streamed and k + size <= n
        _forward(
            around, x, x_step, x_next, decay, threshold, to_zero, v, out, out_step, out_next, v_end,
            tile_at(around, k, n, ones), steps, past, ones,
        )  # fmt: skip
    for i in range(n if n < size else 0):
        _forward_one(around, x, x_step, decay, threshold, to_zero, v, out, out_step, v_end, i, steps, one)
    if streamed:
        landed()


@piece
def _after(u, theta, to_zero, zero):
    """v after the reset."""
    return select(u >= theta, zero if to_zero else u - theta, u)


@piece
def _backward(
    around,
    kind,
    peak,
    scale,
    x,
    x_step,
    x_next,
    decay,
    threshold,
    to_zero,
    v,
    grad_s,
    s_step,
    s_next,
    grad_v,
    out,
    out_step,
    out_next,
    grad_v0,
    grad_decay,
    learns,
    us,
    slopes,
    where,
    steps,
    streamed,
    one,
    number,
):
    """The tile of neurons `where`; us, slopes: room for it over all steps and once more. number: 1, where `one` may be
    Lanes of it."""
    size, zero, front = many(one), one - one, begin(around, where, one)
    a, theta, start = take(around, decay, where, one), take(around, threshold, where, one), take(around, v, where, one)
    before = start
    for t in range(steps):
        ask(around, x, t * x_step + x_next, where, x_next > 0, one)
        drive, front = given(around, x, t * x_step, where, front, one)
        u = a * before + drive
        put(u, us, t * size, False)
        before = _after(u, theta, to_zero, zero)
    if kind != 0:
        put(theta, slopes, steps * size, False)
        thetas = beyond(slopes, steps * size)
        for t in range(steps):
            surrogate_row(kind, peak, scale, beyond(us, t * size), thetas, beyond(slopes, t * size), size, number)
    peaks, scales = alike(peak, one), alike(scale, one)
    grad, total, rear = take(around, grad_v, where, one), zero, begin_back(around, where, one)
    for back in range(steps):
        t = steps - 1 - back
        ask_back(around, grad_s, t * s_step + s_next, where, s_next > 0, one)
        ask(around, out, t * out_step + out_next, where, out_next > 0, one)
        u = get(us, t * size, one)
        slope = _arctan(u - theta, peaks, scales, one) if kind == 0 else get(slopes, t * size, one)
        through = select(u >= theta, zero, grad) if to_zero else grad
        grad = through + given_back(around, grad_s, t * s_step, where, one) * slope
        rear = give_back(around, grad, out, t * out_step, where, rear, streamed)
        if learns:
            before = start if t == 0 else _after(get(us, max(0, t - 1) * size, one), theta, to_zero, zero)
            total = total + grad * before
        grad = a * grad
    keep(around, grad, grad_v0, where)
    keep(around, total, grad_decay, where)
    finish_back(around, rear, where)


@_of_none
def _backward_one(
    around, kind, peak, scale, x, x_step, decay, threshold, to_zero, v, grad_s, s_step, grad_v, out, out_step, grad_v0,
    grad_decay, learns, us, slopes, i, steps, one,
):  # fmt: skip
    _backward(
        around, kind, peak, scale, x, x_step, 0, decay, threshold, to_zero, v, grad_s, s_step, 0, grad_v, out, out_step,
        0, grad_v0, grad_decay, learns, us, slopes, i, steps, False, one, one,
    )  # fmt: skip


@row
def detached_steps(
    around,
    kind,
    peak,
    scale,
    x,
    x_step,
    x_next,
    decay,
    threshold,
    to_zero,
    v,
    grad_s,
    s_step,
    s_next,
    grad_v,
    out,
    out_step,
    out_next,
    grad_v0,
    grad_decay,
    learns,
    us,
    slopes,
    n,
    steps,
    streamed,
    one,
):
    """Gradients of `fire_steps`, `rows.retrace` and `row_gradients.detached_gradient` for all steps.

    From rows grad_s and grad_v, that of v_end, to rows out, grad_v0 and, where the decay `learns`, grad_decay.
    `…_next`, `around` and `streamed` as there. us, slopes: room for `tile_size` numbers a step, and once more.
    """
    ones = every(one)
    size = many(ones)
    for k in range(0, n if n >= size else 0, size):
        past = streamed and k + size <= n
        _backward(
            around, kind, peak, scale, x, x_step, x_next, decay, threshold, to_zero, v, grad_s, s_step, s_next,
            grad_v, out, out_step, out_next, grad_v0, grad_decay, learns, us, slopes,
            tile_at(around, k, n, ones), steps, past, ones, one,
        )  # fmt: skip
    for i in range(n if n < size else 0):
        _backward_one(
            around, kind, peak, scale, x, x_step, decay, threshold, to_zero, v, grad_s, s_step, grad_v, out, out_step,
            grad_v0, grad_decay, learns, us, slopes, i, steps, one,
        )  # fmt: skip
    if streamed:
        landed()


@piece
def tile_size(one):
    """Neurons of a tile, with numbers of the type of `one`."""
    return many(every(one))
