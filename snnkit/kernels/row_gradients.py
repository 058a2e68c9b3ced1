"""One row of a block a step back in time, for the fused CPU kernels: surrogate derivatives and gradients.

As in `snnkit.kernels.rows`, each loop touches few arrays, and every operation rounds as in the eager reference.
"""

# mypy: disable-error-code="no-untyped-def,call-arg"
from __future__ import annotations

from snnkit.kernels.bfloat16 import wide
from snnkit.kernels.cache import piece, row
from snnkit.surrogate import arctan, fast_sigmoid, gaussian, piecewise_linear, sigmoid, triangle

_arctan = piece(arctan.derivative_numba)
_sigmoid = piece(sigmoid.derivative_numba)
_fast_sigmoid = piece(fast_sigmoid.derivative_numba)
_triangle = piece(triangle.derivative_numba)
_piecewise_linear = piece(piecewise_linear.derivative_numba)
_gaussian = piece(gaussian.derivative_numba)


@row
def surrogate_row(kind, peak, scale, u, threshold, g, n, one):
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


@row
def spike_gradient(grad_s, u, threshold, to_zero, detach, grad_v, g, n, one):
    """g ← (∂L/∂s)·g, where an attached reset adds to ∂L/∂s what it does to v.
    grad_s may be in bfloat16."""
    zero = one - one
    if detach:
        for i in range(n):
            g[i] = wide(grad_s[i]) * g[i]
    elif to_zero:
        for i in range(n):
            finite = u[i] if u[i] - u[i] == zero else zero
            g[i] = (wide(grad_s[i]) - grad_v[i] * finite) * g[i]
    else:
        for i in range(n):
            g[i] = (wide(grad_s[i]) - grad_v[i] * threshold[i]) * g[i]


@row
def mask_row(active, g, n):
    """g ← 0 in refractory steps."""
    for i in range(n):
        g[i] = g[i] * active[i]


@row
def threshold_gradient(u, threshold, active, masked, to_zero, grad_v, g, total, n, one):
    """total ← total − g, and − ∂L/∂v where a reset has subtracted the threshold."""
    zero = one - one
    for i in range(n):
        total[i] -= g[i]
    if not to_zero:
        for i in range(n):
            part = grad_v[i] if u[i] >= threshold[i] else (zero if u[i] < threshold[i] else u[i] + threshold[i])
            if masked:
                part = part if active[i] > zero else zero
            total[i] -= part


@row
def membrane_gradient(u, threshold, active, masked, to_zero, grad_v, g, grad_u, n, one):
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


@row
def detached_gradient(kind, peak, scale, grad_s, u, threshold, decay, to_zero, grad_v, grad_u, n, one):
    """One step back where the reset is detached and no parameter of the threshold learns: the usual case in one loop.

    grad_u = ∂L/∂u and grad_v ← decay·grad_u: `surrogate_row`, `spike_gradient`, `membrane_gradient` and
    `back_through_leak` together, each operation rounded as there.
    """
    zero = one - one
    if kind == 0:
        for i in range(n):
            g = grad_s[i] * _arctan(u[i] - threshold[i], peak, scale, one)
            g = (zero if to_zero and u[i] >= threshold[i] else grad_v[i]) + g
            grad_u[i] = g
            grad_v[i] = decay[i] * g
    elif kind == 1:
        for i in range(n):
            g = grad_s[i] * _sigmoid(u[i] - threshold[i], peak, scale, one)
            g = (zero if to_zero and u[i] >= threshold[i] else grad_v[i]) + g
            grad_u[i] = g
            grad_v[i] = decay[i] * g
    elif kind == 2:
        for i in range(n):
            g = grad_s[i] * _fast_sigmoid(u[i] - threshold[i], peak, scale, one)
            g = (zero if to_zero and u[i] >= threshold[i] else grad_v[i]) + g
            grad_u[i] = g
            grad_v[i] = decay[i] * g
    elif kind == 3:
        for i in range(n):
            g = grad_s[i] * _triangle(u[i] - threshold[i], peak, scale, one)
            g = (zero if to_zero and u[i] >= threshold[i] else grad_v[i]) + g
            grad_u[i] = g
            grad_v[i] = decay[i] * g
    elif kind == 4:
        for i in range(n):
            g = grad_s[i] * _piecewise_linear(u[i] - threshold[i], peak, scale, one)
            g = (zero if to_zero and u[i] >= threshold[i] else grad_v[i]) + g
            grad_u[i] = g
            grad_v[i] = decay[i] * g
    else:
        for i in range(n):
            g = grad_s[i] * _gaussian(u[i] - threshold[i], peak, scale, one)
            g = (zero if to_zero and u[i] >= threshold[i] else grad_v[i]) + g
            grad_u[i] = g
            grad_v[i] = decay[i] * g


@row
def back_through_leak(decay, active, masked, grad_u, grad_v, n, one):
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


@row
def add_product(a, b, total, n):
    """total ← total + a·b."""
    for i in range(n):
        total[i] += a[i] * b[i]
