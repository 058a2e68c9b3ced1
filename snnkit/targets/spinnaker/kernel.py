"""SpiNNaker's loop over steps, compiled: whole samples in one call, synapses by event."""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

from snnkit import _numba

_numba.configure()

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

from snnkit._dialect import instantiate  # noqa: E402
from snnkit.emulator.delivery import active  # noqa: E402
from snnkit.targets.spinnaker import arithmetic  # noqa: E402
from snnkit.targets.spinnaker.deliver import deliver, deliver_alike  # noqa: E402
from snnkit.targets.spinnaker.plastic import add_post_event, process_row  # noqa: E402

_forms = instantiate(arithmetic, where=njit(arithmetic.where), compiler=njit)
_transfer, _current, _membrane = _forms.transfer, _forms.current, _forms.membrane
_fire, _dec = _forms.fire, _forms.dec

COUNTERS = (
    "spikes",
    "synaptic_events",
    "neuron_updates",
    "host_packets",
    "core_packets",
    "saturations",
    "plastic_saturations",
    "rows",
)
"""Columns of the counter array. Packets are those that are sent; rows those that cores read for them."""


@njit(**_numba.OPTIONS)
def _receive(state, slot, shift, scale):
    """The transfer of one receptor's part of the slot."""
    for k in range(state.shape[0]):
        state[k] = _transfer(state[k], np.int64(slot[k]), shift, scale[k])


@njit(**_numba.OPTIONS)
def _currents(i, s_e, s_i, gain, offset):
    for k in range(i.shape[0]):
        i[k] = _current(s_e[k], s_i[k], gain[k], offset[k])


@njit(**_numba.OPTIONS)
def _membranes(moved, v, i, resistance, rest, decay):
    for k in range(v.shape[0]):
        moved[k] = _membrane(v[k], i[k], resistance[k], rest[k], decay[k])


@njit(**_numba.OPTIONS)
def _fires(v, r, s, moved, thresh, reset, hold):
    spikes = 0
    for k in range(v.shape[0]):
        v1, r1, fired = _fire(moved[k], v[k], r[k], thresh[k], reset[k], hold[k])
        v[k] = v1
        r[k] = r1
        s[k] = fired
        spikes += fired
    return spikes


@njit(**_numba.OPTIONS)
def _decays(state, decay):
    for k in range(state.shape[0]):
        state[k] = _dec(state[k], decay[k])


@njit(**_numba.OPTIONS)
def _update(core, slot, v, r, s_e, s_i, i_now, moved, s, before, neurons):
    """Transfer and `arithmetic.step` of one core, in short loops that a compiler turns into vectors; empties its part
    of the slot. Returns the spikes.

    `before` int64 [2, N], or [0, N]: the synaptic states after the transfer, before their decay.
    """
    offset, resistance, rest, decay, thresh, reset, hold, gain, decay_e, decay_i, scale_e, scale_i = neurons
    first, n = core[0], core[1]
    end = first + n
    base = 2 * first
    _receive(s_e[first:end], slot[base : base + n], core[2], scale_e[first:end])
    _receive(s_i[first:end], slot[base + n : base + 2 * n], core[3], scale_i[first:end])
    slot[base : base + 2 * n] = 0
    if before.shape[0] > 0:
        before[0, first:end] = s_e[first:end]
        before[1, first:end] = s_i[first:end]
    _currents(i_now[first:end], s_e[first:end], s_i[first:end], gain[first:end], offset[first:end])
    _membranes(
        moved[first:end], v[first:end], i_now[first:end], resistance[first:end], rest[first:end], decay[first:end]
    )
    _decays(s_e[first:end], decay_e[first:end])
    _decays(s_i[first:end], decay_i[first:end])
    return _fires(
        v[first:end], r[first:end], s[first:end], moved[first:end], thresh[first:end], reset[first:end], hold[first:end]
    )


