"""TrueNorth's tick loop, compiled: whole samples in one call, spikes by event, every neuron updated in every tick."""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from snnkit import _numba

_numba.configure()

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

from snnkit._dialect import instantiate  # noqa: E402
from snnkit.targets.truenorth import arithmetic  # noqa: E402

_forms = instantiate(arithmetic, where=njit(arithmetic.where), compiler=njit)
_drawn, _step, _beyond, _draw = _forms.drawn, _forms.step, _forms.beyond, _forms.draw

COUNTERS = (
    "spikes",
    "synaptic_events",
    "neuron_updates",
    "host_packets",
    "core_packets",
    "output_packets",
    "hops",
    "merged_spikes",
    "potentials_beyond_20_bits",
)
"""Columns of the counter array."""
N = 256
LEAK_DRAW, THRESHOLD_DRAW = 256, 257


@njit(**_numba.OPTIONS)
def _arrive(row, c, axon, many, counters):
    """Make an axon active; a spike that finds it active merges."""
    if row[c, axon] != 0:
        counters[7] += 1
    row[c, axon] = 1
    many[c] = 1


@njit(**_numba.OPTIONS)
def _plain(v, x, p, s):
    """`arithmetic.step` for one core without random draws; returns (spikes, potentials beyond 20 bits)."""
    spikes = 0
    wide = 0
    for i in range(N):
        after, fired, before = _step(
            v[i], np.int64(x[i]), p[0, i], p[1, i], 0, p[3, i], 0, p[5, i], p[6, i], p[7, i], p[8, i], 0, 0, p[9, i]
        )
        wide += _beyond(before) | _beyond(after)
        spikes += fired
        v[i] = after
        s[i] = fired
    return spikes, wide


@njit(**_numba.OPTIONS)
def _random(v, x, p, s, rho_leak, rho_threshold):
    """`arithmetic.step` for one core with draws."""
    spikes = 0
    wide = 0
    for i in range(N):
        after, fired, before = _step(
            v[i], np.int64(x[i]), p[0, i], p[1, i], p[2, i], p[3, i], p[4, i], p[5, i], p[6, i], p[7, i], p[8, i],
            rho_leak[i], rho_threshold[i], p[9, i],
        )  # fmt: skip
        wide += _beyond(before) | _beyond(after)
        spikes += fired
        v[i] = after
        s[i] = fired
    return spikes, wide


@njit(**_numba.OPTIONS)
def _add(x, rows, found, count):
    """x += the rows of `count` active axons, four at a time (int16 rows of at most 255 add up in 32 bits)."""
    k = 0
    while k + 4 <= count:
        a = rows[found[k]]
        b = rows[found[k + 1]]
        c = rows[found[k + 2]]
        d = rows[found[k + 3]]
        for i in range(N):
            x[i] += np.int32(a[i]) + np.int32(b[i]) + np.int32(c[i]) + np.int32(d[i])
        k += 4
    while k < count:
        a = rows[found[k]]
        for i in range(N):
            x[i] += np.int32(a[i])
        k += 1


