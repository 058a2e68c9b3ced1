"""Loihi's tick loop, compiled: one call runs a whole batch, samples in parallel, spikes by event."""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from snnkit import _numba

_numba.configure()

import numpy as np  # noqa: E402
from numba import njit, prange  # noqa: E402

from snnkit._dialect import instantiate  # noqa: E402
from snnkit.emulator.delivery import active, deliver_all  # noqa: E402
from snnkit.targets.loihi import arithmetic  # noqa: E402

_forms = instantiate(arithmetic, where=njit(arithmetic.where), compiler=njit)
_wrap22, _wrap24, _clip = _forms.wrap22, _forms.wrap24, _forms.clip
_current, _drive, _voltage, _fire = _forms.current, _forms.drive, _forms.voltage, _forms.fire

COUNTERS = (
    "spikes",
    "synaptic_events",
    "neuron_updates",
    "host_packets",
    "core_packets",
    "q_wraps",
    "u_wraps",
    "drive_wraps",
    "v_clips",
)
"""Columns of the counter array."""


@njit(**_numba.OPTIONS)
def _update(u, v, r, acc, unit, noise_u, s, du, dv, level, bias, vmin, vmax, refract, counters):
    """`arithmetic.step` for all compartments, with every wrap and clip counted; empties `acc`."""
    q_wraps = 0
    u_wraps = 0
    g_wraps = 0
    v_clips = 0
    spikes = 0
    for i in range(u.shape[0]):
        q0 = (np.int64(acc[i]) << unit) + noise_u[i]
        acc[i] = 0
        q = _wrap22(q0)
        u0 = _current(np.int64(u[i]), q, np.int64(du[i]))
        u1 = _wrap24(u0)
        g0 = _drive(u1, np.int64(bias[i]), 0)
        g = _wrap24(g0)
        v0 = _voltage(np.int64(v[i]), g, np.int64(dv[i]))
        v1 = _clip(v0, np.int64(vmin[i]), np.int64(vmax[i]))
        v2, r2, fired = _fire(v1, np.int64(r[i]), np.int64(level[i]), np.int64(refract[i]))
        q_wraps += q != q0
        u_wraps += u1 != u0
        g_wraps += g != g0
        v_clips += v1 != v0
        spikes += fired
        u[i] = u1
        v[i] = v2
        r[i] = r2
        s[i] = fired
    counters[0] += spikes
    counters[2] += u.shape[0]
    counters[5] += q_wraps
    counters[6] += u_wraps
    counters[7] += g_wraps
    counters[8] += v_clips


@njit(**_numba.OPTIONS)
def _sample(
    b, raster, several, gate_from, gate_to, ticks, rows, events, packets, unit, neurons, ring, noise_u, noise_v, record,
    out_s, out_u, out_v, counters,
):  # fmt: skip
    """Sample b of the batch (see `run_batch`); `ring` [depth, N] and `counters` are its own."""
    ptr, dst, size, weight_at, index_at, delay, factor, weights, indices, pattern = rows
    du, dv, level, bias, vmin, vmax, refract = neurons
    n_lines = raster.shape[2]
    n_gates = gate_from.shape[0]
    n = out_s.shape[2]
    u = np.zeros(n, np.int32)
    v = np.zeros(n, np.int32)
    r = np.zeros(n, np.int32)
    longest = max(n_lines, n)
    found = np.empty(longest + longest // 8 + n_gates + 10, np.int64)
    counts = np.empty(n_lines + n_gates, np.uint8)
    none = counts[:0]
    no_noise = np.zeros(n, np.int32)
    bu = min(b, noise_u.shape[1] - 1)
    bv = min(b, noise_v.shape[1] - 1)
    for t in range(ticks):
        hits = 0
        if t < raster.shape[0]:
            line = raster[t, b]
            hits = active(line, 0, found)
            if several:
                for k in range(hits):
                    counts[k] = line[found[k]]
                    counters[1] += events[found[k]] * (counts[k] - 1)
                    counters[3] += packets[found[k]] * (counts[k] - 1)
        for g in range(n_gates):
            if gate_from[g] <= t < gate_to[g]:
                found[hits] = n_lines + g
                counts[hits] = 1
                hits += 1
        for k in range(hits):
            counters[1] += events[found[k]]
            counters[3] += packets[found[k]]
        deliver_all(
            found[:hits], counts[:hits] if several else none, t, ptr, dst, size, weight_at, index_at, delay, factor,
            weights, indices, pattern, ring,
        )  # fmt: skip
        noise = noise_u[t, bu] if noise_u.shape[0] > 0 else no_noise
        drive = bias + noise_v[t, bv] if noise_v.shape[0] > 0 else bias
        s = out_s[t, b]
        _update(u, v, r, ring[t % ring.shape[0]], unit, noise, s, du, dv, level, drive, vmin, vmax, refract, counters)
        hits = active(s, n_lines + n_gates, found)
        for k in range(hits):
            counters[1] += events[found[k]]
            counters[4] += packets[found[k]]
        deliver_all(
            found[:hits],
            none,
            t + 1,
            ptr,
            dst,
            size,
            weight_at,
            index_at,
            delay,
            factor,
            weights,
            indices,
            pattern,
            ring,
        )
        for k in range(record.shape[0]):
            out_u[t, b, k] = u[record[k]]
            out_v[t, b, k] = v[record[k]]


@njit(parallel=True, **_numba.OPTIONS)
def run_batch(
    raster, several, gate_from, gate_to, ticks, rows, events, packets, unit, neurons, rings, noise_u, noise_v, record,
    out_s, out_u, out_v, counters,
):  # fmt: skip
    """All samples from the initial state: raster [T, B, L], `several` if it holds counts above 1, out_s [ticks, B, N], counters [B, len(COUNTERS)].

    rings [B, depth, N] zeros; noise_u, noise_v int32 [ticks or 0, B or 1, N]; record [K] recorded compartments.
    The samples do not touch each other, so the result is the same for any number of threads.
    """
    for p in prange(raster.shape[1]):
        b = np.int64(p)
        _sample(
            b, raster, several, gate_from, gate_to, ticks, rows, events, packets, unit, neurons, rings[b], noise_u, noise_v,
            record, out_s, out_u, out_v, counters[b],
        )  # fmt: skip
