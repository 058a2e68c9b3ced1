"""LIF over all steps of a block in the usual case, a tile of neurons at a time, whose state stays in registers.

The usual case: no neuron is refractory, and, on the way back, the reset is detached and no threshold learns. Values are
those of the rows in `lif.body`, operation by operation.

A sequence of rows is the address of its first, and from each to the next it is `…_step` numbers.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import beyond
from snnkit.kernels.cache import piece, row
from snnkit.kernels.lanes import alike, every, get, landed, many, put, select
from snnkit.kernels.prefetch import ask_lines
from snnkit.kernels.row_gradients import surrogate_row
from snnkit.surrogate import arctan

_arctan = piece(arctan.derivative_numba)


@piece
def _forward(x, x_step, x_next, decay, threshold, to_zero, v, out, out_step, out_next, v_end, i, steps, streamed, one):
    """The tile from neuron i on."""
    zero = one - one
    a, theta, before = get(decay, i, one), get(threshold, i, one), get(v, i, one)
    for t in range(steps):
        ask_lines(x, t * x_step + i, x_next, one)
        ask_lines(out, t * out_step + i, out_next, one)
        u = a * before + get(x, t * x_step + i, one)
        fired = u >= theta
        put(select(fired, one, select(u < theta, zero, u + theta)), out, t * out_step + i, streamed)
        before = select(fired, zero if to_zero else u - theta, u)
    put(before, v_end, i, False)


@row
def fire_steps(
    x, x_step, x_next, decay, threshold, to_zero, v, out, out_step, out_next, v_end, n, steps, streamed, one
):
    """`rows.fire` for all steps, rows x to rows out, which go past the caches where `streamed`; v_end: v after the last.

    x_next, out_next: numbers from a row of this block to that of the next one, which is asked for; 0 for none.
    """
    ones = every(one)
    size = many(ones)
    if n < size:
        for i in range(n):
            _forward(x, x_step, 0, decay, threshold, to_zero, v, out, out_step, 0, v_end, i, steps, False, one)
    else:
        for k in range(0, n, size):
            i = min(k, n - size)  # the last tile may have some neurons for the second time
            past = streamed and i == k
            _forward(
                x, x_step, x_next, decay, threshold, to_zero, v, out, out_step, out_next, v_end, i, steps, past, ones
            )
    if streamed:
        landed()


@piece
def _after(u, theta, to_zero, zero):
    """v after the reset."""
    return select(u >= theta, zero if to_zero else u - theta, u)


@piece
def _backward(
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
    i,
    steps,
    streamed,
    one,
    number,
):
    """The tile from neuron i on; us, slopes: room for it over all steps. number: 1, where `one` may be Lanes of it."""
    size, zero = many(one), one - one
    a, theta, start = get(decay, i, one), get(threshold, i, one), get(v, i, one)
    before = start
    for t in range(steps):
        ask_lines(x, t * x_step + i, x_next, one)
        u = a * before + get(x, t * x_step + i, one)
        put(u, us, t * size, False)
        before = _after(u, theta, to_zero, zero)
    if kind != 0:
        for t in range(steps):
            surrogate_row(
                kind, peak, scale, beyond(us, t * size), beyond(threshold, i), beyond(slopes, t * size), size, number
            )
    peaks, scales = alike(peak, one), alike(scale, one)
    grad, total = get(grad_v, i, one), zero
    for back in range(steps):
        t = steps - 1 - back
        ask_lines(grad_s, t * s_step + i, s_next, one)
        ask_lines(out, t * out_step + i, out_next, one)
        u = get(us, t * size, one)
        slope = _arctan(u - theta, peaks, scales, one) if kind == 0 else get(slopes, t * size, one)
        through = select(u >= theta, zero, grad) if to_zero else grad
        grad = through + get(grad_s, t * s_step + i, one) * slope
        put(grad, out, t * out_step + i, streamed)
        if learns:
            before = start if t == 0 else _after(get(us, max(0, t - 1) * size, one), theta, to_zero, zero)
            total = total + grad * before
        grad = a * grad
    put(grad, grad_v0, i, False)
    put(total, grad_decay, i, False)


@row
def detached_steps(
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

    From rows grad_s and grad_v, that of v_end, to rows out, grad_v0 and, where the decay `learns`, grad_decay. `…_next`
    and `streamed` as there. us, slopes: room for `tile_size` numbers a step.
    """
    ones = every(one)
    size = many(ones)
    if n < size:
        for i in range(n):
            _backward(
                kind, peak, scale, x, x_step, 0, decay, threshold, to_zero, v, grad_s, s_step, 0, grad_v, out,
                out_step, 0, grad_v0, grad_decay, learns, us, slopes, i, steps, False, one, one,
            )  # fmt: skip
    else:
        for k in range(0, n, size):
            i = min(k, n - size)
            _backward(
                kind, peak, scale, x, x_step, x_next, decay, threshold, to_zero, v, grad_s, s_step, s_next, grad_v, out,
                out_step, out_next, grad_v0, grad_decay, learns, us, slopes, i, steps, streamed and i == k, ones, one,
            )  # fmt: skip
    if streamed:
        landed()


@piece
def tile_size(one):
    """Neurons of a tile, with numbers of the type of `one`."""
    return many(every(one))
