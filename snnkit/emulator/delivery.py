"""Event delivery: rows of weights that a spike adds to the accumulators of its targets.

A source (a host line or a neuron) owns segments `ptr[s]` to `ptr[s + 1]`. A dense segment adds n consecutive weights to
n consecutive targets; a sparse one adds them at listed offsets. Weights are small integers times a per-segment power of
two, in the unit of the whole network: that keeps most of them in one byte.
"""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from snnkit import _numba

_numba.configure()

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

_ONES, _GATHER = np.uint64(0x0101010101010101), np.uint64(0x0102040810204080)
_BITS = (np.arange(256)[:, None] >> np.arange(8)) & 1
_NUMBER = _BITS.sum(1)
_POSITIONS = np.argsort(1 - _BITS, axis=1, kind="stable")
"""Positions of the set bits of a byte, first ones first; only the first `_NUMBER` of a row count."""


@njit(**_numba.OPTIONS)
def deliver(source, count, tick, ptr, dst, size, weight_at, index_at, delay, factor, weights, indices, ring):
    """Add `count` spikes of a source, whose rows act in step tick + delay, to `ring` [depth, N]."""
    depth = ring.shape[0]
    for k in range(ptr[source], ptr[source + 1]):
        n = size[k]
        first = dst[k]
        row = weights[weight_at[k] : weight_at[k] + n]
        acc = ring[(tick + delay[k]) % depth]
        f = factor[k] * count
        if index_at[k] < 0:
            target = acc[first : first + n]
            if f == 1:
                for j in range(n):
                    target[j] += row[j]
            else:
                for j in range(n):
                    target[j] += row[j] * f
        else:
            offset = indices[index_at[k] : index_at[k] + n]
            for j in range(n):
                acc[first + offset[j]] += row[j] * f


@njit(**_numba.OPTIONS)
def deliver_eight(sources, tick, ptr, dst, size, weight_at, delay, factor, weights, ring):
    """One spike of each of eight sources whose rows are dense, int8 and cover the same targets (equal `pattern`).

    Eight bytes add up without overflow in 16 bits, so the accumulator is touched once instead of eight times.
    """
    depth = ring.shape[0]
    p0, p1, p2, p3 = ptr[sources[0]], ptr[sources[1]], ptr[sources[2]], ptr[sources[3]]
    p4, p5, p6, p7 = ptr[sources[4]], ptr[sources[5]], ptr[sources[6]], ptr[sources[7]]
    for k in range(ptr[sources[0] + 1] - p0):
        n = size[p0 + k]
        first = dst[p0 + k]
        target = ring[(tick + delay[p0 + k]) % depth, first : first + n]
        f = factor[p0 + k]
        a = weights[weight_at[p0 + k] : weight_at[p0 + k] + n]
        b = weights[weight_at[p1 + k] : weight_at[p1 + k] + n]
        c = weights[weight_at[p2 + k] : weight_at[p2 + k] + n]
        d = weights[weight_at[p3 + k] : weight_at[p3 + k] + n]
        e = weights[weight_at[p4 + k] : weight_at[p4 + k] + n]
        g = weights[weight_at[p5 + k] : weight_at[p5 + k] + n]
        h = weights[weight_at[p6 + k] : weight_at[p6 + k] + n]
        i = weights[weight_at[p7 + k] : weight_at[p7 + k] + n]
        if f == 1:
            for j in range(n):
                target[j] += np.int16(a[j] + b[j] + c[j] + d[j] + e[j] + g[j] + h[j] + i[j])
        else:
            for j in range(n):
                target[j] += np.int16(a[j] + b[j] + c[j] + d[j] + e[j] + g[j] + h[j] + i[j]) * f


@njit(**_numba.OPTIONS)
def deliver_all(
    sources, counts, tick, ptr, dst, size, weight_at, index_at, delay, factor, weights, indices, pattern, ring
):
    """Deliver the spikes of `sources` (global numbers); `counts` gives their multiplicity, empty for 1."""
    n = sources.shape[0]
    k = 0
    while k < n:
        p = pattern[sources[k]]
        same = p >= 0 and k + 8 <= n and counts.shape[0] == 0
        if same:
            for j in range(k + 1, k + 8):
                same = same and pattern[sources[j]] == p
        if same:
            deliver_eight(sources[k : k + 8], tick, ptr, dst, size, weight_at, delay, factor, weights, ring)
            k += 8
        else:
            count = np.int64(counts[k]) if counts.shape[0] > 0 else 1
            deliver(sources[k], count, tick, ptr, dst, size, weight_at, index_at, delay, factor, weights, indices, ring)
            k += 1


@njit(**_numba.OPTIONS)
def active(row, first, found):
    """Write `first` + position of every nonzero byte of `row` to `found` and return their number.

    `found` needs room for row.shape[0] + row.shape[0] // 8 + 10 entries. Without branches: first the nonzero words of
    eight bytes, then the positions of their nonzero bytes from a table.
    """
    n = 0
    whole = row.shape[0] // 8
    words = row[: whole * 8].view(np.uint64)
    nonzero = found[row.shape[0] + 9 :]
    m = 0
    for w in range(whole):
        nonzero[m] = w
        m += words[w] != 0
    for k in range(m):
        w = nonzero[k]
        x = words[w]
        x |= x >> np.uint64(4)
        x |= x >> np.uint64(2)
        x |= x >> np.uint64(1)
        # bit 0 of every byte is now set if the byte is not 0; the product gathers the eight of them in the top byte
        mask = ((x & _ONES) * _GATHER) >> np.uint64(56)
        base = first + 8 * w
        for i in range(8):
            found[n + i] = base + _POSITIONS[mask, i]
        n += _NUMBER[mask]
    for i in range(8 * whole, row.shape[0]):
        found[n] = first + i
        n += row[i] != 0
    return n
