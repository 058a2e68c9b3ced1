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
from snnkit.targets.spinnaker.plastic import add_post_event, process_row  # noqa: E402

_forms = instantiate(arithmetic, where=njit(arithmetic.where), compiler=njit)
_transfer, _step = _forms.transfer, _forms.step

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
def _update(core, slot, v, r, s_e, s_i, i_now, s, before, neurons):
    """Transfer and step of one core; empties its part of the slot. Returns the spikes.

    `before` int64 [2, N], or [0, N]: the synaptic states after the transfer, before their decay.
    """
    offset, resistance, rest, decay, thresh, reset, hold, gain, decay_e, decay_i, scale_e, scale_i = neurons
    first, n, shift_e, shift_i = core[0], core[1], core[2], core[3]
    base = 2 * first
    spikes = 0
    keep = before.shape[0] > 0
    for k in range(n):
        i = first + k
        e = _transfer(s_e[i], np.int64(slot[base + k]), shift_e, scale_e[i])
        h = _transfer(s_i[i], np.int64(slot[base + n + k]), shift_i, scale_i[i])
        if keep:
            before[0, i] = e
            before[1, i] = h
        now, v1, r1, fired, e1, h1 = _step(
            v[i], r[i], e, h, gain[i], offset[i], resistance[i], rest[i], decay[i], thresh[i], reset[i], hold[i],
            decay_e[i], decay_i[i],
        )  # fmt: skip
        i_now[i] = now
        v[i] = v1
        r[i] = r1
        s_e[i] = e1
        s_i[i] = h1
        s[i] = fired
        spikes += fired
    slot[base : base + 2 * n] = 0
    return spikes


@njit(**_numba.OPTIONS)
def _add_dense(target, row):
    """target += row in 16 bits, saturated; returns how often."""
    over = np.uint32(0)
    for j in range(target.shape[0]):
        total = np.uint32(target[j]) + np.uint32(row[j])
        over += total >> np.uint32(16)
        target[j] = np.uint16(min(total, np.uint32(65535)))
    return np.int64(over)


@njit(**_numba.OPTIONS)
def _deliver(source, t, rows, ring):
    """The fixed synapses of one packet; returns the saturated additions."""
    ptr, dst, size, weight_at, index_at, delay, weights, indices, _events, _rows = rows
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
def run_samples(
    begin, end, raster, packets, gate_from, gate_to, ticks, rows, neurons, rings, plastic, states, record, out_s,
    out_u, out_v, counters, probes, ring_probe, history,
):  # fmt: skip
    """Samples begin to end - 1 of a batch, each from the initial state.

    raster uint8 [T, B, L]; packets int64 [P, 2] of (step, source) are sent in their order, in every sample. record [K]
    neurons whose current and v are recorded. probes [ticks or 0, 7, N], ring_probe [ticks or 0, 2N] and history record
    everything of one sample. Samples do not touch each other.
    """
    (
        offset, resistance, rest, decay, thresh, reset, hold, gain, decay_e, decay_i, scale_e, scale_i, v_init, r_init,
        e_init, i_init, cores,
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
    i_now = np.empty(n, np.int64)
    full = probes.shape[0] > 0
    before = np.zeros((2 if full else 0, n), np.int64)
    for b in range(begin, end):
        v, r, s_e, s_i = v_init.copy(), r_init.copy(), e_init.copy(), i_init.copy()
        ring = rings[b]
        total_events = 0
        total_rows = 0
        over = 0
        sent = 0
        if learns:
            weights_of[b] = plastic[13]
            rows_of[b, :, 0] = plastic[14]
            rows_of[b, :, 1] = plastic[15]
        next_packet = 0
        for t in range(ticks):
            slot = ring[t & (ring.shape[0] - 1)]
            s = out_s[t, b]
            if full:
                ring_probe[t] = slot
                probes[t, 0] = v
            spikes = 0
            for c in range(cores.shape[0]):
                spikes += _update(cores[c], slot, v, r, s_e, s_i, i_now, s, before, columns)
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
                        add_post_event(t, i, rule_of_neuron[i], plastic, post[b], post_count[b])
            # the host's packets, then those of the neurons in their order
            hits = 0
            while next_packet < packets.shape[0] and packets[next_packet, 0] <= t:
                if packets[next_packet, 0] == t:
                    source = packets[next_packet, 1]
                    if learns:
                        for k in range(plastic_ptr[source], plastic_ptr[source + 1]):
                            counters[b, 6] += process_row(t, plastic_rows[k], plastic, states, b, ring)
                    over += _deliver(source, t, rows, ring)
                    total_events += events[source]
                    total_rows += read[source]
                    sent += 1
                next_packet += 1
            if t < raster.shape[0]:
                hits = active(raster[t, b], np.int64(0), found)
            for g in range(gate_from.shape[0]):
                if gate_from[g] <= t < gate_to[g]:
                    found[hits] = n_lines + g
                    hits += 1
            by_host = hits
            hits += active(s, np.int64(first_neuron), found[by_host:])
            for h in range(hits):
                source = found[h]
                times = np.int64(1)
                if source < n_lines:
                    times = np.int64(raster[t, b, source])
                total_events += events[source] * times
                total_rows += read[source] * times
                if h < by_host:
                    sent += times
                for _ in range(times):
                    if learns:
                        for k in range(plastic_ptr[source], plastic_ptr[source + 1]):
                            counters[b, 6] += process_row(t, plastic_rows[k], plastic, states, b, ring)
                    over += _deliver(source, t, rows, ring)
            if full and learns:
                history[0][t] = weights_of[b]
                history[1][t] = rows_of[b]
        counters[b, 1] += total_events
        counters[b, 2] += n * ticks
        counters[b, 3] += sent
        counters[b, 4] += counters[b, 0]
        counters[b, 5] += over
        counters[b, 7] += total_rows
