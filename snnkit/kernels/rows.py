"""Compiled pieces that the fused CPU kernels share: one row of a block at a time, small loops that vectorise.

Each loop touches few arrays, because the vectoriser gives up where it would have to prove many of them apart. No
fused multiply-add and no reassociation: every operation rounds as in the eager reference.
"""

from __future__ import annotations

from snnkit._numba import OPTIONS, configure

configure()

from typing import Any  # noqa: E402

from numba import njit  # noqa: E402

from snnkit.surrogate import arctan, fast_sigmoid, gaussian, piecewise_linear, sigmoid, triangle  # noqa: E402

KERNEL: dict[str, Any] = dict(OPTIONS)
"""Options of the kernels themselves: cached, free of the interpreter lock, serial; `threads.py` shares them out."""

ROW: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": False,
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
"""Options of the pieces, which only kernels call."""

_arctan = njit(**ROW)(arctan.derivative_numba)
_sigmoid = njit(**ROW)(sigmoid.derivative_numba)
_fast_sigmoid = njit(**ROW)(fast_sigmoid.derivative_numba)
_triangle = njit(**ROW)(triangle.derivative_numba)
_piecewise_linear = njit(**ROW)(piecewise_linear.derivative_numba)
_gaussian = njit(**ROW)(gaussian.derivative_numba)


@njit(**ROW)
def fill(values, repeat, lo, n, row):  # type: ignore[no-untyped-def]
    """row[i] = values[((lo + i) // repeat) % len(values)]: a parameter spread over a block."""
    count = values.shape[0]
    if count == 1:
        value = values[0]
        for i in range(n):
            row[i] = value
        return
    position = lo % (count * repeat)
    k = position // repeat
    left = repeat - position % repeat
    for i in range(n):
        row[i] = values[k]
        left -= 1
        if left == 0:
            left = repeat
            k += 1
            if k == count:
                k = 0


@njit(**ROW)
def load(values, lo, n, row):  # type: ignore[no-untyped-def]
    """row = values[lo:lo + n]; zeros where there are no values."""
    if values.shape[0] == 0:
        for i in range(n):
            row[i] = 0
    else:
        for i in range(n):
            row[i] = values[lo + i]


@njit(**ROW)
def store(row, lo, n, values):  # type: ignore[no-untyped-def]
    """values[lo:lo + n] = row, where values are wanted."""
    if values.shape[0] > 0:
        for i in range(n):
            values[lo + i] = row[i]


@njit(**ROW)
def leak(x, decay, v, n):  # type: ignore[no-untyped-def]
    """v = decay·v + x."""
    for i in range(n):
        v[i] = decay[i] * v[i] + x[i]


@njit(**ROW)
def fire(x, decay, threshold, to_zero, v, s, n, one):  # type: ignore[no-untyped-def]
    """u = decay·v + x; s = [u ≥ threshold]; v after the reset."""
    zero = one - one
    if to_zero:
        for i in range(n):
            u = decay[i] * v[i] + x[i]
            fired = u >= threshold[i]
            s[i] = one if fired else zero
            v[i] = zero if fired else u
    else:
        for i in range(n):
            u = decay[i] * v[i] + x[i]
            fired = u >= threshold[i]
            s[i] = one if fired else zero
            v[i] = u - threshold[i] if fired else u


@njit(**ROW)
def fire_refractory(x, decay, threshold, to_zero, refractory, v, wait, s, n, one):  # type: ignore[no-untyped-def]
    """As `fire`; where wait > 0 nothing is integrated, and wait counts down."""
    zero = one - one
    for i in range(n):
        if wait[i] > 0:
            wait[i] -= 1
            s[i] = zero
        else:
            u = decay[i] * v[i] + x[i]
            if u >= threshold[i]:
                s[i] = one
                v[i] = zero if to_zero else u - threshold[i]
                wait[i] = refractory
            else:
                s[i] = zero
                v[i] = u


@njit(**ROW)
def retrace(x, decay, threshold, to_zero, v, u_row, n, one):  # type: ignore[no-untyped-def]
    """The membrane before the test, u_row, recomputed; v after the reset."""
    zero = one - one
    if to_zero:
        for i in range(n):
            u = decay[i] * v[i] + x[i]
            u_row[i] = u
            v[i] = zero if u >= threshold[i] else u
    else:
        for i in range(n):
            u = decay[i] * v[i] + x[i]
            u_row[i] = u
            v[i] = u - threshold[i] if u >= threshold[i] else u