@njit(**_numba.OPTIONS)
def run_samples(
    begin, end, raster, line_ptr, lines, gate_from, gate_to, ticks, rows, bits, stochastic, random_core, events,
    parameters, v_init, destination, n_lines_out, seed, draws_syn, draws_leak, draws_thr, record, out_s, out_axon,
    out_line, out_v, rings, counters,
):  # fmt: skip
    """Samples begin to end - 1 of a batch, each from the initial state.

    raster uint8 [T, B, L]; line_ptr [L+G+1] into lines [., 3] of (core, axon, delay); rows int16 [C, 256, 256] the
    deterministic weights; bits uint8 [C, 256, 256] type + 1 of each stochastic synapse, stochastic [C, 4, 256]
    their weights (int64); random_core [C]; events [C, 256] synapses of an axon; parameters int64 [C, 10, 256];
    destination
    int64 [C, 256, 5] of (kind, core, to, delay, hops); draws_* [ticks or 0, C, ...]; record int64 [K] global neurons;
    out_s [ticks, B, C*256], out_axon, out_line the same for axons and lines (or [0, ...]); rings uint8 [B, 16, C, 256].
    """
    n_cores = rows.shape[0]
    n_data = raster.shape[2]
    v = np.empty((n_cores, N), np.int64)
    x = np.empty(N, np.int32)
    found = np.empty(N, np.int64)
    active = np.empty((16, n_cores), np.uint8)
    rho_leak = np.zeros(N, np.int64)
    rho_threshold = np.zeros(N, np.int64)
    given = draws_syn.shape[0] > 0 or draws_leak.shape[0] > 0 or draws_thr.shape[0] > 0
    for b in range(begin, end):
        v[:] = v_init
        active[:] = 0
        ring = rings[b]
        mine = counters[b]
        for t in range(ticks):
            if t < raster.shape[0]:
                for k in range(n_data):
                    if raster[t, b, k] != 0:
                        for e in range(line_ptr[k], line_ptr[k + 1]):
                            at = (t + lines[e, 2]) & 15
                            _arrive(ring[at], lines[e, 0], lines[e, 1], active[at], mine)
                            mine[3] += 1
            for g in range(gate_from.shape[0]):
                if gate_from[g] <= t < gate_to[g]:
                    for e in range(line_ptr[n_data + g], line_ptr[n_data + g + 1]):
                        at = (t + lines[e, 2]) & 15
                        _arrive(ring[at], lines[e, 0], lines[e, 1], active[at], mine)
                        mine[3] += 1
            now = ring[t & 15]
            for c in range(n_cores):
                x[:] = 0
                count = 0
                if active[t & 15, c] != 0:
                    row = now[c]
                    if out_axon.shape[0] > 0:
                        out_axon[t, b, c * N : (c + 1) * N] = row
                    for a in range(N):
                        found[count] = a
                        count += row[a]
                    row[:] = 0
                    active[t & 15, c] = 0
                    for k in range(count):
                        mine[1] += events[c, found[k]]
                    _add(x, rows[c], found, count)
                s = out_s[t, b, c * N : (c + 1) * N]
                if random_core[c] == 0:
                    spikes, wide = _plain(v[c], x, parameters[c], s)
                else:
                    for k in range(count):
                        a = found[k]
                        for i in range(N):
                            kind = bits[c, a, i]
                            if kind > 0:
                                rho = draws_syn[t, c, a, i] if given else _draw(seed, t, c, a, i) & 255
                                x[i] += _drawn(stochastic[c, kind - 1, i], 1, rho)
                    for i in range(N):
                        rho_leak[i] = draws_leak[t, c, i] if given else _draw(seed, t, c, LEAK_DRAW, i) & 255
                        rho_threshold[i] = draws_thr[t, c, i] if given else _draw(seed, t, c, THRESHOLD_DRAW, i)
                    spikes, wide = _random(v[c], x, parameters[c], s, rho_leak, rho_threshold)
                mine[0] += spikes
                mine[2] += N
                mine[8] += wide
                if spikes > 0:
                    for i in range(N):
                        if s[i] != 0:
                            kind = destination[c, i, 0]
                            if kind == 1:
                                at = (t + destination[c, i, 3]) & 15
                                _arrive(ring[at], destination[c, i, 1], destination[c, i, 2], active[at], mine)
                                mine[4] += 1
                                mine[6] += destination[c, i, 4]
                            elif kind == 2:
                                out_line[t, b, destination[c, i, 2]] += 1
                                mine[5] += 1
                                mine[6] += destination[c, i, 4]
            for k in range(record.shape[0]):
                g = record[k]
                out_v[t, b, k] = v[g >> 8, g & 255] if g < n_cores * N else 0
