"""One chip's loop over events for one sample: neurons are moved only when something happens to them. Compiled.

The next thing to happen is an event from outside (a step of the host, a replayed spike) or the earliest predicted
crossing. Whatever an event touches is moved to its time in closed form, its currents change, and its next crossing up
to the next event from outside is predicted anew; after that one, everybody's. Equal times: crossings before events from
outside, the lowest neuron first.
"""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import math

from snnkit import _numba

_numba.configure()

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

from snnkit.targets.brainscales2.solver import crossing, value  # noqa: E402

COUNTERS = ("spikes", "synaptic_events", "neuron_updates", "host_packets", "core_packets", "adc_clips")
"""Columns of the counter array. host_packets: events that the FPGA sends, replayed ones included."""
TM, TE, TI, LEAK, RESET, LEVEL, HOLD = range(7)
"""Rows of the parameter array [7, N]; a neuron that cannot fire has an infinite LEVEL."""


@njit(**_numba.OPTIONS)
def _move(i, t, par, v, ie, ii, last, hold):
    """Bring a neuron to time t: v stays while it is held, currents decay."""
    te, ti = par[TE, i], par[TI, i]
    begin = last[i]
    if begin < hold[i]:
        stop = min(t, hold[i])
        ie[i] *= math.exp(-(stop - begin) / te)
        ii[i] *= math.exp(-(stop - begin) / ti)
        begin = stop
    s = t - begin
    if s > 0.0:
        v[i] = par[LEAK, i] + value(s, v[i] - par[LEAK, i], ie[i], ii[i], par[TM, i], te, ti)
        ie[i] *= math.exp(-s / te)
        ii[i] *= math.exp(-s / ti)
    last[i] = t


@njit(**_numba.OPTIONS)
def _look(i, t, par, v, ie, ii, last, hold):
    """v of a neuron at a time t at or after its last event, without moving it."""
    te, ti = par[TE, i], par[TI, i]
    begin, e, h = last[i], ie[i], ii[i]
    if begin < hold[i]:
        stop = min(t, hold[i])
        e *= math.exp(-(stop - begin) / te)
        h *= math.exp(-(stop - begin) / ti)
        begin = stop
    return par[LEAK, i] + value(t - begin, v[i] - par[LEAK, i], e, h, par[TM, i], te, ti)


@njit(**_numba.OPTIONS)
def _predict(i, now, end, par, v, ie, ii, last, hold):
    """When from now on a neuron will cross, if nothing more arrives before `end`, or infinity."""
    if par[LEVEL, i] == np.inf:
        return np.inf
    te, ti = par[TE, i], par[TI, i]
    begin, e, h = last[i], ie[i], ii[i]
    if begin < hold[i]:
        if hold[i] >= end:
            return np.inf
        e *= math.exp(-(hold[i] - begin) / te)
        h *= math.exp(-(hold[i] - begin) / ti)
        begin = hold[i]
    leak = par[LEAK, i]
    s = crossing(par[LEVEL, i] - leak, v[i] - leak, e, h, par[TM, i], te, ti, end - begin)
    return max(begin + s, now) if s >= 0.0 else np.inf


@njit(**_numba.OPTIONS)
def _receive(source, times, t, mark, net, par, state, touched, n_touched, counters):
    """The synapses of an event act `times` times. Returns how many neurons are touched by now."""
    ptr, target, amp_e, amp_i = net
    v, ie, ii, last, hold, stamp = state
    for k in range(ptr[source], ptr[source + 1]):
        i = target[k]
        if stamp[i] != mark:
            _move(i, t, par, v, ie, ii, last, hold)
            stamp[i] = mark
            touched[n_touched] = i
            n_touched += 1
        ie[i] += amp_e[k] * times
        ii[i] += amp_i[k] * times
    counters[1] += (ptr[source + 1] - ptr[source]) * times
    return n_touched


@njit(**_numba.OPTIONS)
def _skip(replayed, replay_time, replay_neuron, replay_ptr):
    """The next replayed spike that this part hears."""
    while replayed < len(replay_time):
        neuron = replay_neuron[replayed]
        if replay_ptr[neuron] < replay_ptr[neuron + 1]:
            break
        replayed += 1
    return replayed


