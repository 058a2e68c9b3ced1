"""Placed integer network -> memory images: the tables a chip would hold, core after core.

The result holds everything the emulator needs, routing included, and nothing of the graph. Lowering is deterministic:
equal graphs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.graph.findings import has_errors
from snnkit.graph.model import Graph
from snnkit.graph.neurons import LoihiNeuron
from snnkit.targets import lowered
from snnkit.targets.loihi import rules, spec
from snnkit.targets.loihi.encode import AxonGroup
from snnkit.targets.loihi.plan import LIMITS, CoreImage, Layer, Plan, plan
from snnkit.targets.loihi.schema import PLACEMENT, POINTER_COLUMNS, LoihiSection, SynapseFormat, encode_synapses
from snnkit.targets.loihi.wires import delay_of, mantissa_of

Array = np.ndarray[Any, Any]

_KIND_NAMES = {spec.DISCRETE: "discrete", spec.POP16: "population16", spec.POP32: "population32"}


@dataclass(frozen=True)
class LowerOptions:
    """How to lower.

    Attributes:
        strict: settings that public references read differently are errors (an export); else notes (a replay).
        as_dense: one discrete axon per source with a dense list over the core, as nengo-loihi counts a weight matrix.
        share: population axons for convolutions wherever possible, not only where they save memory.
        max_chips: chips of the board; None for what the mesh can address.
    """

    strict: bool = True
    as_dense: bool = False
    share: bool = False
    max_chips: int | None = None


@dataclass(frozen=True, eq=False)
class Lowered(lowered.Lowered[LoihiSection]):
    """Memory images with what they cost. `plan`: which neuron went where."""

    plan: Plan | None = None

    def resources(self) -> dict[str, Any]:
        """Totals, per layer and per core, with a core's limits."""
        return {**super().resources(), "limits": dict(LIMITS)}


def lower(
    graph: Graph, options: LowerOptions | None = None, *, progress: Callable[[str], None] | None = None
) -> Lowered:
    """Place an integer graph on the chip timeline and write its memory images.

    Never raises for a network that does not fit: `findings` says why and `arrays` is empty.
    """
    options = options or LowerOptions()
    findings = list(rules.check_integer(graph, strict=options.strict))
    nothing = LoihiSection(n_cores=0, n_chips=0)
    if has_errors(findings):
        return Lowered({}, nothing, tuple(findings))
    planned = plan(
        graph, as_dense=options.as_dense, share=options.share, max_chips=options.max_chips, progress=progress
    )
    findings.extend(planned.findings)
    if has_errors(findings):
        return Lowered({}, nothing, tuple(findings), plan=planned)
    section = LoihiSection(n_cores=len(planned.sites), n_chips=planned.n_chips)
    return Lowered(_images(graph, planned), section, tuple(findings), _costs(planned), planned)


def _costs(planned: Plan) -> tuple[dict[str, Any], ...]:
    images = [core for layer in planned.layers for core in layer.cores]
    return tuple(
        {
            "core": site.core,
            "chip": site.chip,
            "slot": site.slot,
            "layer": site.layer,
            "usage": dict(image.usage),
            "axons": sorted({_KIND_NAMES[g.kind] for g in image.groups}),
        }
        for site, image in zip(planned.sites, images)
    )


def _images(graph: Graph, planned: Plan) -> dict[str, Array]:
    ports = {i.name: k for k, i in enumerate(graph.inputs)}
    cores = [(layer, core) for layer in planned.layers for core in layer.cores]
    placement = _placement(planned)
    tables: dict[str, list[Array]] = {name: [] for name in (*POINTER_COLUMNS, "core")}
    outputs: list[Array] = []
    hosts: list[Array] = []
    for number, (layer, core) in enumerate(cores):
        _neurons(tables, layer, core)
        first_axon = _synapses(tables, core)
        for group, start in zip(core.groups, first_axon):
            routes = np.stack(
                [np.full(len(group.sources), number), start + group.axon_of, group.atom_of,
                 np.full(len(group.sources), group.kind)], 1,
            )  # fmt: skip
            source = group.wires.connection.src
            if group.wires.from_host:
                port = np.full(len(group.sources), ports[source])
                hosts.append(np.column_stack([port, group.sources, routes[:, :3]]))
            else:
                outputs.append(np.column_stack([placement[source][group.sources], routes]))
    arrays = {name: _table(name, parts) for name, parts in tables.items()}
    output = _sorted(np.concatenate([np.zeros((0, 6), np.int64), *outputs]))
    arrays["output_axon"] = np.ascontiguousarray(output[:, 1:], np.int32)
    arrays["host_input"] = _sorted(np.concatenate([np.zeros((0, 5), np.int64), *hosts])).astype(np.int32)
    counts = [[len(part) for part in tables[name]] for name in POINTER_COLUMNS]
    counts[POINTER_COLUMNS.index("output_axon")] = np.bincount(output[:, 0], minlength=len(cores)).tolist()
    ptr = np.zeros((len(cores) + 1, len(POINTER_COLUMNS)), np.int64)
    ptr[1:] = np.cumsum(np.array(counts, np.int64).reshape(len(POINTER_COLUMNS), -1), axis=1).T
    arrays["core_ptr"] = ptr
    for name, table in placement.items():
        arrays[PLACEMENT + name] = table.astype(np.int32)
    return arrays


