"""Which neuron goes to which core, which keys it sends, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Population, SpinnakerNeuron, SpinnakerWeightFormat
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.machine import Chip, chips_of, cores_of
from snnkit.targets.spinnaker.network import Network, PlacedCore
from snnkit.targets.spinnaker.routes import Stream, build_routes

Array = np.ndarray[Any, Any]

LIMITS: dict[str, int] = {
    "neurons": spec.NEURONS_PER_CORE,
    "ring_slots": 1 << spec.INDEX_BITS_MAX,
    "dtcm_bytes": spec.DTCM_BYTES,
    "sdram_bytes": spec.SDRAM_BYTES,
}
"""What a core has; the SDRAM is shared by the cores of a chip."""


def usage(core: PlacedCore) -> dict[str, int]:
    """What one core needs. SDRAM: rows, population table and parameters. DTCM: an estimate, see `dtcm_bytes`."""
    regions = core.regions()
    sdram = sum(4 * len(r) for r in regions.values())
    if core.binary == spec.SOURCE:
        return {"neurons": 0, "ring_slots": 0, "dtcm_bytes": 0, "sdram_bytes": 4 * core.n}
    return {
        "neurons": core.n,
        "ring_slots": ring_slots(core.most, core.delay_bits),
        "dtcm_bytes": dtcm_bytes(core.n, core.most, core.delay_bits, len(regions["population_table"]), len(core.stdp)),
        "sdram_bytes": sdram,
    }


def ring_slots(most: int, delay_bits: int) -> int:
    """Entries of the ring buffers of a core."""
    return 1 << (words.bits_for(most) + spec.RECEPTOR_BITS + delay_bits)


def dtcm_bytes(n: int, most: int, delay_bits: int, table_words: int, stdp_words: int) -> int:
    """Data memory: ring buffers of 16 bits, neurons with state and key, table, input buffer, two row buffers, history
    of post events if it learns, and a reserve for stack and heap."""
    neurons = n * 4 * (spec.NEURON_WORDS + 6 + 8 + 1)
    rows = 2 * 4 * (spec.ROW_WORDS_MAX + spec.ROW_HEADER_WORDS)
    learning = (4 * stdp_words + n * (4 + 6 * spec.POST_EVENTS)) if stdp_words else 0
    ring = 2 * ring_slots(most, delay_bits)
    return ring + neurons + 4 * table_words + 4 * spec.INPUT_BUFFER + rows + learning + spec.DTCM_RESERVED


@dataclass(eq=False)
class _Node:
    """A port or population cut into cores of at most `most` neurons, with the space of its keys."""

    name: str
    n: int
    most: int
    population: Population | None
    places: list[tuple[Chip, int]] = field(default_factory=list)
    key: int = 0

    @property
    def count(self) -> int:
        return -(-self.n // self.most)

    @property
    def shift(self) -> int:
        """Where the number of the core begins in a key."""
        return words.bits_for(self.most) + spec.COLOUR_BITS

    @property
    def core_bits(self) -> int:
        return (self.count - 1).bit_length()

    @property
    def mask(self) -> int:
        return 0xFFFFFFFF & ~((1 << (self.shift + self.core_bits)) - 1)

    def slice_of(self, core: int) -> Array:
        return np.arange(core * self.most, min((core + 1) * self.most, self.n))


def place(
    graph: Graph, *, board: str | None = None, neurons_per_core: int | None = None
) -> tuple[Network | None, list[Finding]]:
    """Cut, place, give keys and route. Without errors among the findings there is a network."""
    nodes, findings = _cut(graph, neurons_per_core)
    board, more = _sites(nodes, board)
    findings += more
    findings += _keys(nodes)
    if findings:
        return None, findings
    assert board is not None
    cores: list[PlacedCore] = []
    first: dict[str, int] = {}
    for node in nodes:
        first[node.name] = len(cores)
        cores += _cores(graph, node)
    by_name = {node.name: node for node in nodes}
    reached: dict[tuple[str, int], list[tuple[Chip, int]]] = {}
    for p in graph.populations:
        mine = cores[first[p.name] : first[p.name] + by_name[p.name].count]
        findings += _synapses(graph, p, mine, by_name, reached)
    streams = [
        Stream(node.places[k][0], node.key | k << node.shift, 0xFFFFFFFF & ~((1 << node.shift) - 1),
               tuple(reached.get((node.name, k), ())))
        for node in nodes for k in range(node.count)
    ]  # fmt: skip
    routes = build_routes(streams, board)
    for core in cores:  # what has no synapse that is not zero sends no packets: no router would know its keys
        if (core.layer, int(core.neurons[0]) // core.most) not in reached:
            core.key = None
    host = _host_keys(graph, by_name, first, reached)
    network = Network(board, cores, host, routes, {p.name: p.n for p in graph.populations})
    return network, findings + list(_over(network))


def _cut(graph: Graph, neurons_per_core: int | None) -> tuple[list[_Node], list[Finding]]:
    findings: list[Finding] = []
    nodes = [
        _Node(i.name, i.n, min(neurons_per_core or spec.SOURCE_LINES, spec.SOURCE_LINES, i.n), None)
        for i in graph.inputs
    ]
    for p in graph.populations:
        bits = delay_bits(graph, p)
        most = min(neurons_per_core or spec.NEURONS_PER_CORE, spec.NEURONS_PER_CORE, p.n)
        most = min(most, 1 << max(spec.INDEX_BITS_MAX - spec.RECEPTOR_BITS - bits, 0))
        while most > 1 and dtcm_bytes(most, most, bits, 1024, 0) > spec.DTCM_BYTES:
            most //= 2
        nodes.append(_Node(p.name, p.n, most, p))
    return nodes, findings


def delay_bits(graph: Graph, p: Population) -> int:
    """Bits of the ring buffer that holds the longest delay into a population."""
    assert isinstance(p.neuron, SpinnakerNeuron)
    longest = max((c.max_delay for c in graph.incoming(p.name)), default=1)
    return max(words.bits_for(max(longest, 1)), p.neuron.delay_bits)


def _sites(nodes: Sequence[_Node], board: str | None) -> tuple[str | None, list[Finding]]:
    """Give every core a place, chip after chip, on the smallest board that has enough."""
    need = sum(node.count for node in nodes)
    for name in [board] if board else list(spec.BOARDS):
        sites = [(chip, p) for chip in chips_of(name) for p in cores_of(name, chip)]
        if len(sites) >= need:
            free = iter(sites)
            for node in nodes:
                node.places = [next(free) for _ in range(node.count)]
            return name, []
    return None, [
        Finding("CORES", "the network", f"{need} cores", resource="cores", needed=need, available=len(sites),
                remedy="use a larger board, or more neurons per core, or a smaller network")
    ]  # fmt: skip


def _keys(nodes: Sequence[_Node]) -> list[Finding]:
    at = 0
    for node in sorted(nodes, key=lambda m: -(m.shift + m.core_bits)):
        size = 1 << (node.shift + node.core_bits)
        node.key = at
        at += size
    if at > 1 << 32:
        return [
            Finding("KEYS", "the network", "its neurons have more keys than 32 bits hold", resource="keys", needed=at,
                    available=1 << 32, remedy="a smaller network")
        ]  # fmt: skip
    return []


def _cores(graph: Graph, node: _Node) -> list[PlacedCore]:
    sends = bool(graph.outgoing(node.name))
    made = []
    for k, (chip, p) in enumerate(node.places):
        mine = node.slice_of(k)
        if node.population is None:
            made.append(PlacedCore(chip, p, spec.SOURCE, node.name, mine, node.most))
            continue
        neuron = node.population.neuron
        assert isinstance(neuron, SpinnakerNeuron)
        raw = {key: x[mine].astype(np.int64) for key, x in vars(neuron).items() if isinstance(x, np.ndarray)}
        made.append(
            PlacedCore(
                chip, p, spec.EXP if neuron.model == "exp" else spec.DELTA, node.name, mine, node.most, raw,
                neuron.shift, delay_bits(graph, node.population), node.key | k << node.shift if sends else None,
            )
        )  # fmt: skip
    return made


def _synapses(
    graph: Graph, p: Population, cores: Sequence[PlacedCore], nodes: Mapping[str, _Node],
    reached: dict[tuple[str, int], list[tuple[Chip, int]]],
) -> list[Finding]:  # fmt: skip
    """Blocks of every core of a population: one per source, excitatory and inhibitory synapses in one row."""
    findings: list[Finding] = []
    by_source: dict[str, list[Connection]] = {}
    for c in graph.incoming(p.name):
        by_source.setdefault(c.src, []).append(c)
    for src, connections in by_source.items():
        node = nodes[src]
        table = _table(connections)
        for core in cores:
            low, high = int(core.neurons[0]), int(core.neurons[-1])
            begin, end = np.searchsorted(table[1], [low, high + 1])
            row, target, weight, delay, receptor = (x[begin:end] for x in table)
            order = np.lexsort((target, row))
            s = words.Synapses(
                row[order], target[order] - low, weight[order], delay[order], receptor[order],
                np.zeros(len(order), np.int64),
            )  # fmt: skip
            if not len(s.row):
                continue
            within = np.arange(len(s.row)) - np.searchsorted(s.row, s.row, side="left")
            for part in range(int(within.max()) // spec.ROW_WORDS_MAX + 1):
                mine = s.take(within // spec.ROW_WORDS_MAX == part)
                core.blocks.append(
                    words.Block(node.key, node.mask, (1 << node.core_bits) - 1, node.shift, node.most, node.n, mine)
                )
            for k in np.unique(s.row // node.most):
                reached.setdefault((src, int(k)), []).append((core.chip, core.p))
    return findings


def _table(connections: Sequence[Connection]) -> tuple[Array, ...]:
    """(source, target, word, delay, receptor) of all synapses that are not zero, by target."""
    parts = []
    for c in connections:
        assert isinstance(c.format, SpinnakerWeightFormat)
        m = c.synapse.matrix().tocoo()
        weight = m.data.astype(np.int64)
        some = weight != 0
        row, col, weight = m.row[some].astype(np.int64), m.col[some].astype(np.int64), weight[some]
        delay = c.delay[row, col] if isinstance(c.delay, np.ndarray) else np.full(len(row), c.delay)
        receptor = (weight < 0).astype(np.int64) if c.format.receptor is None else np.full(len(row), c.format.receptor)
        parts.append((col, row, np.abs(weight), np.asarray(delay, np.int64), receptor))
    joined = [np.concatenate(x) for x in zip(*parts)]
    order = np.argsort(joined[1], kind="stable")
    return tuple(x[order] for x in joined)


def _host_keys(
    graph: Graph, nodes: Mapping[str, _Node], first: Mapping[str, int],
    reached: Mapping[tuple[str, int], Sequence[tuple[Chip, int]]],
) -> Array:  # fmt: skip
    """(port, line, core, key) of every line whose core reaches a neuron."""
    parts = [np.zeros((0, 4), np.int64)]
    for port, i in enumerate(graph.inputs):
        node = nodes[i.name]
        if graph.outgoing(i.name):
            line = np.arange(i.n)
            core, k = line // node.most, line % node.most
            key = node.key | core << node.shift | k << spec.COLOUR_BITS
            rows = np.stack([np.full(i.n, port), line, first[i.name] + core, key], 1)
            parts.append(rows[np.isin(core, [c for name, c in reached if name == i.name])])
    return np.concatenate(parts)


def _over(network: Network) -> list[Finding]:
    findings: list[Finding] = []
    chips: dict[Chip, int] = {}
    for core in network.cores:
        used = usage(core)
        chips[core.chip] = chips.get(core.chip, 0) + used["sdram_bytes"]
        for name in ("ring_slots", "dtcm_bytes"):
            if used[name] > LIMITS[name]:
                findings.append(
                    Finding(name.upper(), core.layer, f"a core of {core.n} neurons", resource=name, needed=used[name],
                            available=LIMITS[name], remedy="fewer neurons per core, or shorter delays")
                )  # fmt: skip
    for chip, size in chips.items():
        if size > spec.SDRAM_BYTES:
            findings.append(
                Finding("SDRAM", f"chip {chip}", "the synaptic rows of its cores", resource="sdram_bytes", needed=size,
                        available=spec.SDRAM_BYTES, remedy="fewer neurons per core, so that more chips share the rows")
            )  # fmt: skip
    for chip, entries in network.routes.items():
        if len(entries) > spec.ROUTER_ENTRIES:
            findings.append(
                Finding("ROUTER", f"chip {chip}", "its router entries", resource="router entries", needed=len(entries),
                        available=spec.ROUTER_ENTRIES, remedy="more neurons per core")
            )  # fmt: skip
    return findings