@njit(**_numba.OPTIONS)
def run_samples(
    begin, end, fast, raster, packets, gate_from, gate_to, first, ticks, rows, neurons, rings, membranes, plastic,
    states, record, out_s, out_u, out_v, counters, probes, ring_probe, history,
):  # fmt: skip
    """Samples begin to end - 1 of a batch, `ticks` steps from step `first` on.

    `fast`: no slot can saturate and nothing learns. raster uint8 [T, B, L]; packets int64 [P, 2] of (step, source) are
    sent in their order, in every sample. What the steps before left: rings uint16 [B, depth, 2N], membranes int64
    [4, B, N] (v, refractory steps, both synaptic states), and `states` of what learns. record [K]
    neurons whose current and v are recorded. probes [ticks or 0, 7, N], ring_probe [ticks or 0, 2N] and history record
    everything of one sample. Samples do not touch each other.
    """
    (
        offset, resistance, rest, decay, thresh, reset, hold, gain, decay_e, decay_i, scale_e, scale_i, cores,
    ) = neurons  # fmt: skip
    columns = (offset, resistance, rest, decay, thresh, reset, hold, gain, decay_e, decay_i, scale_e, scale_i)
    n = out_s.shape[2]
    n_lines = raster.shape[2]
    first_neuron = n_lines + gate_from.shape[0]
    longest = n + first_neuron
    found = np.empty(longest + longest // 8 + 10, np.int64)
    events, read = rows[8], rows[9]
    plastic_ptr, plastic_rows = plastic[0], plastic[1]
    learns = plastic_rows.shape[0] > 0
    weights_of, rows_of, post, post_count = states
    rule_of_neuron = plastic[16]
    pattern = rows[14]
    at = np.empty(8, np.int64)
    i_now = np.empty(n, np.int64)
    moved = np.empty(n, np.int64)
    full = probes.shape[0] > 0
    before = np.zeros((2 if full else 0, n), np.int64)
    for b in range(begin, end):
        v, r, s_e, s_i = membranes[0, b], membranes[1, b], membranes[2, b], membranes[3, b]
        ring = rings[b]
        total_events = 0
        total_rows = 0
        over = 0
        sent = 0
        next_packet = 0
        for t in range(ticks):
            now = first + t
            slot = ring[now & (ring.shape[0] - 1)]
            s = out_s[t, b]
            if full:
                ring_probe[t] = slot
                probes[t, 0] = v
            spikes = 0
            for c in range(cores.shape[0]):
                spikes += _update(cores[c], slot, v, r, s_e, s_i, i_now, moved, s, before, columns)
            counters[b, 0] += spikes
            for k in range(record.shape[0]):
                out_u[t, b, k] = i_now[record[k]]
                out_v[t, b, k] = v[record[k]]
            if full:
                probes[t, 1] = before[0]
                probes[t, 2] = before[1]
                probes[t, 3] = v
                probes[t, 4] = s_e
                probes[t, 5] = s_i
                probes[t, 6] = r
            if learns:
                for i in range(n):
                    if s[i] and rule_of_neuron[i] >= 0:
                        add_post_event(now, i, rule_of_neuron[i], plastic, post[b], post_count[b])
            # the host's packets, then those of the neurons in their order
            hits = 0
            while next_packet < packets.shape[0] and packets[next_packet, 0] <= now:
                if packets[next_packet, 0] == now:
                    source = packets[next_packet, 1]
                    if learns:
                        for k in range(plastic_ptr[source], plastic_ptr[source + 1]):
                            counters[b, 6] += process_row(now, plastic_rows[k], plastic, states, b, ring)
                    over += deliver(source, now, rows, ring)
                    total_events += events[source]
                    total_rows += read[source]
                    sent += 1
                next_packet += 1
            if t < raster.shape[0]:
                hits = active(raster[t, b], np.int64(0), found)
            for g in range(gate_from.shape[0]):
                if gate_from[g] <= now < gate_to[g]:
                    found[hits] = n_lines + g
                    hits += 1
            by_host = hits
            hits += active(s, np.int64(first_neuron), found[by_host:])
            h = 0
            while h < hits:
                source = found[h]
                times = np.int64(1)
                if source < n_lines:
                    times = np.int64(raster[t, b, source])
                total_events += events[source] * times
                total_rows += read[source] * times
                if h < by_host:
                    sent += times
                alike = pattern[source]
                if fast and alike >= 0 and times == 1:
                    m = h + 1
                    while (
                        m < hits and pattern[found[m]] == alike and (found[m] >= n_lines or raster[t, b, found[m]] == 1)
                    ):
                        total_events += events[found[m]]
                        total_rows += read[found[m]]
                        sent += m < by_host
                        m += 1
                    deliver_alike(found[h:m], now, rows, ring, at)
                    h = m
                    continue
                for _ in range(times):
                    if learns:
                        for k in range(plastic_ptr[source], plastic_ptr[source + 1]):
                            counters[b, 6] += process_row(now, plastic_rows[k], plastic, states, b, ring)
                    over += deliver(source, now, rows, ring)
                h += 1
            if full and learns:
                history[0][t] = weights_of[b]
                history[1][t] = rows_of[b]
        counters[b, 1] += total_events
        counters[b, 2] += n * ticks
        counters[b, 3] += sent
        counters[b, 4] += counters[b, 0]
        counters[b, 5] += over
        counters[b, 7] += total_rows
