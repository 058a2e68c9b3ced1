"""A step of a recurrent layer's neurons in the usual case, in vector registers: what several rows of `cpu` and `back`
do one after the other, operation by operation.

The usual case: a threshold that is a constant, no refractory neuron, and on the way back a detached reset and decays
that do not learn.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.cache import piece, row
from snnkit.kernels.lanes import alike, every, get, many, put, select, unordered
from snnkit.kernels.row_gradients import surrogate_row
from snnkit.surrogate import arctan

_arctan = piece(arctan.derivative_numba)


@piece
def _fire(x, back, syn, current, filtered, kept, keep, decay, threshold, to_zero, v, s, out, lo, hi, one):
    zero = one - one
    for i in range(lo, hi, many(one)):
        drive = get(x, i, one) + get(back, i, one)
        if filtered:
            drive = get(syn, i, one) * get(current, i, one) + drive
            put(drive, current, i, False)
        if keep:
            put(drive, kept, i, False)
        theta = get(threshold, i, one)
        u = get(decay, i, one) * get(v, i, one) + drive
        fired = u >= theta
        spikes = select(unordered(u, theta), u + theta, select(fired, one, zero))
        put(spikes, s, i, False)
        put(spikes, out, i, False)
        put(select(fired, zero if to_zero else u - theta, u), v, i, False)


@row
def fire_row(x, back, syn, current, filtered, kept, keep, decay, threshold, to_zero, v, s, out, n, one):
    """Row x and the product's row back → s and out, both the spikes; v goes on, and current where x is `filtered` by
    one; kept, where it is to be kept: what is added to the leaking membrane."""
    ones = every(one)
    whole = n // many(ones) * many(ones)
    _fire(x, back, syn, current, filtered, kept, keep, decay, threshold, to_zero, v, s, out, 0, whole, ones)
    _fire(x, back, syn, current, filtered, kept, keep, decay, threshold, to_zero, v, s, out, whole, n, one)


@piece
def _back(
    kind, peak, scale, grad_s, back, threshold, decay, to_zero, syn, filtered, grad_x, grad_i, grad_v, slopes, lo, hi,
    one,
):  # fmt: skip
    zero, peaks, scales = one - one, alike(peak, one), alike(scale, one)
    for i in range(lo, hi, many(one)):
        u, theta, grad = get(grad_x, i, one), get(threshold, i, one), get(grad_v, i, one)
        slope = _arctan(u - theta, peaks, scales, one) if kind == 0 else get(slopes, i, one)
        through = select(u >= theta, zero, grad) if to_zero else grad
        grad = through + (get(grad_s, i, one) + get(back, i, one)) * slope
        put(get(decay, i, one) * grad, grad_v, i, False)
        if filtered:
            grad = grad + get(grad_i, i, one)
            put(get(syn, i, one) * grad, grad_i, i, False)
        put(grad, grad_x, i, False)


@row
def back_row(
    kind, peak, scale, grad_s, back, threshold, decay, to_zero, syn, filtered, grad_x, grad_i, grad_v, slopes, n, one
):  # fmt: skip
    """The gradients of `fire_row`, from rows grad_s and back, which are added, and grad_v and grad_i, which go on;
    grad_x is the membrane before the test and becomes the gradient of x. slopes: room for a row."""
    if kind != 0:
        surrogate_row(kind, peak, scale, grad_x, threshold, slopes, n, one)
    ones = every(one)
    whole = n // many(ones) * many(ones)
    _back(
        kind, peak, scale, grad_s, back, threshold, decay, to_zero, syn, filtered, grad_x, grad_i, grad_v, slopes, 0,
        whole, ones,
    )  # fmt: skip
    _back(
        kind, peak, scale, grad_s, back, threshold, decay, to_zero, syn, filtered, grad_x, grad_i, grad_v, slopes,
        whole, n, one,
    )  # fmt: skip
