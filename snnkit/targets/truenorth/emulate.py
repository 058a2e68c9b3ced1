"""From a TrueNorth descriptor to a running chip: the memory images are decoded, routing included.

Nothing but the images and the manifest is used: a destination that names the wrong axon gives wrong spikes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.descriptor import Descriptor
from snnkit.emulator.chip import Stimulus, Traces
from snnkit.emulator.pool import spread, writable
from snnkit.errors import DescriptorError, ShapeError, UsageError, did_you_mean
from snnkit.targets.images import FIX, host_lines, placement_table, typed_section
from snnkit.targets.truenorth import schema, spec
from snnkit.targets.truenorth.schema import AXONS, NEURONS, column

Array = np.ndarray[Any, Any]

DRAWS = {"synapse": 4, "leak": 3, "threshold": 3}
"""Random draws that a run may bring, with their number of axes: [tick, core, axon, neuron] and [tick, core, neuron]."""


@dataclass(frozen=True)
class Cores:
    """Decoded cores: what the tick loop works on (see `kernel.run_samples`)."""

    rows: Array
    bits: Array
    stochastic: Array
    kind: Array
    events: Array
    parameters: Array
    v_init: Array
    destination: Array


@dataclass
class TrueNorthState:
    """Between two ticks: the `tick` that comes next, and what `kernel.run_samples` keeps."""

    tick: int
    v: Array
    rings: Array
    waiting: Array
    number: Array


@dataclass(frozen=True)
class TrueNorthChip:
    """Global index: 256 c + i for neuron i of core c, then axons in the same way, then output lines.

    `reported`: for each output line the global neuron whose layer it stands for, or -1.
    """

    n_neurons: int
    placement: Mapping[str, Array]
    cores: Cores
    line_ptr: Array
    lines: Array
    reported: Array
    axons_wanted: bool
    seed: int

    def run(self, stimulus: Stimulus) -> Traces:
        """Run a batch from the initial potentials (see `emulator.chip.Chip`)."""
        return self.go_on(stimulus, self.start(stimulus.raster.shape[1]))

    def start(self, batch: int, max_count: int = 1) -> TrueNorthState:
        """The initial potentials, nothing under way (see `emulator.chip.Stepwise`)."""
        n_cores = len(self.cores.rows)
        v = np.repeat(self.cores.v_init[:, None], batch, 1)
        rings, waiting = (np.zeros((batch, spec.SCHEDULER_ROWS, n_cores * AXONS), np.uint8) for _ in range(2))
        return TrueNorthState(0, v, rings, waiting, np.zeros((batch, spec.SCHEDULER_ROWS, n_cores), np.int32))

    def go_on(self, stimulus: Stimulus, state: TrueNorthState) -> Traces:
        """Run more ticks (see `emulator.chip.Stepwise`). Given draws are those of these ticks."""
        from snnkit.targets.truenorth.kernel import COUNTERS, run_samples

        core, n_cores = self.cores, len(self.cores.rows)
        batch, ticks = stimulus.raster.shape[1], stimulus.ticks
        if stimulus.noise is not None:
            raise UsageError("TrueNorth takes no injected noise", fix="give draws= for its stochastic parts")
        syn, leak, thr, seed = self._draws(stimulus, n_cores)
        s = np.zeros((ticks, batch, n_cores * NEURONS), np.uint8)
        axon = np.zeros((ticks if self.axons_wanted else 0, batch, n_cores * AXONS), np.uint8)
        line = np.zeros((ticks, batch, len(self.reported)), np.uint8)
        v = np.zeros((ticks, batch, len(stimulus.record)), np.int64)
        counters = np.zeros((batch, len(COUNTERS)), np.int64)
        wide_of = np.zeros(0, np.int16 if core.rows.dtype == np.int8 else np.int32)
        shared = (
            wide_of, writable(stimulus.raster), self.line_ptr, self.lines, stimulus.gate_from, stimulus.gate_to,
            state.tick, ticks, core.rows, core.bits, core.stochastic, core.kind, core.events, core.parameters,
            core.destination, seed, syn, leak, thr, stimulus.record, s, axon, line, v, state.v, state.rings,
            state.waiting, state.number, counters,
        )  # fmt: skip
        spread(lambda begin, end: run_samples(begin, end, *shared), batch)
        state.tick += ticks
        known = self.reported >= 0
        s[:, :, self.reported[known]] = line[:, :, known]  # the host reads these neurons at the output port
        spikes = np.concatenate([s, axon, line], 2) if self.axons_wanted else s
        return Traces(spikes, np.zeros_like(v), v, {name: counters[:, i] for i, name in enumerate(COUNTERS)})

    def _draws(self, stimulus: Stimulus, n_cores: int) -> tuple[Array, Array, Array, int]:
        none = (np.zeros((0, 1, 1, 1), np.int32), np.zeros((0, 1, 1), np.int32), np.zeros((0, 1, 1), np.int32))
        given = stimulus.draws
        if given is None:
            return (*none, self.seed)
        if isinstance(given, int):
            if not 0 <= given < 2**31:
                raise UsageError(f"a seed of {given}", fix="give 0 to 2**31 - 1")
            return (*none, int(given))
        for name in given:
            if name not in DRAWS:
                raise UsageError(f"no draws are called {name!r}{did_you_mean(name, DRAWS)}", fix=", ".join(DRAWS))
        shape = {"synapse": (n_cores, AXONS, NEURONS)}
        made = []
        for name in DRAWS:
            want = shape.get(name, (n_cores, NEURONS))
            if name not in given:
                full = (stimulus.ticks, *want)
                if self._needs(name):
                    raise UsageError(f"the network has a stochastic {name} and the run brings no draws for it")
                made.append(np.broadcast_to(np.zeros(1, np.int32), full))
                continue
            a = np.asarray(given[name])
            if a.ndim != DRAWS[name] or a.shape[1:] != want or len(a) < stimulus.ticks:
                raise ShapeError(f"draws of {name} have shape {list(a.shape)}, expected [{stimulus.ticks}, {want}]")
            bits = spec.THRESHOLD_DRAW_BITS if name == "threshold" else spec.SYNAPSE_DRAW_BITS
            if a.dtype.kind not in "iu" or (a.size and (a.min() < 0 or a.max() >= 1 << bits)):
                raise UsageError(f"draws of {name} are not integers of {bits} bits")
            made.append(a.astype(np.int32))
        return (*(np.ascontiguousarray(a) for a in made), 0)  # type: ignore[return-value]

    def _needs(self, name: str) -> bool:
        core = self.cores
        return bool(
            {"synapse": core.bits, "leak": core.parameters[:, 2], "threshold": core.parameters[:, 4]}[name].any()
        )


def open_chip(descriptor: Descriptor) -> TrueNorthChip:
    """Check and decode a descriptor.

    Raises:
        DescriptorError: an image is inconsistent or beyond what the cores hold.
    """
    section = typed_section(schema.TrueNorthSection, descriptor.manifest)
    arrays = descriptor.arrays
    schema.check_images(arrays, section)
    placement, axons_wanted = _placement(descriptor, section.n_cores)
    line_ptr, lines = _host(descriptor)
    n_lines = len(arrays["output_line"])
    return TrueNorthChip(
        n_neurons=section.n_cores * (NEURONS + AXONS) + n_lines,
        placement=placement,
        cores=build(arrays, section),
        line_ptr=line_ptr,
        lines=lines,
        reported=_reported(descriptor, placement, section.n_cores),
        axons_wanted=axons_wanted,
        seed=section.seed,
    )


def build(arrays: Mapping[str, Array], section: schema.TrueNorthSection) -> Cores:
    """Memory images as the arrays of the tick loop.

    Raises:
        DescriptorError: a spike would go where neither a core nor the output port lies.
    """
    table = arrays["neuron"]
    kinds = schema.unpack_axon_types(arrays["axon_type"]).astype(np.int64)
    crossbar = schema.unpack_crossbar(arrays["crossbar"])
    weight = table[:, :, :4].astype(np.int64)
    chance = (column(table, "synapse_stochastic")[:, :, None] >> np.arange(4)) & 1
    rows = np.zeros(crossbar.shape, np.int16)
    bits = np.zeros(crossbar.shape if chance.any() else (len(table), 1, 1), np.uint8)
    for c in range(len(table)):
        mine = weight[c][:, kinds[c]].T  # [axon, neuron]
        drawn = chance[c][:, kinds[c]].T * crossbar[c]
        rows[c] = np.where(drawn != 0, 0, mine * crossbar[c])
        if drawn.any():
            bits[c] = drawn * (kinds[c][:, None] + 1)
    flags, reset = column(table, "leak_flags"), column(table, "reset")
    parameters = np.stack(
        [
            column(table, "leak"), flags & 1, flags >> 1, column(table, "threshold"), column(table, "thr_mask_bits"),
            column(table, "neg_threshold"), reset >> 2, reset & 3, column(table, "reset_value"),
            np.full(flags.shape, int(section.leak_crossing == "zero"), np.int64),
        ],
        axis=1,
    )  # fmt: skip
    drawn_in = bits.reshape(len(table), -1).any(1) | parameters[:, (2, 4)].reshape(len(table), -1).any(1)
    if np.abs(rows).max(initial=0) <= 127:  # 256 of them add up in 16 bits
        rows = rows.astype(np.int8)
    return Cores(
        rows=rows,
        bits=bits,
        stochastic=np.ascontiguousarray(weight.transpose(0, 2, 1)),
        kind=np.where(drawn_in, 2, parameters[:, 1].any(1)).astype(np.uint8),
        events=crossbar.sum(2, dtype=np.int64),
        parameters=np.ascontiguousarray(parameters, np.int32),  # half the memory; every sum with V is one of int64
        v_init=np.ascontiguousarray(column(table, "v_init")),
        destination=_destinations(arrays, section),
    )


def _destinations(arrays: Mapping[str, Array], section: schema.TrueNorthSection) -> Array:
    """(kind, axon through all cores or line, delay, hops) of every neuron, int32 [C,256,4]."""
    where = {(int(x), int(y)): c for c, (x, y) in enumerate(arrays["core"])}
    table = arrays["destination"].astype(np.int64)
    out = np.zeros((*table.shape[:2], 4), np.int32)
    xy = arrays["core"].astype(np.int64)
    for c, i in zip(*np.nonzero(table[:, :, 0])):
        kind, dx, dy, to, delay = (int(k) for k in table[c, i])
        place = (int(xy[c, 0]) + dx, int(xy[c, 1]) + dy)
        core = where.get(place, -1)
        if (kind == schema.TO_CORE and core < 0) or (kind == schema.TO_OUTPUT and place != section.output_xy):
            what = "no core lies" if kind == schema.TO_CORE else "the output port does not lie"
            raise DescriptorError(
                f"arrays.safetensors: destination: neuron {i} of core {c} sends to {place}, where {what}", fix=FIX
            )
        axon = core * AXONS + to if kind == schema.TO_CORE else to
        out[c, i] = kind, axon, delay, abs(dx) + abs(dy)
    return out


def _host(descriptor: Descriptor) -> tuple[Array, Array]:
    """Rows of `host_input` by source line, data lines first, then gate lines."""
    ports, host = descriptor.manifest.ports, descriptor.arrays["host_input"].astype(np.int64)
    line, data, gates = host_lines("host_input", host, ports)
    if any(p.max_count > 1 for p in ports):
        raise DescriptorError("manifest.json: a port carries counts; an axon is active or not", fix="use binary input")
    order = np.argsort(line, kind="stable")
    ptr = np.searchsorted(line[order], np.arange(data + gates + 1)).astype(np.int64)
    axon = host[:, 2] * AXONS + host[:, 3]
    return ptr, np.stack([axon, host[:, 4]], 1)[order]


def _placement(descriptor: Descriptor, n_cores: int) -> tuple[dict[str, Array], bool]:
    placement: dict[str, Array] = {}
    axons = False
    base = np.array([0, n_cores * NEURONS, n_cores * (NEURONS + AXONS)], np.int64)
    for layer in descriptor.manifest.layers:
        table = placement_table(descriptor.arrays, schema.PLACEMENT + layer.name, layer.n)
        kind = table[:, 0].astype(np.int64)
        axons |= bool((kind != schema.IS_NEURON).any())
        placement[layer.name] = base[kind] + np.where(kind == schema.IS_LINE, 0, table[:, 1] * NEURONS) + table[:, 2]
    return placement, axons


def _reported(descriptor: Descriptor, placement: Mapping[str, Array], n_cores: int) -> Array:
    """Global neuron behind each output line, -1 if it reports none."""
    table = descriptor.arrays["output_line"].astype(np.int64)
    out = np.full(len(table), -1, np.int64)
    layers = descriptor.manifest.layers
    for k, (layer, neuron) in enumerate(table):
        if layer < 0:
            continue
        if layer >= len(layers) or not 0 <= neuron < layers[layer].n:
            raise DescriptorError(f"arrays.safetensors: output_line {k} names no neuron of a layer", fix=FIX)
        out[k] = placement[layers[layer].name][neuron]
        if out[k] >= n_cores * NEURONS:
            raise DescriptorError(f"arrays.safetensors: output_line {k} reports what is no neuron", fix=FIX)
    return out
