"""A plan as memory images: bodies first, then every axon's driver takes a free copy of its source.

Cores are written in the order of the plan, so that equal graphs give equal bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph
from snnkit.graph.neurons import TrueNorthNeuron
from snnkit.targets.truenorth import schema, spec
from snnkit.targets.truenorth.images import CoreImage, neuron_rows, pack, site
from snnkit.targets.truenorth.plan import Layer, Plan, axons_of, make_plan, relay_groups
from snnkit.targets.truenorth.schema import AXONS, NEURON_COLUMNS

Array = np.ndarray[Any, Any]

OUTPUT_XY = (-1, 0)


def plan(graph: Graph) -> tuple[dict[str, Array], list[CoreImage], tuple[int, int], list[Finding]]:
    """(memory images, cores, place of the output port, findings) of an integer graph."""
    made = make_plan(graph)
    if made.findings:
        return {}, [], OUTPUT_XY, made.findings
    if made.n_cores > spec.CORES_PER_CHIP * spec.MAX_CHIPS:
        return {}, [CoreImage("")] * made.n_cores, OUTPUT_XY, []
    builder = _Builder(graph, made)
    arrays = builder.build()
    return arrays, builder.cores, OUTPUT_XY, []


class _Builder:
    """Writes the cores of a plan: bodies first, then every axon's driver takes a free copy of its source."""

    def __init__(self, graph: Graph, made: Plan) -> None:
        self.graph, self.made = graph, made
        self.cores: list[CoreImage] = []
        self.free: dict[tuple[str, int], list[tuple[int, int]]] = {}
        self.placement = {p.name: np.zeros((p.n, 3), np.int64) for p in graph.populations}
        self.ports = {i.name: k for k, i in enumerate(graph.inputs)}
        self.host: list[tuple[int, int, int, int, int]] = []
        self.wanted: list[tuple[str, int, int, int, int]] = []
        """(source, neuron, core, axon, delay) of axons that neurons drive."""

    def build(self) -> dict[str, Array]:
        for layer in self.made.layers.values():
            for tile in layer.tiles:
                self._body(layer, tile)
        self._unread()
        lines = self._outputs()
        for name in self.made.relayed:
            self._relays(name)
        for name, neuron, core, axon, delay in self.wanted:
            at, slot = self.free[name, neuron].pop(0)
            self.cores[at].target[slot] = (schema.TO_CORE, core, axon, delay)
        xy = np.array([site(k) for k in range(len(self.cores))], np.int64)
        arrays = pack(self.cores, xy, OUTPUT_XY)
        arrays["host_input"] = np.array(sorted(self.host), np.int32).reshape(-1, 5)
        arrays["output_line"] = lines
        arrays |= {schema.PLACEMENT + name: table.astype(np.int32) for name, table in self.placement.items()}
        return arrays

    def _body(self, layer: Layer, tile: Array) -> None:
        w, number = layer.wires, len(self.cores)
        neuron = w.population.neuron
        assert isinstance(neuron, TrueNorthNeuron)
        owner = np.repeat(layer.owner[tile], layer.share[tile])
        axons = axons_of(w, np.unique(owner))
        image = CoreImage(w.population.name, n_axons=len(axons), n_neurons=len(owner))
        image.kinds[: len(axons)] = axons % 4
        image.bits[: len(axons), : len(owner)] = w.pairs[owner][:, axons].toarray().T
        image.neuron[: len(owner)] = neuron_rows(neuron, owner, w.weight[owner])
        self.cores.append(image)
        for slot in reversed(range(len(owner))):
            self.placement[w.population.name][owner[slot]] = (schema.IS_NEURON, number, slot)
        for slot, i in enumerate(owner):
            self.free.setdefault((w.population.name, int(i)), []).append((number, slot))
        for axon, key in enumerate(axons // 4):
            self._drive(w.node[key], int(w.source[key]), number, axon, int(w.delay[key]))

    def _drive(self, name: str, source: int, core: int, axon: int, delay: int) -> None:
        """Let a source drive an axon: a line of the host, a neuron, or all that an axon shares."""
        if name in self.made.members:
            table = self.placement[name]
            if not table[source].any():
                table[source] = (schema.IS_AXON, core, axon)
            for driver, neuron, late in self.made.members[name][source]:
                self._drive(driver, neuron, core, axon, late)
        elif name in self.ports:
            self.host.append((self.ports[name], source, core, axon, delay))
        else:
            self.wanted.append((name, source, core, axon, delay))

    def _unread(self) -> None:
        """Cores whose axons nothing reads, so that every neuron of the graph has a place."""
        for name, axons in self.made.unread.items():
            for first in range(0, len(axons), AXONS):
                group = axons[first : first + AXONS]
                self.cores.append(CoreImage(f"{name} (axons)", n_axons=len(group)))
                for axon, source in enumerate(group):
                    self._drive(name, source, len(self.cores) - 1, axon, 0)

    def _outputs(self) -> Array:
        """The read-out's neurons send a copy each to the output port."""
        readout = self.graph.readout
        if readout is None:
            return np.zeros((0, 2), np.int32)
        index = [p.name for p in self.graph.populations].index(readout.population)
        n = self.graph.populations[index].n
        for i in range(n):
            core, slot = self.free[readout.population, i].pop(0)
            self.cores[core].target[slot] = (schema.TO_OUTPUT, 0, i, spec.DELAY_MIN)
        return np.stack([np.full(n, index), np.arange(n)], 1).astype(np.int32)

    def _relays(self, name: str) -> None:
        """Relay cores: a source drives one axon, whose relay neurons (weight 1, threshold 1) drive the others."""
        column = {key: k for k, key in enumerate(NEURON_COLUMNS)}
        first: list[tuple[str, int, int, int, int]] = []
        relay: dict[int, list[tuple[int, int]]] = {}
        for group in relay_groups(self.made.demand[name]):
            image, number, slot = CoreImage(f"{name} (relays)"), len(self.cores), 0
            for axon, (neuron, count) in enumerate(group):
                mine = slice(slot, slot + count)
                image.bits[axon, mine] = 1
                image.neuron[mine, column["weight0"]] = 1
                relay.setdefault(neuron, []).extend((number, s) for s in range(slot, slot + count))
                first.append((name, neuron, number, axon, 1))
                slot += count
            image.n_axons, image.n_neurons = len(group), slot
            self.cores.append(image)
        others = []
        for source, neuron, core, axon, delay in self.wanted:
            if source != name:
                others.append((source, neuron, core, axon, delay))
                continue
            at, place = relay[neuron].pop(0)
            self.cores[at].target[place] = (schema.TO_CORE, core, axon, delay - 1)
        self.wanted = others + first