@njit(**ROW)
def retrace_refractory(x, decay, threshold, to_zero, refractory, v, wait, u_row, active, n, one):  # type: ignore[no-untyped-def]
    """As `retrace`; active is 1 where v was updated, elsewhere 0 and u_row holds v."""
    zero = one - one
    for i in range(n):
        if wait[i] > 0:
            wait[i] -= 1
            active[i] = zero
            u_row[i] = v[i]
        else:
            u = decay[i] * v[i] + x[i]
            active[i] = one
            u_row[i] = u
            if u >= threshold[i]:
                v[i] = zero if to_zero else u - threshold[i]
                wait[i] = refractory
            else:
                v[i] = u


@njit(**ROW)
def after_reset(u, threshold, active, masked, to_zero, v, n, one):  # type: ignore[no-untyped-def]
    """v after the reset, from the u_row (and active, where `masked`) of `retrace`."""
    zero = one - one
    for i in range(n):
        fired = u[i] >= threshold[i]
        if masked:
            fired = fired and active[i] > zero
        v[i] = (zero if to_zero else u[i] - threshold[i]) if fired else u[i]


@njit(**ROW)
def surrogate_row(kind, peak, scale, u, threshold, g, n, one):  # type: ignore[no-untyped-def]
    """g = surrogate derivative at u − threshold; `kind` as in `snnkit.surrogate`."""
    if kind == 0:
        for i in range(n):
            g[i] = _arctan(u[i] - threshold[i], peak, scale, one)
    elif kind == 1:
        for i in range(n):
            g[i] = _sigmoid(u[i] - threshold[i], peak, scale, one)
    elif kind == 2:
        for i in range(n):
            g[i] = _fast_sigmoid(u[i] - threshold[i], peak, scale, one)
    elif kind == 3:
        for i in range(n):
            g[i] = _triangle(u[i] - threshold[i], peak, scale, one)
    elif kind == 4:
        for i in range(n):
            g[i] = _piecewise_linear(u[i] - threshold[i], peak, scale, one)
    else:
        for i in range(n):
            g[i] = _gaussian(u[i] - threshold[i], peak, scale, one)


@njit(**ROW)
def spike_gradient(grad_s, u, threshold, to_zero, detach, grad_v, g, n):  # type: ignore[no-untyped-def]
    """g ← (∂L/∂s)·g, where an attached reset adds to ∂L/∂s what it does to v."""
    if detach:
        for i in range(n):
            g[i] = grad_s[i] * g[i]
    elif to_zero:
        for i in range(n):
            g[i] = (grad_s[i] - grad_v[i] * u[i]) * g[i]
    else:
        for i in range(n):
            g[i] = (grad_s[i] - grad_v[i] * threshold[i]) * g[i]


@njit(**ROW)
def mask_row(active, g, n):  # type: ignore[no-untyped-def]
    """g ← 0 in refractory steps."""
    for i in range(n):
        g[i] = g[i] * active[i]


@njit(**ROW)
def threshold_gradient(u, threshold, active, masked, to_zero, grad_v, g, total, n, one):  # type: ignore[no-untyped-def]
    """total ← total − g, and − ∂L/∂v where a reset has subtracted the threshold."""
    zero = one - one
    for i in range(n):
        total[i] -= g[i]
    if not to_zero:
        for i in range(n):
            fired = u[i] >= threshold[i]
            if masked:
                fired = fired and active[i] > zero
            total[i] -= grad_v[i] if fired else zero


@njit(**ROW)
def membrane_gradient(u, threshold, active, masked, to_zero, grad_v, g, grad_u, n, one):  # type: ignore[no-untyped-def]
    """grad_u = ∂L/∂u from ∂L/∂v after the reset, and g."""
    zero = one - one
    if to_zero and masked:
        for i in range(n):
            fired = u[i] >= threshold[i] and active[i] > zero
            grad_u[i] = (zero if fired else grad_v[i]) + g[i]
    elif to_zero:
        for i in range(n):
            grad_u[i] = (zero if u[i] >= threshold[i] else grad_v[i]) + g[i]
    else:
        for i in range(n):
            grad_u[i] = grad_v[i] + g[i]


@njit(**ROW)
def back_through_leak(decay, active, masked, grad_u, grad_v, n, one):  # type: ignore[no-untyped-def]
    """grad_v ← ∂L/∂v of the step before; grad_u ← 0 in refractory steps, through which grad_v passes unchanged."""
    zero = one - one
    if masked:
        for i in range(n):
            on = active[i] > zero
            grad = grad_u[i]
            grad_v[i] = decay[i] * grad if on else grad
            grad_u[i] = grad if on else zero
    else:
        for i in range(n):
            grad_v[i] = decay[i] * grad_u[i]


@njit(**ROW)
def add_product(a, b, total, n):  # type: ignore[no-untyped-def]
    """total ← total + a·b."""
    for i in range(n):
        total[i] += a[i] * b[i]
