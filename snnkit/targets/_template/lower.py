"""Integer graph -> memory images: cut populations into cores, place the cores, write weights and routing tables.

`snnkit.mapping` cuts and places; this file says what a core needs and writes its memory. Deterministic: equal graphs
give equal bytes. Never raises for a network that does not fit: findings say why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Graph
from snnkit.mapping import partition, place
from snnkit.targets import checks, lowered
from snnkit.targets._template import rules, spec
from snnkit.targets._template.neuron import ToyNeuron
from snnkit.targets._template.schema import PLACEMENT, ToySection

Array = np.ndarray[Any, Any]

LIMITS = {"neurons": spec.NEURONS_PER_CORE, "axons": spec.AXONS_PER_CORE}
"""What a core has."""


@dataclass(frozen=True)
class LowerOptions:
    """How to lower; none of them changes a spike.

    Attributes:
        neurons_per_core: at most so many; None for what a core has.
        spread: leave every second core empty.
    """

    neurons_per_core: int | None = None
    spread: bool = False


@dataclass(frozen=True, eq=False)
class Core:
    """One core: its neurons in the order of their slots, and (connection, source) of each axon."""

    number: int
    layer: str
    neurons: Array
    axons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """Cores in the order of the graph's populations, and what does not fit."""

    cores: tuple[Core, ...]
    findings: tuple[Finding, ...]

    @property
    def n_cores(self) -> int:
        """Cores up to the last one with neurons."""
        return max((c.number for c in self.cores), default=-1) + 1


@dataclass(frozen=True, eq=False)
class Lowered(lowered.Lowered[ToySection]):
    """Memory images with what they cost."""

    def resources(self) -> dict[str, Any]:
        """Totals, and per core beside a core's limits."""
        return {**super().resources(), "limits": dict(LIMITS)}


