"""Fixed rows of packets into the ring buffers, compiled. Segments: see `decode.Delivery`."""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

from snnkit import _numba

_numba.configure()

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402


@njit(**_numba.OPTIONS)
def _add_dense(target, row):
    """target += row in 16 bits, saturated; returns how often. At most 512 entries: the count fits its 16 bits."""
    over = np.uint16(0)
    for j in range(target.shape[0]):
        total = np.uint16(target[j] + row[j])
        wrapped = np.uint16(total < row[j])
        over = np.uint16(over + wrapped)
        target[j] = np.uint16(total | np.uint16(np.uint16(0) - wrapped))
    return np.int64(over)


@njit(**_numba.OPTIONS)
def deliver(source, t, rows, ring):
    """The fixed synapses of one packet; returns the saturated additions."""
    ptr, dst, size, weight_at, index_at, delay, weights, indices = rows[:8]
    over = 0
    for k in range(ptr[source], ptr[source + 1]):
        slot = ring[(t + delay[k]) & (ring.shape[0] - 1)]
        n = size[k]
        row = weights[weight_at[k] : weight_at[k] + n]
        if index_at[k] < 0:
            over += _add_dense(slot[dst[k] : dst[k] + n], row)
        else:
            index = indices[index_at[k] : index_at[k] + n]
            first = dst[k]
            for j in range(n):
                total = np.uint32(slot[first + index[j]]) + np.uint32(row[j])
                over += np.int64(total >> np.uint32(16))
                slot[first + index[j]] = np.uint16(min(total, np.uint32(65535)))
    return over


@njit(**_numba.OPTIONS)
def _add_eight(exc, inh, rows, at):
    """Eight rows of int16 that start at `at`: positive words to `exc`, the others' magnitudes to `inh`."""
    n = exc.shape[0]
    a = rows[at[0] : at[0] + n]
    b = rows[at[1] : at[1] + n]
    c = rows[at[2] : at[2] + n]
    d = rows[at[3] : at[3] + n]
    e = rows[at[4] : at[4] + n]
    f = rows[at[5] : at[5] + n]
    g = rows[at[6] : at[6] + n]
    h = rows[at[7] : at[7] + n]
    # every sum is cut to 16 bits at once: modulo 2**16 nothing is lost, and 16 lanes fit a vector
    none = np.int16(0)
    for j in range(n):
        up = np.int16(max(a[j], none) + max(b[j], none))
        up = np.int16(up + max(c[j], none))
        up = np.int16(up + max(d[j], none))
        up = np.int16(up + max(e[j], none))
        up = np.int16(up + max(f[j], none))
        up = np.int16(up + max(g[j], none))
        up = np.int16(up + max(h[j], none))
        net = np.int16(a[j] + b[j])
        net = np.int16(net + c[j])
        net = np.int16(net + d[j])
        net = np.int16(net + e[j])
        net = np.int16(net + f[j])
        net = np.int16(net + g[j])
        net = np.int16(net + h[j])
        exc[j] = np.uint16(exc[j] + np.uint16(up))
        inh[j] = np.uint16(inh[j] + np.uint16(np.int16(up - net)))


@njit(**_numba.OPTIONS)
def deliver_alike(sources, t, rows, ring, at):
    """One packet of each of these sources, which share a pattern; no slot can saturate."""
    ptr, dst, delay = rows[0], rows[1], rows[5]
    signed_at, half, signed, zero = rows[10], rows[11], rows[12], rows[13]
    first = ptr[sources[0]]
    m = sources.shape[0]
    for k in range(ptr[sources[0] + 1] - first):
        slot = ring[(t + delay[first + k]) & (ring.shape[0] - 1)]
        n = half[first + k]
        base = dst[first + k]
        for group in range(0, m, 8):
            for i in range(8):
                at[i] = signed_at[ptr[sources[group + i]] + k] if group + i < m else zero
            _add_eight(slot[base : base + n], slot[base + n : base + 2 * n], signed, at)
