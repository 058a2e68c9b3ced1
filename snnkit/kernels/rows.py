"""Compiled pieces that the fused CPU kernels share: one row of a block at a time, small loops that vectorise.

Each loop touches few arrays, because the vectoriser gives up where it would have to prove many of them apart. No
fused multiply-add and no reassociation: every operation rounds as in the eager reference.
"""

# mypy: disable-error-code="no-untyped-def,call-arg"
from __future__ import annotations

from snnkit.kernels.bfloat16 import narrow, wide
from snnkit.kernels.cache import row


@row
def fill(values, repeat, lo, n, out):
    """out[i] = values[((lo + i) // repeat) % len(values)]: a parameter spread over a block."""
    count = values.shape[0]
    if count == 1:
        value = values[0]
        for i in range(n):
            out[i] = value
        return
    position = lo % (count * repeat)
    k, left = position // repeat, repeat - position % repeat
    i = 0
    if repeat == 1:
        while i < n:
            many = min(n - i, count - k)
            for j in range(many):
                out[i + j] = values[k + j]
            i += many
            k = 0
        return
    while i < n:
        value, many = values[k], min(n - i, left)
        for j in range(many):
            out[i + j] = value
        i += many
        left = repeat
        k = k + 1 if k + 1 < count else 0


@row
def load(values, lo, n, out):
    """out = values[lo:lo + n]; zeros where there are no values."""
    if values.shape[0] == 0:
        for i in range(n):
            out[i] = 0
    else:
        for i in range(n):
            out[i] = values[lo + i]


@row
def store(source, lo, n, values):
    """values[lo:lo + n] = source, where values are wanted."""
    if values.shape[0] > 0:
        for i in range(n):
            values[lo + i] = source[i]


@row
def copy(source, out, n):
    """out = source."""
    for i in range(n):
        out[i] = source[i]


@row
def leak(x, decay, v, n):
    """v = decay·v + x."""
    for i in range(n):
        v[i] = decay[i] * v[i] + x[i]


@row
def raised(threshold, strength, trace, theta, n):
    """theta = threshold + strength·trace."""
    for i in range(n):
        theta[i] = threshold[i] + strength[i] * trace[i]


@row
def fire(x, decay, threshold, to_zero, v, s, n, one):
    """u = decay·v + x; s = [u ≥ threshold], not a number where the test compares with none; v after the reset."""
    zero = one - one
    if to_zero:
        for i in range(n):
            u = decay[i] * v[i] + x[i]
            fired = u >= threshold[i]
            s[i] = one if fired else (zero if u < threshold[i] else u + threshold[i])
            v[i] = zero if fired else u
    else:
        for i in range(n):
            u = decay[i] * v[i] + x[i]
            fired = u >= threshold[i]
            s[i] = one if fired else (zero if u < threshold[i] else u + threshold[i])
            v[i] = u - threshold[i] if fired else u


@row
def fire_refractory(x, decay, threshold, to_zero, refractory, v, wait, s, n, one):
    """As `fire`; where wait > 0 nothing is integrated, and wait counts down. x and s may be in bfloat16."""
    zero = one - one
    for i in range(n):
        if wait[i] > 0:
            wait[i] -= 1
            s[i] = narrow(s, zero)
        else:
            u = decay[i] * v[i] + wide(x[i])
            if u >= threshold[i]:
                s[i] = narrow(s, one)
                v[i] = zero if to_zero else u - threshold[i]
                wait[i] = refractory
            else:
                s[i] = narrow(s, zero if u < threshold[i] else u + threshold[i])
                v[i] = u


@row
def retrace(x, decay, threshold, to_zero, v, u_row, n, one):
    """The membrane before the test, u_row, recomputed; v after the reset. x may be in bfloat16."""
    zero = one - one
    if to_zero:
        for i in range(n):
            u = decay[i] * v[i] + wide(x[i])
            u_row[i] = u
            v[i] = zero if u >= threshold[i] else u
    else:
        for i in range(n):
            u = decay[i] * v[i] + wide(x[i])
            u_row[i] = u
            v[i] = u - threshold[i] if u >= threshold[i] else u


@row
def retrace_refractory(x, decay, threshold, to_zero, refractory, v, wait, u_row, active, n, one):
    """As `retrace`; active is 1 where v was updated, elsewhere 0 and u_row holds v."""
    zero = one - one
    for i in range(n):
        if wait[i] > 0:
            wait[i] -= 1
            active[i] = zero
            u_row[i] = v[i]
        else:
            u = decay[i] * v[i] + wide(x[i])
            active[i] = one
            u_row[i] = u
            if u >= threshold[i]:
                v[i] = zero if to_zero else u - threshold[i]
                wait[i] = refractory
            else:
                v[i] = u


@row
def after_reset(u, threshold, active, masked, to_zero, v, n, one):
    """v after the reset, from the u_row (and active, where `masked`) of `retrace`."""
    zero = one - one
    for i in range(n):
        fired = u[i] >= threshold[i]
        if masked:
            fired = fired and active[i] > zero
        v[i] = (zero if to_zero else u[i] - threshold[i]) if fired else u[i]
