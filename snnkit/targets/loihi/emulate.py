"""From a Loihi descriptor to a running chip: the memory images are decoded, routing included.

Nothing but the images and the manifest is used: an axon table that names the wrong axon gives wrong spikes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from snnkit._dialect import instantiate
from snnkit.descriptor import Descriptor
from snnkit.emulator.chip import Stimulus, Traces
from snnkit.emulator.order import MOST_ENTRIES, channels_last, entries, regrouped
from snnkit.emulator.pool import spread, writable
from snnkit.emulator.rows import Lists, Rows, build, ragged
from snnkit.errors import DescriptorError
from snnkit.targets.images import FIX, host_lines, placement_table, typed_section
from snnkit.targets.loihi import arithmetic, schema, spec

Array = np.ndarray[Any, Any]


@dataclass
class LoihiState:
    """Between two ticks: `tick` that comes next, rings [B, depth, N], states [3, B, N] (u, v, refractory) and the
    spikes of the tick before, last [B, N]."""

    tick: int
    rings: Array
    states: Array
    last: Array


@dataclass(frozen=True)
class LoihiChip:
    """Decoded cores. Global neuron index = row of `compartment`, or layers
    pixel after pixel (see `emulator.order`); sources are data lines, gate lines, then neurons."""

    n_neurons: int
    n_lines: int
    n_gates: int
    placement: Mapping[str, Array]
    rows: Rows
    packets: Array
    neurons: tuple[Array, ...]
    noise_at_membrane: Array

    def run(self, stimulus: Stimulus) -> Traces:
        """Run a batch from u = v = 0 (see `emulator.chip.Chip`)."""
        return self.go_on(stimulus, self.start(stimulus.raster.shape[1], stimulus.max_count))

    def start(self, batch: int, max_count: int = 1) -> LoihiState:
        """u = v = 0, nothing under way (see `emulator.chip.Stepwise`)."""
        exact = self.rows.bound * max_count < 2**31 and self.rows.weights.dtype == np.int8
        width = max(self.rows.width, self.n_neurons)
        rings = np.zeros((batch, self.rows.depth, width), np.int32 if exact else np.int64)
        states = np.zeros((3, batch, self.n_neurons), np.int32)
        return LoihiState(0, rings, states, np.zeros((batch, self.n_neurons), np.uint8))

    def go_on(self, stimulus: Stimulus, state: LoihiState) -> Traces:
        """Run more ticks (see `emulator.chip.Stepwise`)."""
        from snnkit.targets.loihi.kernel import COUNTERS, run_samples

        batch, ticks = stimulus.raster.shape[1], stimulus.ticks
        noise_u, noise_v = self._noise(stimulus.noise)
        spikes = np.empty((ticks, batch, self.n_neurons), np.uint8)
        u = np.empty((ticks, batch, len(stimulus.record)), np.int32)
        v = np.empty_like(u)
        counters = np.zeros((batch, len(COUNTERS)), np.int64)
        shared = (
            writable(stimulus.raster), stimulus.max_count > 1, stimulus.gate_from,
            stimulus.gate_to, state.tick, ticks, self.rows.arguments(), self._costs, self.rows.unit, self.neurons,
            state.rings, state.states, state.last, noise_u, noise_v, stimulus.record, spikes, u, v, counters,
        )  # fmt: skip
        spread(lambda begin, end: run_samples(begin, end, *shared), batch)
        state.tick += ticks
        return Traces(spikes, u, v, {name: counters[:, i] for i, name in enumerate(COUNTERS)})

    @cached_property
    def _costs(self) -> Array:
        from snnkit.targets.loihi.kernel import pack_costs

        return pack_costs(self.rows.events, self.packets)

    def _noise(self, noise: Array | None) -> tuple[Array, Array]:
        none = np.zeros((0, 1, self.n_neurons), np.int32)
        if noise is None:
            return none, none
        at_v = self.noise_at_membrane
        if noise.size and (noise.min() < -(2**30) or noise.max() > 2**30):  # bias + draw must fit 32 bits
            raise DescriptorError("injected noise is beyond +-2^30", fix="give the draws in units of u")
        noise_u = np.where(at_v, 0, noise).astype(np.int32) if not at_v.all() else none
        noise_v = np.where(at_v, noise, 0).astype(np.int32) if at_v.any() else none
        return noise_u, noise_v


def open_chip(descriptor: Descriptor) -> LoihiChip:
    """Check and decode a descriptor.

    Raises:
        DescriptorError: an image is inconsistent or beyond what a chip holds.
    """
    section = typed_section(schema.LoihiSection, descriptor.manifest)
    arrays = descriptor.arrays
    schema.check_images(arrays, section)
    placement = _placement(descriptor)
    wires = decode_wires(descriptor)
    n, n_lines, n_gates = len(arrays["compartment"]), wires.n_lines, wires.n_gates
    weight = instantiate(arithmetic, where=np.where).effective_weight(wires.mantissa.astype(np.int64), wires.wgt_exp)
    n_sources = n_lines + n_gates + n
    lists, source = Lists(wires.ptr, weight, wires.target, wires.delay), wires.source
    list_of, base, neurons = wires.list_of, wires.base, _neurons(arrays)
    at_membrane = np.repeat(arrays["core"][:, 3], np.diff(arrays["core_ptr"][:, 0])).astype(bool)
    order = channels_last(descriptor.manifest.layers, placement, n)
    if order is not None and entries(lists, list_of) <= MOST_ENTRIES:
        now = np.argsort(order)
        neurons, at_membrane = tuple(part[now] for part in neurons), at_membrane[now]
        placement = {name: order[place] for name, place in placement.items()}
        source = np.concatenate([np.arange(n_lines + n_gates), n_lines + n_gates + order])[source]
        packets = np.bincount(source, minlength=n_sources).astype(np.int64)
        lists, source, list_of, base = regrouped(lists, source, list_of, base, order, n_sources)
    else:
        packets = np.bincount(source, minlength=n_sources).astype(np.int64)
    return LoihiChip(
        n_neurons=n,
        n_lines=n_lines,
        n_gates=n_gates,
        placement=placement,
        rows=build(lists, source, list_of, base, n_sources),
        packets=packets,
        neurons=neurons,
        noise_at_membrane=at_membrane,
    )


def _neurons(arrays: Mapping[str, Array]) -> tuple[Array, ...]:
    """Effective du, dv (int16), level, bias, vmin, vmax, refract (int32) of every compartment, each [N]."""
    ptr, compartment = arrays["core_ptr"], arrays["compartment"]
    core = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr[:, 0]))
    profile = arrays["compartment_profile"][ptr[core, 1] + compartment[:, 0]]
    registers = arrays["core"][core].astype(np.int64)
    level = arrays["threshold_profile"][ptr[core, 2] + compartment[:, 1]] << spec.VTH_SHIFT
    bias = compartment[:, 2] << compartment[:, 3]
    vmin = np.array([spec.vmin(k) for k in range(spec.VMIN_EXPONENT_MAX + 1)], np.int64)[registers[:, 1]]
    vmax = np.array([spec.vmax(k) for k in range(spec.VMAX_EXPONENT_MAX + 1)], np.int64)[registers[:, 2]]
    parts = (profile[:, 0] + registers[:, 0], profile[:, 1], level, bias, vmin, vmax, profile[:, 2])
    types = (np.int16, np.int16, *[np.int32] * 5)  # narrow decays let the compiler use narrow products
    return tuple(np.ascontiguousarray(part, dtype) for part, dtype in zip(parts, types))


@dataclass(frozen=True)
class Wires:
    """All synapses: lists, one per atom, and which source uses which list on which compartments.

    List l holds synapses `ptr[l]` to `ptr[l + 1]` of `mantissa`, `wgt_exp`, `target` (offset from the base) and `delay`
    (register). Connection e [E]: `source` (data lines, gate lines, then compartments) triggers `list_of` from the
    global compartment `base` on.
    """

    ptr: Array
    mantissa: Array
    wgt_exp: Array
    target: Array
    delay: Array
    source: Array
    list_of: Array
    base: Array
    n_lines: int
    n_gates: int


def decode_wires(descriptor: Descriptor) -> Wires:
    """The synapse memory and the axon tables of a descriptor whose images were checked.

    Raises:
        DescriptorError: a list leaves the memory, an axon reaches a compartment that its core does not have, or the
            host's table names a line that there is not.
    """
    arrays = descriptor.arrays
    line_of, n_lines, n_gates = host_lines("host_input", arrays["host_input"], descriptor.manifest.ports)
    ptr, mantissa, wgt_exp, target, delay, first_list, base = _decode_lists(arrays)
    host, out, core = arrays["host_input"], arrays["output_axon"], arrays["core_ptr"]
    owner = np.repeat(np.arange(len(core) - 1), np.diff(core[:, 5]))
    source = np.concatenate([line_of, n_lines + n_gates + core[owner, 0] + out[:, 0]])
    to = np.concatenate([host[:, 2:5], out[:, 1:4]]).astype(np.int64)
    axon = core[to[:, 0], 4] + to[:, 1]
    return Wires(
        ptr, mantissa, wgt_exp, target, delay, source, first_list[axon] + to[:, 2], base[axon], n_lines, n_gates
    )


def _decode_lists(arrays: Mapping[str, Array]) -> tuple[Array, ...]:
    """ptr, mantissa, wgt_exp, target and delay of all lists (see `Wires`); first list and first global target [A] of
    every input axon."""
    ptr, inputs = arrays["core_ptr"], arrays["input_axon"].astype(np.int64)
    first_list = np.zeros(len(inputs), np.int64)
    lengths, mantissas, exponents, targets, delays = [], [], [], [], []
    n_lists = 0
    for core in range(len(ptr) - 1):
        mine = slice(ptr[core, 4], ptr[core + 1, 4])
        if mine.start == mine.stop:
            continue
        # axons that share words share the decoded list
        keys, which = np.unique(inputs[mine][:, [2, 3, 1]], axis=0, return_inverse=True)
        formats = arrays["synapse_format"][ptr[core, 3] : ptr[core + 1, 3]]
        words = arrays["synapse_memory"][ptr[core, 6] : ptr[core + 1, 6]]
        decoded = schema.decode_synapses(formats, words, keys[:, 0], keys[:, 1], core=core)
        atoms, per_atom = keys[:, 2], keys[:, 1] // keys[:, 2]
        begin = np.cumsum(atoms) - atoms
        first_list[mine] = n_lists + begin[which.reshape(-1)]
        length = np.repeat(per_atom, atoms)
        position = ragged(np.zeros(len(length), np.int64), length)
        target = np.where(decoded.index < 0, position, decoded.index)
        heads = np.cumsum(length) - length
        reach = np.maximum.reduceat(target, heads)
        reach = np.maximum.reduceat(reach, begin)[which.reshape(-1)] + inputs[mine, 4]
        n_compartments = int(ptr[core + 1, 0] - ptr[core, 0])
        if reach.max() >= n_compartments:
            bad = int(reach.argmax())
            raise DescriptorError(
                f"arrays.safetensors: input axon {bad} of core {core} reaches compartment {int(reach.max())}, "
                f"the core has {n_compartments}",
                fix=FIX,
            )
        n_lists += len(length)
        lengths.append(length)
        mantissas.append(decoded.mantissa)
        exponents.append(decoded.wgt_exp)
        targets.append(target)
        delays.append(decoded.delay)
    length = np.concatenate(lengths) if lengths else np.zeros(0, np.int64)
    mantissa, wgt_exp, target, delay = (
        np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)
        for dtype, parts in ((np.int32, mantissas), (np.int8, exponents), (np.int32, targets), (np.int32, delays))
    )
    core_of = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr[:, 4]))
    ends = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    return ends, mantissa, wgt_exp, target, delay, first_list, ptr[core_of, 0] + inputs[:, 4]


def _placement(descriptor: Descriptor) -> dict[str, Array]:
    ptr = descriptor.arrays["core_ptr"]
    placement: dict[str, Array] = {}
    for layer in descriptor.manifest.layers:
        table = placement_table(descriptor.arrays, schema.PLACEMENT + layer.name, layer.n)
        placement[layer.name] = ptr[table[:, 0], 0] + table[:, 1]
    return placement