@njit(**_numba.OPTIONS)
def _outside(tick, ticks, step, replayed, replay_time):
    """When something arrives from outside."""
    t = tick * step if tick < ticks else np.inf
    return min(t, replay_time[replayed]) if replayed < len(replay_time) else t


@njit(**_numba.OPTIONS)
def run_part(
    raster, entries, replay_time, replay_neuron, replay_ptr, replay_source, first_own, net, par, step, ticks,
    read, read_noise, codes, out_time, out_neuron, counters,
):  # fmt: skip
    """Run one sample on one configuration of a chip; returns the number of its spikes.

    Args:
        raster: uint8 [T, L], host lines. entries: int64 [E, 2], line and delay in steps of each source 0..E-1.
        replay_time, replay_neuron: spikes of earlier parts by time; neuron n is the sources
            replay_source[replay_ptr[n]:replay_ptr[n + 1]]. Source first_own + i is neuron i itself.
        net: (ptr, target, amp_e, amp_i), synapses by source. par: [7, N]. step: us.
        read: neurons whose v is read at the end of each step. read_noise [ticks, K]. codes int32 [ticks, K]: result.
        out_time, out_neuron: the spikes, by time. counters int64: see COUNTERS.
    """
    n = par.shape[1]
    v, last, hold = par[RESET].copy(), np.zeros(n), np.zeros(n)
    ie, ii = np.zeros(n), np.zeros(n)
    stamp, touched = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    state = (v, ie, ii, last, hold, stamp)
    end = ticks * step
    due = np.full(n, np.inf)
    tick, replayed, sampled, spikes, mark = 0, 0, 0, 0, 0
    while True:
        replayed = _skip(replayed, replay_time, replay_neuron, replay_ptr)
        outside = _outside(tick, ticks, step, replayed, replay_time)
        first, inside = 0, np.inf
        for i in range(n):
            if due[i] < inside:
                first, inside = i, due[i]
        t = min(min(outside, inside), end)
        while sampled < ticks and (sampled + 1) * step <= t:
            for k in range(len(read)):
                x = _look(read[k], (sampled + 1) * step, par, v, ie, ii, last, hold) + read_noise[sampled, k]
                code = math.floor(x + 0.5)
                if par[LEVEL, read[k]] == np.inf and (code < 0.0 or code > 255.0):  # read-outs, not probes
                    counters[5] += 1
                codes[sampled, k] = min(max(code, 0.0), 255.0)
            sampled += 1
        if t >= end:
            break
        mark += 1
        count = 0
        if inside <= outside:
            _move(first, t, par, v, ie, ii, last, hold)
            v[first], hold[first] = par[RESET, first], t + par[HOLD, first]
            stamp[first], touched[0], count = mark, first, 1
            out_time[spikes], out_neuron[spikes] = t, first
            spikes += 1
            count = _receive(first_own + first, 1, t, mark, net, par, state, touched, count, counters)
            if net[0][first_own + first] < net[0][first_own + first + 1]:
                counters[4] += 1
        else:
            if tick < ticks and tick * step <= t:
                for e in range(len(entries)):
                    row = tick - entries[e, 1]
                    if 0 <= row < raster.shape[0]:
                        times = np.int64(raster[row, entries[e, 0]])
                        if times > 0:
                            count = _receive(e, times, t, mark, net, par, state, touched, count, counters)
                            counters[3] += times
                tick += 1
            while replayed < len(replay_time) and replay_time[replayed] <= t:
                neuron = replay_neuron[replayed]
                for k in range(replay_ptr[neuron], replay_ptr[neuron + 1]):
                    count = _receive(replay_source[k], 1, t, mark, net, par, state, touched, count, counters)
                    counters[3] += 1
                replayed += 1
        counters[2] += count
        if inside <= outside:
            for k in range(count):
                i = touched[k]
                due[i] = _predict(i, t, min(outside, end), par, v, ie, ii, last, hold)
        else:
            replayed = _skip(replayed, replay_time, replay_neuron, replay_ptr)
            until = min(_outside(tick, ticks, step, replayed, replay_time), end)
            for i in range(n):
                due[i] = _predict(i, t, until, par, v, ie, ii, last, hold)
    counters[0] += spikes
    return spikes