def _placement(planned: Plan) -> dict[str, Array]:
    """(core, compartment) of each neuron, per layer."""
    result: dict[str, Array] = {}
    number = 0
    for layer in planned.layers:
        table = np.zeros((layer.population.n, 2), np.int64)
        for core in layer.cores:
            table[core.neurons, 0] = number
            table[core.neurons, 1] = np.arange(len(core.neurons))
            number += 1
        result[layer.population.name] = table
    return result


def _neurons(tables: dict[str, list[Array]], layer: Layer, core: CoreImage) -> None:
    """Compartments of one core with their profiles."""
    neuron, mine = layer.population.neuron, core.neurons
    assert isinstance(neuron, LoihiNeuron)
    profiles, profile = np.unique(
        np.stack([neuron.du[mine], neuron.dv[mine], neuron.refract[mine]], 1), axis=0, return_inverse=True
    )
    levels, level = np.unique(neuron.vth[mine], return_inverse=True)
    tables["core"].append(
        np.array(
            [[neuron.ds_offset, rules.vmin_exponent(neuron.vmin), rules.vmax_exponent(neuron.vmax),
              neuron.noise_at_membrane]]
        )
    )  # fmt: skip
    tables["compartment_profile"].append(profiles)
    tables["threshold_profile"].append(levels)
    tables["compartment"].append(
        np.stack([profile.reshape(-1), level.reshape(-1), neuron.bias_mant[mine], neuron.bias_exp[mine]], 1)
    )


def _synapses(tables: dict[str, list[Array]], core: CoreImage) -> list[int]:
    """Formats, synapse memory and input axons of one core; the first axon of each group."""
    unused = SynapseFormat(*([0] * len(SynapseFormat._fields)))
    formats = (unused, *core.formats)
    tables["synapse_format"].append(np.array(formats))
    groups = core.groups
    row_of = {f: k for k, f in enumerate(formats) if k}
    list_format = [np.array([row_of[f] for f in g.formats])[g.list_format] for g in groups]
    length = _cat([np.diff(g.ptr) for g in groups])
    code = _cat([g.code for g in groups])
    words, first = encode_synapses(
        formats, _cat(list_format), np.concatenate([[0], np.cumsum(length)]), mantissa_of(code),
        _cat([g.index for g in groups]), delay_of(code),
    )  # fmt: skip
    tables["synapse_memory"].append(words)
    starts, axons, lists, number = [], [np.zeros((0, 5), np.int64)], 0, 0
    for g in groups:
        starts.append(number)
        row = lists + g.list_of
        axons.append(
            np.stack([np.full(g.n_axons, g.kind), np.full(g.n_axons, g.atoms), first[row], length[row], g.base], 1)
        )
        number += g.n_axons
        lists += len(g.ptr) - 1
    tables["input_axon"].append(np.concatenate(axons))
    return starts


def _cat(parts: Sequence[Array]) -> Array:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _table(name: str, parts: list[Array]) -> Array:
    dtype = np.uint64 if name == "synapse_memory" else np.int32
    return np.ascontiguousarray(np.concatenate(parts) if parts else np.zeros(0), dtype)


def _sorted(rows: Array) -> Array:
    return rows[np.lexsort(rows.T[::-1])]


__all__ = ["AxonGroup", "LowerOptions", "Lowered", "lower"]
