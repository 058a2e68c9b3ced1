"""Which neuron goes to which core, which keys it sends, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.errors import did_you_mean
from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.graph.synapses import SpinnakerPair, SpinnakerWeightFormat
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.budget import LIMITS, dtcm_bytes, over_budget, usage
from snnkit.targets.spinnaker.machine import Chip, chips_of, cores_of
from snnkit.targets.spinnaker.network import Network, PlacedCore
from snnkit.targets.spinnaker.pair_rule import PairRule
from snnkit.targets.spinnaker.routes import Stream, build_routes

Array = np.ndarray[Any, Any]

PLASTIC_ROW_MAX = 252
"""Synapses of a row of which some learn: two words of state, a weight and a control of half a word each."""


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
    findings = _options(board, neurons_per_core)
    if findings:
        return None, findings
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
    return network, findings + over_budget(network)


def _options(board: str | None, neurons_per_core: int | None) -> list[Finding]:
    findings = []
    if board is not None and board not in spec.BOARDS:
        findings.append(
            Finding("BOARD", "the network", f"there is no board {board!r}{did_you_mean(board, spec.BOARDS)}",
                    resource="board", remedy=f"use {', '.join(spec.BOARDS)}, or none for the smallest that is enough")
        )  # fmt: skip
    if neurons_per_core is not None and not 1 <= neurons_per_core <= spec.NEURONS_PER_CORE:
        findings.append(
            Finding("NEURONS", "the network", f"{neurons_per_core} neurons on a core", resource="neurons per core",
                    needed=neurons_per_core, available=spec.NEURONS_PER_CORE,
                    remedy=f"use 1 to {spec.NEURONS_PER_CORE}")
        )  # fmt: skip
    return findings


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


def pair_of(c: Connection) -> SpinnakerPair | None:
    """The rule by which a connection learns."""
    return c.format.pair if isinstance(c.format, SpinnakerWeightFormat) else None


def _rule(graph: Graph, name: str) -> SpinnakerPair | None:
    """The rule of a population's cores: `rules.py` sees to it that there is one."""
    return next((pair for c in graph.incoming(name) if (pair := pair_of(c)) is not None), None)


def _region(pair: SpinnakerPair | None) -> Array:
    if pair is None:
        return np.zeros(0, np.uint32)
    size = max(len(pair.plus), len(pair.minus))
    tables = np.array([[*t, *[0] * (size - len(t))] for t in (pair.plus, pair.minus)], np.int64).reshape(2, size)
    lengths = (len(pair.plus), len(pair.minus))
    back, form = int(pair.back_propagation), int(pair.multiplicative)
    return PairRule(tables, lengths, pair.shifts, np.array(pair.limits, np.int64), back, form).region()


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
        pair = _rule(graph, node.name)
        binary = spec.EXP if neuron.model == "exp" else spec.DELTA
        if pair is not None:
            binary = spec.EXP_MULTIPLICATIVE if pair.multiplicative else spec.EXP_ADDITIVE
        raw = {key: x[mine].astype(np.int64) for key, x in vars(neuron).items() if isinstance(x, np.ndarray)}
        made.append(
            PlacedCore(
                chip, p, binary, node.name, mine, node.most, raw, neuron.shift, delay_bits(graph, node.population),
                node.key | k << node.shift if sends else None, stdp=_region(pair),
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
            row, target, weight, delay, receptor, plastic = (x[begin:end] for x in table)
            order = np.lexsort((target, row))
            s = words.Synapses(
                row[order], target[order] - low, weight[order], delay[order], receptor[order], plastic[order]
            )
            if not len(s.row):
                continue
            within = np.arange(len(s.row)) - np.searchsorted(s.row, s.row, side="left")
            longest = PLASTIC_ROW_MAX if plastic.any() else spec.ROW_WORDS_MAX
            for part in range(int(within.max()) // longest + 1):
                mine = s.take(within // longest == part)
                core.blocks.append(
                    words.Block(node.key, node.mask, (1 << node.core_bits) - 1, node.shift, node.most, node.n, mine)
                )
            for k in np.unique(s.row // node.most):
                reached.setdefault((src, int(k)), []).append((core.chip, core.p))
    return findings


def _table(connections: Sequence[Connection]) -> tuple[Array, ...]:
    """(source, target, word, delay, receptor, plastic) of all synapses that learn or are not zero, by target."""
    parts = []
    for c in connections:
        assert isinstance(c.format, SpinnakerWeightFormat)
        m = c.synapse.matrix().tocoo()
        weight = m.data.astype(np.int64)
        some = (weight != 0) | (c.format.pair is not None)
        row, col, weight = m.row[some].astype(np.int64), m.col[some].astype(np.int64), weight[some]
        delay = c.delay[row, col] if isinstance(c.delay, np.ndarray) else np.full(len(row), c.delay)
        receptor = (weight < 0).astype(np.int64) if c.format.receptor is None else np.full(len(row), c.format.receptor)
        learns = np.full(len(row), int(c.format.pair is not None))
        parts.append((col, row, np.abs(weight), np.asarray(delay, np.int64), receptor, learns))
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


__all__ = ["LIMITS", "delay_bits", "place", "usage"]
