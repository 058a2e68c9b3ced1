"""Which neuron goes to which core, which keys it sends, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.geometry import by_source
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.graph.synapses import SpinnakerPair, SpinnakerWeightFormat
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.budget import LIMITS, over_budget, usage
from snnkit.targets.spinnaker.machine import Chip
from snnkit.targets.spinnaker.network import Network, PlacedCore
from snnkit.targets.spinnaker.nodes import Node, cut, delay_bits, give_keys, options, sites_of
from snnkit.targets.spinnaker.pair_rule import PairRule
from snnkit.targets.spinnaker.routes import Stream, build_routes
from snnkit.targets.spinnaker.sizes import BlockCount

Array = np.ndarray[Any, Any]

PLASTIC_ROW_MAX = 252
"""Synapses of a row of which some learn: two words of state, a weight and a control of half a word each."""


def place(
    graph: Graph, *, board: str | None = None, neurons_per_core: int | None = None, counted: bool = False
) -> tuple[Network | None, list[Finding]]:
    """Cut, place, give keys and route. Without errors among the findings there is a network.

    Args:
        graph: an integer graph on the chip timeline.
        board: None for the smallest with enough cores. neurons_per_core: at most so many.
        counted: count synapses, whose weights may then be real numbers, and write no rows: what cores, chips and
            routers need is the same.
    """
    findings = options(board, neurons_per_core)
    if findings:
        return None, findings
    nodes = cut(graph, neurons_per_core)
    board, findings = sites_of(nodes, board)
    findings += give_keys(nodes)
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
        if counted:
            _count(graph, p, mine, by_name, reached)
        else:
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


def _cores(graph: Graph, node: Node) -> list[PlacedCore]:
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
    graph: Graph, p: Population, cores: Sequence[PlacedCore], nodes: Mapping[str, Node],
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


def _count(
    graph: Graph, p: Population, cores: Sequence[PlacedCore], nodes: Mapping[str, Node],
    reached: dict[tuple[str, int], list[tuple[Chip, int]]],
) -> None:  # fmt: skip
    """What `_synapses` would write for every core of a population that does not learn."""
    sources = dict.fromkeys(c.src for c in graph.incoming(p.name))
    for src in sources:
        node, mine = nodes[src], [c.synapse for c in graph.incoming(p.name) if c.src == src]
        for core in cores:
            row = sum((by_source(s, core.neurons) for s in mine), np.zeros(node.n, np.int64))
            for first in range(0, int(row.max(initial=0)), spec.ROW_WORDS_MAX):
                length = min(int(row.max()) - first, spec.ROW_WORDS_MAX)
                core.counted.append(BlockCount(node.key, node.mask, node.n, length))
            for k in np.unique(np.flatnonzero(row) // node.most):
                reached.setdefault((src, int(k)), []).append((core.chip, core.p))


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
    graph: Graph, nodes: Mapping[str, Node], first: Mapping[str, int],
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
