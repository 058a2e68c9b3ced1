"""The membrane between two events in closed form, and the time at which it reaches the threshold. Compiled.

    dI/dt = -I/tau_syn (excitatory and inhibitory);  du/dt = -u/tau_mem + Ie - Ii,  u = v - leak

    u(s) = u0 e^(-s/tm) + Ie K(s; te) - Ii K(s; ti),   K(s; tau) = (e^(-s/tau) - e^(-s/tm)) / (1/tm - 1/tau)

u' e^(s/tm) has a derivative with two exponentials, so one zero in closed form; between that zero and the ends u' has at
most one zero each; between those u is monotone. The first piece that ends at or above the threshold holds the crossing,
which a bracketed Newton iteration finds. Nothing can be missed, however short the time above the threshold.
Times in us, potentials in codes. Tolerance: `TOLERANCE` us.
"""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import math

from snnkit import _numba

_numba.configure()

from numba import njit  # noqa: E402

TOLERANCE = 1e-9
"""us: 1 fs, a millionth of the published bar of 1 ns."""
_ROUNDS = 80


@njit(**_numba.OPTIONS)
def response(s, tm, tau):
    """K(s; tau), also where the two time constants are equal or nearly so."""
    x = 1.0 / tau - 1.0 / tm
    if x == 0.0:
        return s * math.exp(-s / tm)
    if x > 0.0:
        return -math.exp(-s / tm) * math.expm1(-x * s) / x
    return math.exp(-s / tau) * math.expm1(x * s) / x


@njit(**_numba.OPTIONS)
def value(s, u, ie, ii, tm, te, ti):
    """u after s."""
    if ie == 0.0 and ii == 0.0:
        return u * math.exp(-s / tm)
    return u * math.exp(-s / tm) + ie * response(s, tm, te) - ii * response(s, tm, ti)


@njit(**_numba.OPTIONS)
def slope(s, u, ie, ii, tm, te, ti):
    """du/ds after s."""
    now = value(s, u, ie, ii, tm, te, ti)
    return -now / tm + ie * math.exp(-s / te) - ii * math.exp(-s / ti)


@njit(**_numba.OPTIONS)
def _extremum(low, high, u, ie, ii, tm, te, ti):
    """The zero of the slope in (low, high), whose ends have different signs."""
    rising = slope(low, u, ie, ii, tm, te, ti) > 0.0
    for _ in range(_ROUNDS):
        middle = 0.5 * (low + high)
        if high - low <= TOLERANCE:
            break
        if (slope(middle, u, ie, ii, tm, te, ti) > 0.0) == rising:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@njit(**_numba.OPTIONS)
def _root(low, high, level, u, ie, ii, tm, te, ti):
    """The time in (low, high] at which u rises to `level`; u is monotone there, below it at low and not at high."""
    s = 0.5 * (low + high)
    for _ in range(_ROUNDS):
        f = value(s, u, ie, ii, tm, te, ti) - level
        if f < 0.0:
            low = s
        else:
            high = s
        d = -(f + level) / tm + ie * math.exp(-s / te) - ii * math.exp(-s / ti)
        new = s - f / d if d > 0.0 else low
        if not (low < new < high):
            new = 0.5 * (low + high)
        if abs(new - s) <= TOLERANCE or high - low <= TOLERANCE:
            return new
        s = new
    return s


@njit(**_numba.OPTIONS)
def crossing(level, u, ie, ii, tm, te, ti, longest):
    """The first s in [0, longest] with u(s) >= level, or -1.

    level, u: above the leak potential. ie, ii >= 0.
    """
    if u >= level:
        return 0.0
    if max(u, 0.0) + ie * min(te, tm) < level:  # K(s; tau) <= min(tau, tm)
        return -1.0
    turn = longest
    if ie > 0.0 and ii > 0.0 and te != ti:
        at = math.log((ii / ti) / (ie / te)) / (1.0 / ti - 1.0 / te)
        if 0.0 < at < longest:
            turn = at
    begin = 0.0
    for piece in range(2):
        end = turn if piece == 0 else longest
        if end <= begin and piece == 1:
            break
        up = slope(begin, u, ie, ii, tm, te, ti) > 0.0
        if up != (slope(end, u, ie, ii, tm, te, ti) > 0.0):
            top = _extremum(begin, end, u, ie, ii, tm, te, ti)
            if value(top, u, ie, ii, tm, te, ti) >= level:
                return _root(begin, top, level, u, ie, ii, tm, te, ti)
            begin = top
        if value(end, u, ie, ii, tm, te, ti) >= level:
            return _root(begin, end, level, u, ie, ii, tm, te, ti)
        begin = end
    return -1.0


__all__ = ["TOLERANCE", "crossing", "response", "slope", "value"]
