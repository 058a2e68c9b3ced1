"""TrueNorth's tick loop, compiled: whole samples in one call, spikes by event, every neuron updated in every tick."""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from snnkit import _numba

_numba.configure()

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

from snnkit._dialect import instantiate  # noqa: E402
from snnkit.emulator.delivery import active  # noqa: E402
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
    "ticks",
)
"""Columns of the counter array."""
N = 256
LEAK_DRAW, THRESHOLD_DRAW = 256, 257


@njit(**_numba.OPTIONS)
def _arrive(row, axon, waiting, count):
    """Make an axon (counted through all cores) active and list it with its core; 1 if it was active: they merge."""
    if row[axon] != 0:
        return 1
    row[axon] = 1
    core = axon >> 8
    waiting[(core << 8) + count[core]] = axon & 255
    count[core] += 1
    return 0


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
def _simple(v, x, p, s):
    """`_plain` for a core without leak reversal, where the leak is the same in every tick."""
    spikes = 0
    wide = 0
    for i in range(N):
        after, fired, before = _step(
            v[i], np.int64(x[i]), p[0, i], 0, 0, p[3, i], 0, p[5, i], p[6, i], p[7, i], p[8, i], 0, 0, 0
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
def _touch(rows, found, count):
    """Read a value of every cache line of some rows, so that they are on their way when they are added."""
    got = 0
    for k in range(count):
        row = rows[found[k]]
        for i in range(0, N, 64):
            got += row[i]
    return got


@njit(**_numba.OPTIONS)
def _add(x, rows, found, count):
    """x += the rows of `count` active axons, eight at a time: their loads overlap, and x is touched once."""
    k = 0
    while k + 8 <= count:
        a, b, c, d = rows[found[k]], rows[found[k + 1]], rows[found[k + 2]], rows[found[k + 3]]
        e, f, g, h = rows[found[k + 4]], rows[found[k + 5]], rows[found[k + 6]], rows[found[k + 7]]
        for i in range(N):
            x[i] += (a[i] + b[i]) + (c[i] + d[i]) + ((e[i] + f[i]) + (g[i] + h[i]))
        k += 8
    if k + 4 <= count:
        a, b, c, d = rows[found[k]], rows[found[k + 1]], rows[found[k + 2]], rows[found[k + 3]]
        for i in range(N):
            x[i] += (a[i] + b[i]) + (c[i] + d[i])
        k += 4
    while k < count:
        a = rows[found[k]]
        for i in range(N):
            x[i] += a[i]
        k += 1


@njit(**_numba.OPTIONS)
def _inject(t, row, line_ptr, lines, n_data, gate_from, gate_to, ring, waiting, count, found, counters):
    """What the host sends in tick t: `row` of its lines and the gate lines that are on."""
    merged = 0
    sent = 0
    for h in range(active(row, np.int64(0), found)):
        k = found[h]
        for e in range(line_ptr[k], line_ptr[k + 1]):
            at = (t + lines[e, 1]) & 15
            merged += _arrive(ring[at], lines[e, 0], waiting[at], count[at])
            sent += 1
    for g in range(gate_from.shape[0]):
        if gate_from[g] <= t < gate_to[g]:
            for e in range(line_ptr[n_data + g], line_ptr[n_data + g + 1]):
                at = (t + lines[e, 1]) & 15
                merged += _arrive(ring[at], lines[e, 0], waiting[at], count[at])
                sent += 1
    counters[7] += merged
    counters[3] += sent


@njit(**_numba.OPTIONS)
def run_samples(
    begin, end, wide_of, raster, line_ptr, lines, gate_from, gate_to, first, ticks, rows, bits, stochastic, kind_of,
    events, parameters, destination, seed, draws_syn, draws_leak, draws_thr, record, out_s, out_axon, out_line,
    out_v, v, rings, waiting, number, counters,
):  # fmt: skip
    """Samples begin to end - 1 of a batch, `ticks` ticks from tick `first` on.

    raster uint8 [T, B, L]; line_ptr [L+G+1] into lines [., 2] of (axon, delay). rows int8 or int16 [C, 256, 256]: the
    deterministic weights, wide_of an array of the type that holds sums of 256 of them. bits uint8 [C, 256, 256]: type
    + 1 of each stochastic synapse, stochastic int64 [C, 4, 256] their weights. kind_of [C] 0: neither leak reversal nor
    draws, 1: no draws, 2: draws. events [C, 256]: synapses of an axon. parameters int32 [C, 10, 256]. destination int32
    [C, 256, 4]: kind, axon or line, delay, hops. draws_* [ticks or 0, C, ...]. record int64 [K]: global neurons.
    out_s [ticks, B, C*256], out_axon, out_line the same for axons (or [0, ...]) and lines. What the ticks before left:
    potentials v int64 [C, B, 256], rings uint8 [B, 16, C*256] of active axons, per delay and core their list waiting
    uint8 [B, 16, C*256] in the order they came, and its length number int32 [B, 16, C]. Axons count
    through all cores. Samples do not touch each other, so the result is the same for any number of threads.
    """
    n_cores = rows.shape[0]
    n_data = raster.shape[2]
    batch = end - begin
    x = np.empty(N, wide_of.dtype)
    longest = max(N, n_data)
    found = np.empty(longest + longest // 8 + 10, np.int64)
    touched = 0
    rho_leak = np.zeros(N, np.int64)
    rho_threshold = np.zeros(N, np.int64)
    given = draws_syn.shape[0] > 0 or draws_leak.shape[0] > 0 or draws_thr.shape[0] > 0
    for t in range(ticks):
        now = first + t
        for b in range(batch):
            counters[begin + b, 9] += 1
            _inject(
                now, raster[t, begin + b] if t < raster.shape[0] else raster[0, begin + b, :0], line_ptr, lines, n_data,
                gate_from, gate_to, rings[begin + b], waiting[begin + b], number[begin + b], found, counters[begin + b],
            )  # fmt: skip
        at = now & 15
        for c in range(n_cores):  # samples inside, so that a core's rows and parameters stay in the cache
            for b in range(batch):
                touched += _touch(rows[c], waiting[begin + b, at, c * N : (c + 1) * N], number[begin + b, at, c])
            for b in range(batch):
                ring = rings[begin + b]
                mine = counters[begin + b]
                x[:] = 0
                list_of, length_of = waiting[begin + b], number[begin + b]
                count = length_of[at, c]
                came = list_of[at, c * N : (c + 1) * N]
                if count > 0:
                    row = ring[at, c * N : (c + 1) * N]
                    if out_axon.shape[0] > 0:
                        out_axon[t, begin + b, c * N : (c + 1) * N] = row
                    happened = 0
                    for k in range(count):
                        row[came[k]] = 0
                        happened += events[c, came[k]]
                    mine[1] += happened
                    length_of[at, c] = 0
                    _add(x, rows[c], came, count)
                s = out_s[t, begin + b, c * N : (c + 1) * N]
                if kind_of[c] == 0:
                    spikes, wide = _simple(v[c, begin + b], x, parameters[c], s)
                elif kind_of[c] == 1:
                    spikes, wide = _plain(v[c, begin + b], x, parameters[c], s)
                else:
                    for k in range(count):
                        a = np.int64(came[k])
                        for i in range(N):
                            kind = bits[c, a, i]
                            if kind > 0:
                                rho = draws_syn[t, c, a, i] if given else _draw(seed, now, c, a, i) & 255
                                x[i] += _drawn(stochastic[c, kind - 1, i], 1, rho)
                    for i in range(N):
                        rho_leak[i] = draws_leak[t, c, i] if given else _draw(seed, now, c, LEAK_DRAW, i) & 255
                        rho_threshold[i] = draws_thr[t, c, i] if given else _draw(seed, now, c, THRESHOLD_DRAW, i)
                    spikes, wide = _random(v[c, begin + b], x, parameters[c], s, rho_leak, rho_threshold)
                mine[0] += spikes
                mine[2] += N
                mine[8] += wide
                if spikes > 0:
                    for h in range(active(s, np.int64(0), found)):
                        kind, to, delay, hops = destination[c, found[h]]
                        mine[6] += hops
                        if kind == 1:
                            then = (now + delay) & 15
                            mine[7] += _arrive(ring[then], to, list_of[then], length_of[then])
                            mine[4] += 1
                        elif kind == 2:
                            out_line[t, begin + b, to] += 1
                            mine[5] += 1
        for b in range(batch):
            for k in range(record.shape[0]):
                g = record[k]
                out_v[t, begin + b, k] = v[g >> 8, begin + b, g & 255] if g < n_cores * N else 0
    return touched
