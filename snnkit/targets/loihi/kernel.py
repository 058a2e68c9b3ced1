"""Loihi's tick loop, compiled: whole samples in one call, spikes by event."""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from typing import Any

from snnkit import _numba

_numba.configure()

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

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


_PACKET_BITS = 28
_PACKET_MASK = (1 << _PACKET_BITS) - 1


def pack_costs(events: Any, packets: Any) -> Any:
    """Synapses and messages of a spike of each source in one integer, so that one load counts both.

    28 bits hold the messages of a step of 500 full chips (128 cores of 4096 output axons), 35 bits its synaptic events.
    """
    return (np.asarray(events, np.int64) << _PACKET_BITS) + np.asarray(packets, np.int64)


@njit(**_numba.OPTIONS)
def _sum(costs, sources):
    total = 0
    for k in range(sources.shape[0]):
        total += costs[sources[k]]
    return total


@njit(**_numba.OPTIONS)
def run_samples(
    begin, end, raster, several, gate_from, gate_to, first, ticks, rows, costs, unit, neurons, rings, states, last,
    noise_u, noise_v, record, out_s, out_u, out_v, counters,
):  # fmt: skip
    """Samples begin to end - 1 of a batch, `ticks` ticks from tick `first` on.

    raster [T, B, L], `several` if it may hold counts above 1; rings [B, depth, at least N], states int32 [3, B, N] (u,
    v, steps left of the refractory time) and last uint8 [B, N] (who fired in the tick before) are what the ticks before
    left, zeros at first; noise_u, noise_v int32 [ticks or 0, B or 1, N]; record [K] recorded compartments; out_s
    [ticks, B, N]; counters [B, len(COUNTERS)]. Samples do not touch each other, so the result is the same however they
    are spread over threads.
    """
    ptr, dst, size, weight_at, index_at, delay, factor, weights, indices, pattern, zero_at = rows
    du, dv, level, bias, vmin, vmax, refract = neurons
    n_lines = raster.shape[2]
    n_gates = gate_from.shape[0]
    first_neuron = n_lines + n_gates
    n = out_s.shape[2]
    longest = n + n_lines + n_gates
    found = np.empty(longest + longest // 8 + 10, np.int64)
    counts = np.ones(longest if several else 0, np.uint8)
    at = np.empty(8, np.int64)
    scratch = np.empty(rings.shape[2], np.int16)
    no_noise = np.zeros(n, np.int32)
    for b in range(begin, end):
        u, v, r = states[0, b], states[1, b], states[2, b]
        ring = rings[b]
        bu = min(b, noise_u.shape[1] - 1)
        bv = min(b, noise_v.shape[1] - 1)
        hits = active(last[b], first_neuron, found)
        for t in range(ticks):
            now = first + t
            # in `found`: the neurons that fired in the step before; now the host's lines of this step
            if several:
                counts[:hits] = 1
            by_neurons = _sum(costs, found[:hits])
            old = hits
            if t < raster.shape[0]:
                line = raster[t, b]
                hits += active(line, np.int64(0), found[old:])
                if several:
                    for k in range(old, hits):
                        counts[k] = line[found[k]]
                        counters[b, 1] += (costs[found[k]] >> _PACKET_BITS) * (counts[k] - 1)
                        counters[b, 3] += (costs[found[k]] & _PACKET_MASK) * (counts[k] - 1)
            for g in range(n_gates):
                if gate_from[g] <= now < gate_to[g]:
                    found[hits] = n_lines + g
                    if several:
                        counts[hits] = 1
                    hits += 1
            by_host = _sum(costs, found[old:hits])
            counters[b, 1] += (by_neurons >> _PACKET_BITS) + (by_host >> _PACKET_BITS)
            counters[b, 3] += by_host & _PACKET_MASK
            counters[b, 4] += by_neurons & _PACKET_MASK
            deliver_all(
                found[:hits], counts, now, ptr, dst, size, weight_at, index_at, delay, factor, weights, indices,
                pattern, zero_at, ring, at, scratch,
            )  # fmt: skip
            noise = noise_u[t, bu] if noise_u.shape[0] > 0 else no_noise
            drive = bias + noise_v[t, bv] if noise_v.shape[0] > 0 else bias
            s = out_s[t, b]
            acc = ring[now % ring.shape[0]]
            _update(u, v, r, acc, unit, noise, s, du, dv, level, drive, vmin, vmax, refract, counters[b])
            hits = active(s, first_neuron, found)
            for k in range(record.shape[0]):
                out_u[t, b, k] = u[record[k]]
                out_v[t, b, k] = v[record[k]]
        if ticks > 0:
            last[b] = out_s[ticks - 1, b]
