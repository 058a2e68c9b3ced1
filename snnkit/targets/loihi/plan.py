"""Decide which neurons share a core, with everything a core has in view: the bridge from `mapping` to Loihi.

Each population gets cores of its own. What a core needs is measured by encoding its synapses in full, or counted from
the layers' geometry (`counted`); the axons that leave it depend on how their targets are cut, so populations whose
cores need too many output slots are cut again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph, Population
from snnkit.graph.neurons import LoihiNeuron
from snnkit.mapping import Over, Partition, Site, fan_out, over, partition, place
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.axons import AxonCount
from snnkit.targets.loihi.count import alike, count
from snnkit.targets.loihi.encode import AxonGroup, encode
from snnkit.targets.loihi.schema import SynapseFormat
from snnkit.targets.loihi.wires import Wires, prepare

Array = np.ndarray[Any, Any]

LIMITS: dict[str, int] = {
    "compartments": spec.COMPARTMENTS_PER_CORE,
    "input_axons": spec.INPUT_AXONS_PER_CORE,
    "output_axons": spec.OUTPUT_AXON_SLOTS_PER_CORE,
    "synapse_bits": spec.SYNAPSE_BITS_PER_CORE,
    "synapse_formats": spec.SYNAPSE_FORMATS_PER_CORE - 1,
    "compartment_profiles": spec.COMPARTMENT_PROFILES_PER_CORE,
    "threshold_profiles": spec.THRESHOLD_PROFILES_PER_CORE,
    "delay_slots": spec.DELAY_CAPACITY,
}
"""What one core has. `delay_slots` = compartments x depth of the delay line, an assumption (see `spec`)."""

_CODES = {
    "compartments": ("COMPARTMENTS", "use fewer neurons"),
    "input_axons": ("AXONS", "give each neuron fewer sources: pool or stride before this layer, or split it in two"),
    "output_axons": ("OUTPUT_AXONS", "let the neuron reach fewer cores: narrow the layers it projects to"),
    "synapse_bits": ("SYNAPSE_MEMORY", "use fewer synapses per neuron or fewer weight bits"),
    "synapse_formats": ("SYNAPSE_FORMATS", "use fewer connections with different exponents, signs or bits"),
    "compartment_profiles": ("COMPARTMENT_PROFILES", "use fewer different decays"),
    "threshold_profiles": ("THRESHOLD_PROFILES", "use fewer different thresholds"),
    "delay_slots": ("DELAY_DEPTH", "use shorter delays"),
}
_ROUNDS = 24


@dataclass(frozen=True, eq=False)
class CoreImage:
    """One core: its neurons in the order of their compartments, and the axons that reach them, encoded or counted."""

    neurons: Array
    axons: tuple[AxonCount, ...]
    formats: tuple[SynapseFormat, ...]
    usage: dict[str, int]

    @property
    def groups(self) -> tuple[AxonGroup, ...]:
        """The axons with their lists; none where they were only counted."""
        return tuple(g for g in self.axons if isinstance(g, AxonGroup))


@dataclass(frozen=True, eq=False)
class Layer:
    """A population with its cores."""

    population: Population
    wires: tuple[Wires, ...]
    cores: tuple[CoreImage, ...] = ()


@dataclass(frozen=True, eq=False)
class Plan:
    """Layers in the order of the graph, their sites, and what does not fit."""

    layers: tuple[Layer, ...]
    sites: tuple[Site, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def n_chips(self) -> int:
        return max((s.chip for s in self.sites), default=-1) + 1


@dataclass(eq=False)
class _Cutter:
    """Measures and cuts one population; keeps the encodings of the tiles it has measured last."""

    population: Population
    wires: tuple[Wires, ...]
    slots: Array
    kept: dict[bytes, CoreImage] = field(default_factory=dict)
    profile: Array = field(init=False)
    threshold: Array = field(init=False)

    def __post_init__(self) -> None:
        neuron = self.population.neuron
        assert isinstance(neuron, LoihiNeuron)
        _, self.profile = np.unique(np.stack([neuron.du, neuron.dv, neuron.refract], 1), axis=0, return_inverse=True)
        self.profile = self.profile.reshape(-1)
        _, self.threshold = np.unique(neuron.vth, return_inverse=True)

    def image(self, neurons: Array) -> CoreImage:
        key = np.asarray(neurons, np.int64).tobytes()
        if key not in self.kept:
            image = self._encode(neurons, uniform=False)
            if image.usage["synapse_formats"] > LIMITS["synapse_formats"]:
                image = self._encode(neurons, uniform=True)
            while len(self.kept) >= 64:  # the search revisits recent tiles only
                self.kept.pop(next(iter(self.kept)))
            self.kept[key] = image
        return self.kept[key]

    def _encode(self, neurons: Array, *, uniform: bool) -> CoreImage:
        groups: list[AxonCount] = []
        left = spec.POP16_AXONS
        for wires in self.wires:
            measured = count if wires.codes is None else encode
            group = measured(wires, neurons, pop16_left=left, uniform=uniform)
            if group is not None:
                left -= group.n_axons if group.kind == spec.POP16 else 0
                groups.append(group)
        groups.sort(key=lambda g: (g.kind != spec.POP16, g.wires.number))  # 16-bit axons need low numbers
        formats = tuple(dict.fromkeys(f for g in groups for f in g.formats))
        depth = spec.delay_depth(max((g.max_delay for g in groups), default=0))
        usage = {
            "compartments": len(neurons),
            "input_axons": sum(g.n_axons for g in groups),
            "synapse_bits": sum(g.words for g in groups) * spec.SYNAPSE_WORD_BITS,
            "synapse_formats": len(formats),
            "compartment_profiles": len(np.unique(self.profile[neurons])),
            "threshold_profiles": len(np.unique(self.threshold[neurons])),
            "delay_slots": len(neurons) * depth,
        }
        return CoreImage(np.asarray(neurons, np.int64), tuple(groups), formats, usage)

    def measure(self, neurons: Array) -> dict[str, int]:
        return {**self.image(neurons).usage, "output_axons": int(self.slots[neurons].sum())}

    def alone(self) -> Partition | None:
        """The first neuron that no core takes, if there is one, by one neuron of each kind."""
        _, first = np.unique(alike(self.population, self.wires), return_index=True)
        for k in sorted(first.tolist()):
            unfit = over(self.measure(np.array([k])), LIMITS)
            if unfit:
                return Partition((), k, unfit)
        return None

    def cut(self) -> Partition:
        many = (
            self.profile.max(initial=0) >= LIMITS["compartment_profiles"]
            or self.threshold.max(initial=0) >= LIMITS["threshold_profiles"]
        )
        order = np.lexsort((np.arange(self.population.n), self.profile, self.threshold)) if many else None
        return partition(self.population.shape, self.measure, LIMITS, order=order, each={"output_axons": self.slots})


def plan(
    graph: Graph,
    *,
    as_dense: bool = False,
    share: bool = False,
    counted: bool = False,
    max_chips: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Plan:
    """Cut an integer graph on the chip timeline into cores.

    Args:
        as_dense: encode every connection as nengo-loihi encodes a weight matrix: one axon per source, dense lists.
        share: use population axons for convolutions wherever possible, not only where they save memory.
        counted: count synapses, whose weights may then be real numbers, and encode none: the cuts and findings are
            those of integers that are 0 where these are (in kernels nowhere), if no two of a kernel are equal. Where
            a neuron alone does not fit, nothing is cut.
        max_chips: what the board has; default what the chip's mesh can address.
        progress: called with the name of each population before it is cut.
    """
    hosts = {i.name for i in graph.inputs}
    cutters: dict[str, _Cutter] = {}
    wires = {
        c.name: prepare(k, c, c.src in hosts, as_dense=as_dense, share=share, counted=counted)
        for k, c in enumerate(graph.connections)
    }
    findings: list[Finding] = []
    parts: dict[str, tuple[CoreImage, ...]] = {}
    for p in graph.populations:
        mine = tuple(wires[c.name] for c in graph.incoming(p.name))
        cutters[p.name] = _Cutter(p, mine, np.zeros(p.n, np.int64))
        if counted and p.n and (unfit := cutters[p.name].alone()) is not None:
            findings.extend(_unfit(p.name, unfit.neuron, o) for o in unfit.over)
    if findings:
        return Plan((), (), tuple(findings))
    for p in graph.populations:
        if progress is not None:
            progress(p.name)
        parts[p.name] = _apply(cutters[p.name], findings)
    for _ in range(_ROUNDS):
        if findings:
            break
        slots = _slots(graph, parts)
        again = []
        for p in graph.populations:
            if any(slots[p.name][core.neurons].sum() > LIMITS["output_axons"] for core in parts[p.name]):
                again.append(p.name)
                cutters[p.name].slots = slots[p.name]
        if not again:
            break
        for name in again:
            parts[name] = _apply(cutters[name], findings)
    else:
        findings.append(_no_routes(graph, parts))
    slots = _slots(graph, parts)
    layers = tuple(
        Layer(p, cutters[p.name].wires, tuple(_with_outputs(c, slots[p.name]) for c in parts[p.name]))
        for p in graph.populations
    )
    sites = tuple(place([(x.population.name, len(x.cores)) for x in layers], spec.CORES_PER_CHIP))
    result = Plan(layers, sites, tuple(findings))
    available = spec.MAX_CHIPS if max_chips is None else max_chips
    if not findings and result.n_chips > available:  # what was not cut has no cores to count
        finding = Finding(
            "CHIPS", graph.name, f"the network needs {len(sites)} cores", resource="chips", needed=result.n_chips,
            available=available, remedy="use a larger board, or narrower layers",
        )  # fmt: skip
        result = Plan(layers, sites, (finding,))
    return result


def _apply(cutter: _Cutter, findings: list[Finding]) -> tuple[CoreImage, ...]:
    cut = cutter.cut()
    if cut.over:
        findings.extend(_unfit(cutter.population.name, cut.neuron, o) for o in cut.over)
    images = tuple(cutter.image(t) for t in cut.tiles)
    cutter.kept.clear()
    return images


def _slots(graph: Graph, parts: dict[str, tuple[CoreImage, ...]]) -> dict[str, Array]:
    """Output slots that each neuron needs, by population [n]."""
    reached: dict[str, list[tuple[Array, int]]] = {p.name: [] for p in graph.populations}
    for cores in parts.values():
        for core in cores:
            for g in core.axons:
                if g.wires.connection.src in reached:
                    reached[g.wires.connection.src].append((g.sources, spec.AXON_SLOTS[g.kind]))
    return {p.name: fan_out(p.n, reached[p.name]) for p in graph.populations}


def _with_outputs(core: CoreImage, slots: Array) -> CoreImage:
    usage = {**core.usage, "output_axons": int(slots[core.neurons].sum())}
    return CoreImage(core.neurons, core.axons, core.formats, usage)


def _unfit(name: str, neuron: int | None, what: Over) -> Finding:
    code, remedy = _CODES[what.resource]
    return Finding(
        code,
        f"{name}[{neuron}]",
        f"this neuron alone needs {what.needed} {what.resource.replace('_', ' ')} of a core",
        resource=what.resource,
        needed=what.needed,
        available=what.available,
        remedy=remedy,
    )


def _no_routes(graph: Graph, parts: dict[str, tuple[CoreImage, ...]]) -> Finding:
    slots = _slots(graph, parts)
    worst = max(
        ((int(slots[p.name][c.neurons].sum()), p.name) for p in graph.populations for c in parts[p.name]),
        default=(0, graph.name),
    )
    code, remedy = _CODES["output_axons"]
    return Finding(
        code, worst[1], "cutting the layer into more cores did not bring its output axons within a core's",
        resource="output_axons", needed=worst[0], available=LIMITS["output_axons"], remedy=remedy,
    )  # fmt: skip
