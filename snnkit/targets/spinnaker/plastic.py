"""Pair STDP of a row, compiled: traces in 4.11, weights in s16.15, updated when the row is read.

Sources: sPyNNaker 7.4.1 neuron/plasticity/stdp/synapse_dynamics_stdp_mad_impl.c, timing_dependence/timing_pair_impl.h,
weight_dependence/weight_additive_one_term_impl.h and weight_multiplicative_impl.h, post_events.h.
"""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from snnkit import _numba

_numba.configure()

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

from snnkit._dialect import instantiate  # noqa: E402
from snnkit.targets.spinnaker import arithmetic  # noqa: E402

_forms = instantiate(arithmetic, where=njit(arithmetic.where), compiler=njit)
_mul, _wrap32 = _forms.mul, _forms.wrap32
_ONE = 2048
_EVENTS = 16


@njit(**_numba.OPTIONS)
def _int16(x):
    return ((x + 32768) & 65535) - 32768


@njit(**_numba.OPTIONS)
def _decayed(trace, time, rule, which, luts, shifts):
    """A trace after `time` steps: its product with the table, 0 beyond it."""
    place = time >> shifts[rule, which]
    factor = luts[rule, which, place] if 0 <= place < luts.shape[2] else 0
    return (_int16(trace) * _int16(factor)) >> 11


@njit(**_numba.OPTIONS)
def add_post_event(t, i, rule, plastic, post, count):
    """A spike of neuron i in step t joins its history; entry 0 is a placeholder, the oldest real one is dropped."""
    luts, shifts = plastic[9], plastic[10]
    last = count[i]
    trace = _int16(_decayed(post[i, last, 1], t - post[i, last, 0], rule, 1, luts, shifts) + _ONE)
    if last < _EVENTS - 1:
        last += 1
        count[i] = last
    else:
        for k in range(2, _EVENTS):
            post[i, k - 1, 0] = post[i, k, 0]
            post[i, k - 1, 1] = post[i, k, 1]
    post[i, last, 0] = t
    post[i, last, 1] = trace


@njit(**_numba.OPTIONS)
def _potentiated(w, x, limit, multiplicative):
    if multiplicative:
        return _wrap32(w + _mul(_mul(_wrap32(limit[1] - w), limit[2]), x << 4))
    return min(_wrap32(w + _mul(limit[2], x << 4)), limit[1])


@njit(**_numba.OPTIONS)
def _depressed(w, x, limit, multiplicative):
    if multiplicative:
        return _wrap32(w - _mul(_mul(_wrap32(w - limit[0]), limit[3]), x << 4))
    return max(_wrap32(w - _mul(limit[3], x << 4)), limit[0])


@njit(**_numba.OPTIONS)
def process_row(t, row, plastic, states, b, ring):
    """A packet in step t reads plastic row `row`: weights move, then are delivered. Returns the saturated additions."""
    at, neuron, entry, receptor, delay, shift, rule_of, luts, shifts, limits, flags = plastic[2:13]
    weights, rows, post, count = states[0][b], states[1][b], states[2][b], states[3][b]
    rule = rule_of[row]
    last, last_trace = rows[row, 0], rows[row, 1]
    rows[row, 0] = t
    rows[row, 1] = _int16(_decayed(last_trace, t - last, rule, 0, luts, shifts) + _ONE)
    over = 0
    for k in range(at[row], at[row + 1]):
        i = neuron[k]
        late = delay[k] if flags[rule, 0] else 0
        limit = limits[rule, receptor[k]]
        w = _wrap32(weights[k] << shift[k])
        begin = max(last - late, 0)
        stop = max(t - late, 0)
        previous = 0
        for e in range(1, count[i] + 1):
            time = post[i, e, 0]
            if time > stop:
                break
            if time > begin:
                since = time + late - last
                if since > 0:
                    x = _decayed(last_trace, since, rule, 0, luts, shifts)
                    w = _potentiated(w, x, limit, flags[rule, 1])
            previous = e
        if previous > 0:
            since = t - (post[i, previous, 0] + late)
            x = _decayed(post[i, previous, 1], since, rule, 1, luts, shifts)
            w = _depressed(w, x, limit, flags[rule, 1])
        stored = (w >> shift[k]) & 65535
        weights[k] = stored
        if delay[k] > 0:
            slot = (t + delay[k]) & (ring.shape[0] - 1)
            total = np.int64(ring[slot, entry[k]]) + stored
            if total > 65535:
                total = 65535
                over += 1
            ring[slot, entry[k]] = total
    return over
