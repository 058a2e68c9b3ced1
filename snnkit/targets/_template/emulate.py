"""From a toy descriptor to a running chip: the memory images are decoded, routing included.

Sees `descriptor`, `schema`, `spec` and `arithmetic`, and never the graph or `lower.py`: a routing entry that names the
wrong axon gives wrong spikes here. Plain numpy and scipy, one tick at a time; a chip that must be fast compiles its
loop with numba and delivers by event (`snnkit.emulator.rows`, `.delivery`), as Loihi's `kernel.py` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit._dialect import instantiate
from snnkit.descriptor import Descriptor
from snnkit.emulator.chip import Stimulus, Traces
from snnkit.targets._template import arithmetic, schema, spec
from snnkit.targets.images import first_lines

Array = np.ndarray[Any, Any]

_FORMS = instantiate(arithmetic, where=np.where)


@dataclass
class ToyState:
    """Between two ticks: the `tick` that comes next, v [B, N], and who fired in the tick before, s [B, N]."""

    tick: int
    v: Array
    s: Array


@dataclass(frozen=True)
class ToyChip:
    """Decoded cores. Global neurons are the used slots, core after core; sources are data lines, gate lines, neurons.

    `synapses` int64 [sources, neurons]; `reads` axons that a spike of each source reads; `routes` packets that a
    neuron sends.
    """

    n_neurons: int
    placement: Mapping[str, Array]
    synapses: sp.csr_matrix
    reads: Array
    routes: Array
    registers: tuple[Array, Array, Array]

    def run(self, stimulus: Stimulus) -> Traces:
        """Run a batch from v = 0 (see `emulator.chip.Chip`)."""
        return self.go_on(stimulus, self.start(stimulus.raster.shape[1]))

    def start(self, batch: int, max_count: int = 1) -> ToyState:
        """v = 0, nothing under way (see `emulator.chip.Stepwise`)."""
        return ToyState(0, *(np.zeros((batch, self.n_neurons), np.int64) for _ in range(2)))

    def go_on(self, stimulus: Stimulus, state: ToyState) -> Traces:
        """Run more ticks (see `emulator.chip.Stepwise`)."""
        steps, batch, _ = stimulus.raster.shape
        v, s = state.v, state.s
        spikes = np.zeros((stimulus.ticks, batch, self.n_neurons), np.uint8)
        out_v = np.zeros((stimulus.ticks, batch, len(stimulus.record)), np.int32)
        names = ("spikes", "synaptic_events", "axon_reads", "neuron_updates", "core_packets", "saturations")
        counters = {name: np.zeros(batch, np.int64) for name in names}
        incoming = self.synapses.T.tocsr()
        events = np.diff(self.synapses.indptr).astype(np.int64)
        for t in range(stimulus.ticks):
            data = stimulus.raster[t] if t < steps else np.zeros((batch, stimulus.raster.shape[2]), np.uint8)
            now = state.tick + t
            open_ = (stimulus.gate_from <= now) & (now < stimulus.gate_to)
            gates = np.broadcast_to(open_, (batch, len(stimulus.gate_to)))
            active = np.concatenate([data, gates, s], axis=1).astype(np.int64)  # s: what fired one tick ago
            q = np.asarray((incoming @ active.T).T)
            whole = _FORMS.integrate(v, q, self.registers[0])
            v = _FORMS.clip(whole)
            counters["saturations"] += (v != whole).sum(1)
            v, fired = _FORMS.fire(v, *self.registers[1:])
            s = fired.astype(np.int64)
            spikes[t], out_v[t] = fired, v[:, stimulus.record]
            counters["spikes"] += s.sum(1)
            counters["synaptic_events"] += active @ events
            counters["axon_reads"] += active @ self.reads
            counters["core_packets"] += s @ self.routes
            counters["neuron_updates"] += self.n_neurons
        state.tick, state.v, state.s = state.tick + stimulus.ticks, v, s
        return Traces(spikes, np.zeros_like(out_v), out_v, counters)


def open_chip(descriptor: Descriptor) -> ToyChip:
    """Check and decode a descriptor.

    Raises:
        DescriptorError: an image is inconsistent or beyond what a chip holds.
    """
    arrays, manifest = descriptor.arrays, descriptor.manifest
    schema.check_images(arrays, manifest)
    used = arrays["neuron"][:, :, 1] > 0
    number = np.cumsum(used.reshape(-1)).reshape(used.shape) - 1  # global neuron of each used slot
    n = int(used.sum())
    starts, lines, gates = first_lines(manifest.ports)
    host, route = arrays["host_input"].astype(np.int64), arrays["route"].astype(np.int64)
    route = route[used[route[:, 0], route[:, 1]]]  # an entry of a slot that is not used never sends
    source = np.concatenate([starts[host[:, 0]] + host[:, 1], lines + gates + number[route[:, 0], route[:, 1]]])
    core, axon = np.concatenate([host[:, 2:], route[:, 2:]]).T
    n_sources = lines + gates + n
    rows = sp.csr_matrix(arrays["weight"].reshape(-1, spec.NEURONS_PER_CORE), dtype=np.int64)
    entries = rows[core * spec.AXONS_PER_CORE + axon].tocoo()
    reach = used[core[entries.row], entries.col]  # weights of slots that are not used reach nobody
    row, col, value = entries.row[reach], entries.col[reach], entries.data[reach]
    synapses = sp.csr_matrix((value, (source[row], number[core[row], col])), shape=(n_sources, n))
    registers = arrays["neuron"][used].astype(np.int64)
    return ToyChip(
        n_neurons=n,
        placement={
            layer.name: number[tuple(arrays[schema.PLACEMENT + layer.name].T)].astype(np.int64)
            for layer in manifest.layers
        },
        synapses=synapses,
        reads=np.bincount(source, minlength=n_sources).astype(np.int64),
        routes=np.bincount(source, minlength=n_sources).astype(np.int64)[lines + gates :],
        registers=(registers[:, 0], registers[:, 1], registers[:, 2]),
    )