def plan(graph: Graph, options: LowerOptions | None = None) -> Plan:
    """Which neuron and which source goes where; float graphs too, because only zeros matter here."""
    options = options or LowerOptions()
    limits = {**LIMITS, "neurons": min(options.neurons_per_core or spec.NEURONS_PER_CORE, spec.NEURONS_PER_CORE)}
    findings: list[Finding] = []
    tiles: list[tuple[str, Array, tuple[tuple[str, int], ...]]] = []
    for p in graph.populations:
        wires = [(c.name, _reach(c.synapse.matrix())) for c in graph.incoming(p.name)]

        def axons(neurons: Array, wires: list[tuple[str, sp.csr_matrix]] = wires) -> tuple[tuple[str, int], ...]:
            return tuple((name, int(j)) for name, m in wires for j in np.unique(m[neurons].indices))

        cut = partition(
            p.shape, lambda neurons: {"neurons": len(neurons), "axons": len(axons(neurons))}, limits, slots="neurons"
        )
        for over in cut.over:
            findings.append(
                Finding(
                    over.resource.upper(), f"{p.name}[{cut.neuron}]", f"this neuron alone needs {over.needed} axons",
                    resource=over.resource, needed=over.needed, available=over.available,
                    remedy="give each neuron fewer sources: pool or stride before this layer, or make it sparse",
                )
            )  # fmt: skip
        tiles += [(p.name, tile, axons(tile)) for tile in cut.tiles]
    sites = place([(layer, 1) for layer, _, _ in tiles], spec.CORES_PER_CHIP)
    step = 2 if options.spread else 1
    cores = tuple(Core(site.core * step, *tile) for site, tile in zip(sites, tiles))
    made = Plan(cores, ())
    chips = -(-made.n_cores // spec.CORES_PER_CHIP)
    if chips > spec.MAX_CHIPS:
        findings.append(
            Finding(
                "CHIPS", graph.name, f"the network needs {made.n_cores} cores", resource="chips", needed=chips,
                available=spec.MAX_CHIPS, remedy="use narrower layers",
            )
        )  # fmt: skip
    return Plan(cores, (*findings, *_routes_findings(graph, cores)))


def _reach(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The synapses that are not zero."""
    found = sp.csr_matrix(matrix, copy=True)
    found.eliminate_zeros()
    return found


def _routes_findings(graph: Graph, cores: tuple[Core, ...]) -> list[Finding]:
    needed = {p.name: np.zeros(p.n, np.int64) for p in graph.populations}
    source = {c.name: c.src for c in graph.connections}
    for core in cores:
        for name, j in core.axons:
            if source[name] in needed:
                needed[source[name]][j] += 1
    return [
        Finding(
            "ROUTES", f"{name}[{int(count.argmax())}]", "this neuron reaches too many cores", resource="routes",
            needed=int(count.max()), available=spec.ROUTES_PER_NEURON,
            remedy="make the layers that it projects to narrower, or the connection sparse",
        )
        for name, count in needed.items()
        if count.max(initial=0) > spec.ROUTES_PER_NEURON
    ]  # fmt: skip


def lower(
    graph: Graph, options: LowerOptions | None = None, *, progress: Callable[[str], None] | None = None
) -> Lowered:
    """Place an integer graph and write its memory images.

    Args:
        progress: called with what is being done.
    """
    findings = [*rules.check(graph, resources=False), *checks.quantised(graph, ToyNeuron)]
    nothing = ToySection(n_cores=0, n_chips=0)
    if has_errors(findings):
        return Lowered({}, nothing, tuple(findings))
    if progress is not None:
        progress("cutting into cores")
    planned = plan(graph, options)
    findings += planned.findings
    if has_errors(findings):
        return Lowered({}, nothing, tuple(findings))
    section = ToySection(n_cores=planned.n_cores, n_chips=-(-planned.n_cores // spec.CORES_PER_CHIP))
    costs = tuple(
        {"core": c.number, "chip": c.number // spec.CORES_PER_CHIP, "layer": c.layer,
         "usage": {"neurons": len(c.neurons), "axons": len(c.axons)}}
        for c in planned.cores
    )  # fmt: skip
    return Lowered(_images(graph, planned), section, tuple(findings), costs)


def _images(graph: Graph, planned: Plan) -> dict[str, Array]:
    n_cores = planned.n_cores
    neuron = np.zeros((n_cores, spec.NEURONS_PER_CORE, 3), np.int32)
    weight = np.zeros((n_cores, spec.AXONS_PER_CORE, spec.NEURONS_PER_CORE), np.int8)
    placement = {p.name: np.zeros((p.n, 2), np.int32) for p in graph.populations}
    for core in planned.cores:
        placement[core.layer][core.neurons] = np.stack(
            [np.full(len(core.neurons), core.number), np.arange(len(core.neurons))], 1
        )
    connections = {c.name: c for c in graph.connections}
    ports = {i.name: k for k, i in enumerate(graph.inputs)}
    matrices = {c.name: sp.csr_matrix(c.synapse.matrix()) for c in graph.connections}
    routes, hosts = [np.zeros((0, 4), np.int64)], [np.zeros((0, 4), np.int64)]
    for core in planned.cores:
        registers = graph.node(core.layer).neuron  # type: ignore[union-attr]
        assert isinstance(registers, ToyNeuron)
        mine = core.neurons
        neuron[core.number, : len(mine)] = np.stack(
            [registers.leak[mine], registers.threshold[mine], registers.reset[mine]], 1
        )
        first = 0
        for name in dict.fromkeys(name for name, _ in core.axons):
            sources = np.array([j for other, j in core.axons if other == name])
            rows = slice(first, first + len(sources))
            weight[core.number, rows, : len(mine)] = matrices[name][mine].toarray()[:, sources].T
            to = np.stack([np.full(len(sources), core.number), np.arange(first, first + len(sources))], 1)
            source = connections[name].src
            if source in ports:
                hosts.append(np.column_stack([np.full(len(sources), ports[source]), sources, to]))
            else:
                routes.append(np.column_stack([placement[source][sources], to]))
            first += len(sources)
    return {
        "neuron": neuron,
        "weight": weight,
        "route": _sorted(np.concatenate(routes)),
        "host_input": _sorted(np.concatenate(hosts)),
        **{PLACEMENT + name: table for name, table in placement.items()},
    }


def _sorted(rows: Array) -> Array:
    return np.ascontiguousarray(rows[np.lexsort(rows.T[::-1])]).astype(np.int32)
