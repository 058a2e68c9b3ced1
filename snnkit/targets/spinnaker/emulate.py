"""From a SpiNNaker descriptor to a running board: routers, population tables and rows are decoded.

Nothing but the images and the manifest is used. Every key that a core sends is walked through the routers to the cores
it reaches, looked up in their population tables, and its rows are read: a wrong entry gives wrong spikes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.descriptor import Descriptor
from snnkit.emulator.chip import Stimulus, Traces
from snnkit.emulator.pool import spread, writable
from snnkit.errors import DescriptorError
from snnkit.targets.images import host_lines, placement_table, typed_section
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.decode import Core, Delivery, Plastic, build, read_core
from snnkit.targets.spinnaker.machine import Chip, walk
from snnkit.targets.spinnaker.schema import PLACEMENT, REGIONS, SpinnakerSection, check_images
from snnkit.targets.spinnaker.setup import Derived, derive

Array = np.ndarray[Any, Any]


@dataclass
class SpinnakerState:
    """Between two steps: the `tick` that comes next, rings uint16 [B, depth, 2N], membranes int64 [4, B, N] (v,
    refractory steps, both synaptic states), and what learns (see `Plastic.states`)."""

    tick: int
    rings: Array
    membranes: Array
    plastic: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class SpinnakerChip:
    """A decoded board. Global neurons stand core after core; sources are data lines, gate lines, then neurons.

    A ring slot holds, for every core, its excitatory entries and then its inhibitory ones. `reached`: (sources, keys)
    of the packets that the routers bring to each core, by its number; `astray` int64 [K, 2]: those that reach a core
    without neurons, which drops them.
    """

    n_neurons: int
    n_lines: int
    placement: Mapping[str, Array]
    cores: tuple[Core, ...]
    raw: Mapping[str, Array]
    derived: Derived
    delivery: Delivery
    plastic: Plastic
    reached: Mapping[int, tuple[Array, Array]]
    astray: Array

    def neurons(self) -> tuple[Array, ...]:
        """The columns of the kernel, int64 [N], and the core table int64 [C, 4]: first, n, shifts."""
        raw, d = self.raw, self.derived
        columns = (
            raw["i_offset"], d.resistance, raw["v_rest"], d.decay, raw["v_thresh"], raw["v_reset"], d.hold, d.gain,
            d.decay_e, d.decay_i, d.scale_e, d.scale_i,
        )  # fmt: skip
        table = np.array([[c.first, c.n, *c.shift] for c in self.cores], np.int64).reshape(-1, 4)
        return (*(np.ascontiguousarray(c, np.int64) for c in columns), table)

    def run(self, stimulus: Stimulus) -> Traces:
        """Run a batch from the initial state (see `emulator.chip.Chip`). u is the input current, s16.15."""
        return self.go_on(stimulus, self.start(stimulus.raster.shape[1]))

    def start(self, batch: int, max_count: int = 1) -> SpinnakerState:
        """The initial state, nothing under way (see `emulator.chip.Stepwise`)."""
        raw = self.raw
        initial = np.stack([raw["v_init"], raw["refrac_init"], raw["s_e"], raw["s_i"]]).astype(np.int64)
        rings = np.zeros((batch, self.delivery.depth, 2 * self.n_neurons), np.uint16)
        return SpinnakerState(
            0, rings, np.repeat(initial[:, None], batch, 1), self.plastic.states(batch, self.n_neurons)
        )

    def go_on(self, stimulus: Stimulus, state: SpinnakerState) -> Traces:
        """Run more steps (see `emulator.chip.Stepwise`)."""
        from snnkit.targets.spinnaker.kernel import COUNTERS

        if stimulus.noise is not None and np.any(stimulus.noise):
            raise DescriptorError("SpiNNaker's neurons take no injected noise", fix="run without noise")
        none = np.zeros((0, 2), np.int64)
        spikes, u, v, counters, _ = self._run(stimulus, state, none, full=False)
        return Traces(spikes, u, v, {name: counters[:, i] for i, name in enumerate(COUNTERS)})

    def _run(
        self, stimulus: Stimulus, state: SpinnakerState, packets: Array, *, full: bool
    ) -> tuple[Array, Array, Array, Array, Any]:
        from snnkit.targets.spinnaker.kernel import COUNTERS, run_samples

        batch, ticks, n = stimulus.raster.shape[1], stimulus.ticks, self.n_neurons
        spikes = np.empty((ticks, batch, n), np.uint8)
        u = np.empty((ticks, batch, len(stimulus.record)), np.int32)
        v = np.empty_like(u)
        counters = np.zeros((batch, len(COUNTERS)), np.int64)
        probes = np.zeros((ticks if full else 0, 7, n), np.int64)
        ring_probe = np.zeros((ticks if full else 0, 2 * n), np.uint16)
        history = self.plastic.record(ticks if full else 0)
        fast = self.delivery.bound * stimulus.max_count <= spec.WEIGHT_MAX and not len(self.plastic.rows)
        shared = (
            fast, writable(stimulus.raster), packets, stimulus.gate_from, stimulus.gate_to, state.tick, ticks,
            self.delivery.arguments(), self.neurons(), state.rings, state.membranes, self.plastic.arguments(),
            state.plastic, stimulus.record, spikes, u, v, counters, probes, ring_probe, history,
        )  # fmt: skip
        spread(lambda begin, end: run_samples(begin, end, *shared), batch)
        state.tick += ticks
        return spikes, u, v, counters, (probes, ring_probe, history)

    def trace(self, packets: Array, ticks: int) -> dict[str, Array]:
        """One sample with every probe: `packets` int64 [P, 2] of (tick, source), in order, are sent by the host.

        Returns:
            Arrays by name: probes [ticks, N], ring [ticks, 2, N] before the transfer, saturation counters, derived
            constants, and the used words of every row of every core after each step.
        """
        none = np.zeros(0, np.int64)
        raster = np.zeros((0, 1, self.n_lines), np.uint8)
        stimulus = Stimulus(raster, 1, none, none, ticks, None, none)
        spikes, _, _, counters, (probes, ring, history) = self._run(stimulus, self.start(1), packets, full=True)
        names = ("v_start", "gsyn_exc", "gsyn_inh", "v_end", "syn_exc_end", "syn_inh_end", "refrac_end")
        out = {name: probes[:, i] for i, name in enumerate(names)}
        split = np.concatenate([2 * c.first + np.arange(c.n) for c in self.cores])
        width = np.repeat([c.n for c in self.cores], [c.n for c in self.cores])
        out["ring"] = np.stack([ring[:, split], ring[:, split + width]], 1)
        out |= {"spikes": spikes[:, 0], "sat_fixed": counters[:, 5], "sat_plastic": counters[:, 6]}
        for core in self.cores:
            mine = slice(core.first, core.first + core.n)
            part = Derived(*(getattr(self.derived, k)[mine] for k in Derived.__dataclass_fields__))
            constants = part.reported(core.binary != spec.DELTA)
            out |= {f"d.{core.number}.{k}": x for k, x in constants.items()}
        return out | self.plastic.words_after(history, self.cores)


def open_chip(descriptor: Descriptor) -> SpinnakerChip:
    """Check and decode a descriptor.

    Raises:
        DescriptorError: an image is inconsistent or beyond what a board holds.
    """
    section = typed_section(SpinnakerSection, descriptor.manifest)
    arrays = descriptor.arrays
    check_images(arrays, section)
    cores = _cores(arrays)
    n = sum(c.n for c in cores.values())
    source_of, data, gates = host_lines("host_key", arrays["host_key"], descriptor.manifest.ports)
    n_lines = data + gates
    sources, keys, chips = _senders(arrays, cores, source_of, n_lines)
    reached, astray = _reach(arrays, section.board, sources, keys, chips, cores)
    raw = {
        name: np.concatenate([np.zeros(0, np.int64), *(c.raw[name] for c in cores.values())])
        for name in (*words.NEURON_FIELDS, "v_thresh", "s_e", "s_i")
    }
    delivery, plastic = build(cores, reached, n_lines + n)
    columns = [derive(c.raw, c.binary != spec.DELTA) for c in cores.values()]
    fields = Derived.__dataclass_fields__
    derived = Derived(*(np.concatenate([np.zeros(0, np.int64), *(getattr(d, k) for d in columns)]) for k in fields))
    placement = _placement(descriptor, cores)
    return SpinnakerChip(n, n_lines, placement, tuple(cores.values()), raw, derived, delivery, plastic, reached, astray)


def _cores(arrays: Mapping[str, Array]) -> dict[int, Core]:
    """Cores with neurons, by their row in `core`."""
    cores: dict[int, Core] = {}
    first = 0
    for number, (x, y, p, binary, n) in enumerate(arrays["core"].tolist()):
        if binary == spec.SOURCE:
            continue
        ptr = arrays["core_ptr"]
        regions = {name: arrays[name][ptr[number, k] : ptr[number + 1, k]] for k, name in enumerate(REGIONS)}
        cores[number] = read_core(number, (x, y), p, binary, n, first, regions)
        first += n
    return cores


def _senders(
    arrays: Mapping[str, Array], cores: Mapping[int, Core], source_of: Array, n_lines: int
) -> tuple[Array, Array, Array]:
    """(source, key, core) of everything that can be sent."""
    host = arrays["host_key"]
    sources, keys, where = [source_of], [host[:, 3]], [host[:, 2]]
    for number, core in cores.items():
        if core.keys is not None:
            sources.append(n_lines + core.first + np.arange(core.n))
            keys.append(core.keys)
            where.append(np.full(core.n, number))
    return np.concatenate(sources), np.concatenate(keys), np.concatenate(where)


def _reach(
    arrays: Mapping[str, Array], board: str, sources: Array, keys: Array, where: Array, cores: Mapping[int, Core]
) -> tuple[dict[int, tuple[Array, Array]], Array]:
    """(sources, keys) of the packets that arrive at each core, and those that arrive where there are no neurons."""
    tables: dict[Chip, Array] = {}
    for x, y in {tuple(r) for r in arrays["router"][:, :2].tolist()}:
        mine = (arrays["router"][:, 0] == x) & (arrays["router"][:, 1] == y)
        tables[x, y] = arrays["router"][mine][:, 2:]
    at = {(c.chip, c.p): number for number, c in cores.items()}
    got: dict[int, list[Array]] = {}
    lost = [np.zeros(0, np.int64)]
    chip_of = arrays["core"][where, :2]
    for x, y in sorted({tuple(r) for r in chip_of.tolist()}):
        mine = np.flatnonzero((chip_of == (x, y)).all(1))
        for chip, p, which in walk(tables, board, (x, y), keys[mine]):
            if (chip, p) in at:
                got.setdefault(at[chip, p], []).append(mine[which])
            else:
                lost.append(mine[which])
    joined = {number: np.sort(np.concatenate(parts)) for number, parts in got.items()}
    dropped = np.concatenate(lost)
    reached = {number: (sources[which], keys[which]) for number, which in joined.items()}
    return reached, np.stack([sources[dropped], keys[dropped]], 1)


def _placement(descriptor: Descriptor, cores: Mapping[int, Core]) -> dict[str, Array]:
    first = np.zeros(len(descriptor.arrays["core"]), np.int64)
    for number, core in cores.items():
        first[number] = core.first
    placement: dict[str, Array] = {}
    for layer in descriptor.manifest.layers:
        table = placement_table(descriptor.arrays, PLACEMENT + layer.name, layer.n)
        placement[layer.name] = first[table[:, 0]] + table[:, 1]
    return placement
