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

MOST_ALIKE = 248
"""So many bytes of -128 add up to no less than -2**15."""

_ONES, _GATHER = np.uint64(0x0101010101010101), np.uint64(0x0102040810204080)
_BITS = (np.arange(256)[:, None] >> np.arange(8)) & 1
_NUMBER = _BITS.sum(1)
_POSITIONS = np.argsort(1 - _BITS, axis=1, kind="stable").astype(np.uint8)
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
def _add_eight(total, weights, at):
    """total += eight rows of `weights` that start at `at`, in 16 bits: twice the lanes of 32."""
    n = total.shape[0]
    a = weights[at[0] : at[0] + n]
    b = weights[at[1] : at[1] + n]
    c = weights[at[2] : at[2] + n]
    d = weights[at[3] : at[3] + n]
    e = weights[at[4] : at[4] + n]
    f = weights[at[5] : at[5] + n]
    g = weights[at[6] : at[6] + n]
    h = weights[at[7] : at[7] + n]
    for j in range(n):
        total[j] += a[j] + b[j] + c[j] + d[j] + e[j] + f[j] + g[j] + h[j]


@njit(**_numba.OPTIONS)
def deliver_alike(sources, tick, ptr, dst, size, weight_at, delay, factor, weights, zero_at, ring, at, scratch):
    """One spike of each of up to `MOST_ALIKE` sources whose rows are dense, int8 and cover the same targets.

    Their bytes add up in 16 bits without overflow; the accumulator is touched once. Groups of eight are filled up with
    a row of zeros. `at` int64 [8] and `scratch` int16 [longest row] are scratch.
    """
    p = ptr[sources[0]]
    m = sources.shape[0]
    for k in range(ptr[sources[0] + 1] - p):
        n = size[p + k]
        total = scratch[:n]
        total[:] = 0
        for group in range(0, m, 8):
            for i in range(8):
                at[i] = weight_at[ptr[sources[group + i]] + k] if group + i < m else zero_at
            _add_eight(total, weights, at)
        first = dst[p + k]
        target = ring[(tick + delay[p + k]) % ring.shape[0], first : first + n]
        f = factor[p + k]
        if f == 1:
            for j in range(n):
                target[j] += total[j]
        else:
            for j in range(n):
                target[j] += total[j] * f


@njit(**_numba.OPTIONS)
def deliver_all(
    sources, counts, tick, ptr, dst, size, weight_at, index_at, delay, factor, weights, indices, pattern, zero_at, ring,
    at, scratch,
):  # fmt: skip
    """Deliver the spikes of `sources` (global numbers); `counts` gives their multiplicity, empty for 1.

    `at` int64 [8] and `scratch` int16 [longest row] are scratch.
    """
    n = sources.shape[0]
    single = counts.shape[0] == 0
    k = 0
    while k < n:
        p = pattern[sources[k]]
        m = 1
        if p >= 0 and single:
            while m < MOST_ALIKE and k + m < n and pattern[sources[k + m]] == p:
                m += 1
        if m > 1:
            deliver_alike(
                sources[k : k + m], tick, ptr, dst, size, weight_at, delay, factor, weights, zero_at, ring, at, scratch
            )
        else:
            count = 1 if single else np.int64(counts[k])
            deliver(sources[k], count, tick, ptr, dst, size, weight_at, index_at, delay, factor, weights, indices, ring)
        k += m


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
