"""Cut an integer network into cores: which neurons share one, how often each is copied, where relays copy instead.

A neuron reaches one axon. Where its spikes are needed on k axons it exists k times, on one core or several: copies get
the same input, so they stay in step. Or it drives one axon of a relay core, whose neurons pass the spike on, one tick
later: possible where every connection that leaves the layer has a delay of at least 2, taken where it needs fewer
cores. The host may drive several axons with one input line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph, Population
from snnkit.graph.neurons import TrueNorthAxon
from snnkit.mapping import partition
from snnkit.targets.truenorth import codes, shared, spec
from snnkit.targets.truenorth.schema import AXONS, NEURONS

Array = np.ndarray[Any, Any]

LIMITS: dict[str, int] = {"neurons": NEURONS, "axons": AXONS, "synapses": AXONS * NEURONS}
BIAS_TYPE = 3
"""Type of the axons of gate lines."""
_ROUNDS = 40


@dataclass(eq=False)
class Wires:
    """What reaches one population. A source is a node, a neuron of it and a delay; an axon a source and a type.

    `pairs` CSR bool [n, 4 * sources]: which axons each neuron listens to; `weight` [n, 4] its weights by type.
    """

    population: Population
    node: list[str]
    source: Array
    delay: Array
    pairs: sp.csr_matrix
    weight: Array


@dataclass(eq=False)
class Layer:
    """A population on its way to cores: `tiles` of items, an item being `share` copies of a neuron."""

    wires: Wires
    copies: Array
    owner: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    share: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    tiles: tuple[Array, ...] = ()


@dataclass(eq=False)
class Plan:
    """Layers, the populations whose spikes relay cores copy, and what does not fit."""

    layers: dict[str, Layer]
    relayed: tuple[str, ...]
    demand: dict[str, Array]
    findings: list[Finding]
    members: dict[str, list[list[shared.Member]]] = field(default_factory=dict)
    unread: dict[str, list[int]] = field(default_factory=dict)

    @property
    def n_cores(self) -> int:
        relays = sum(len(relay_groups(self.demand[name])) for name in self.relayed)
        seen = sum(-(-len(axons) // AXONS) for axons in self.unread.values())
        return sum(len(layer.tiles) for layer in self.layers.values()) + relays + seen


# --------------------------------------------------------------------------------------------------------------- wires
def wire(graph: Graph, population: Population, findings: list[Finding]) -> Wires:
    """The sources of a population and the axons its neurons need."""
    gates = {i.name for i in graph.inputs if i.gate_from is not None}
    node: list[str] = []
    source, delay, rows, cols, values = ([np.zeros(0, np.int64)] for _ in range(5))
    at = 0
    for c in graph.incoming(population.name):
        m = c.synapse.matrix().tocoo()
        on = m.data != 0
        late = np.asarray(c.delay)[m.row, m.col] if np.ndim(c.delay) else np.full(m.nnz, int(np.max(c.delay)))
        keys, which = np.unique(np.stack([m.col[on], late[on]], 1).reshape(-1, 2), axis=0, return_inverse=True)
        node += [c.src] * len(keys)
        source.append(keys[:, 0].astype(np.int64))
        delay.append(keys[:, 1].astype(np.int64))
        rows.append(m.row[on].astype(np.int64))
        cols.append(at + which.reshape(-1))
        values.append(m.data[on].astype(np.int64))
        at += len(keys)
    shape = (population.n, max(at, 1))
    matrix = sp.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))), shape=shape)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    weight = np.zeros((population.n, spec.AXON_TYPES), np.int64)
    mask = np.zeros(matrix.nnz, np.int64)
    gate = np.array([name in gates for name in node] or [False])[matrix.indices]
    known: dict[bytes, tuple[int, int, int, int] | None] = {}
    for i in range(population.n):
        mine = np.arange(matrix.indptr[i], matrix.indptr[i + 1])
        biases, mine = mine[gate[mine]], mine[~gate[mine]]
        row = matrix.data[mine]
        key = np.unique(row).tobytes()
        if key not in known:
            known[key] = codes.basis(row)
        found = known[key]
        biased = found if found is None or not len(biases) else _with_bias(found, matrix.data[biases])
        if biased is not None and len(biases):
            given = biased[BIAS_TYPE] != (found or biased)[BIAS_TYPE]
            mask[biases] = 1 << BIAS_TYPE if given else codes.masks(matrix.data[biases], biased)
        found = biased
        if found is None:
            findings.append(
                Finding(
                    "WEIGHT_CODE",
                    f"{population.name}[{i}]",
                    f"{len(np.unique(row))} weights from {row.min()} to {row.max()} are not sums of four",
                    remedy="use trinary or 4-bit weights with a factor per neuron",
                )
            )
            break
        weight[i] = found
        mask[mine] = codes.masks(row, found)
    neuron = np.repeat(np.arange(population.n), np.diff(matrix.indptr))
    entries = [(neuron[mask >> k & 1 == 1], matrix.indices[mask >> k & 1 == 1] * 4 + k) for k in range(4)]
    row, col = (np.concatenate([e[i] for e in entries]) for i in (0, 1))
    pairs = sp.csr_matrix((np.ones(len(row), bool), (row, col)), shape=(population.n, 4 * shape[1]))
    pairs.sort_indices()
    return Wires(population, node, np.concatenate(source), np.concatenate(delay), pairs, weight)


def _with_bias(weights: tuple[int, int, int, int], biases: Array) -> tuple[int, int, int, int] | None:
    """Weights that also give the bias of gate lines: a type of its own if one is free, else sums of the others."""
    if all(codes.parts(int(b), weights) == [int(b)] for b in biases):
        return weights
    if weights[BIAS_TYPE] or len(biases) > 1 or abs(int(biases[0])) > spec.WEIGHT_MAX:
        return None
    return weights[0], weights[1], weights[2], int(biases[0])


def axons_of(wires: Wires, neurons: Array) -> Array:
    """The axons (source * 4 + type) that some neurons of a population need on their core, sorted."""
    p = wires.pairs
    if len(neurons) == wires.population.n:
        return np.unique(p.indices)
    parts = [p.indices[p.indptr[i] : p.indptr[i + 1]] for i in neurons]
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


# ---------------------------------------------------------------------------------------------------------------- plan
def make_plan(graph: Graph) -> Plan:
    """The plan with the fewest cores: duplicates everywhere, or relays where that helps and costs no tick."""
    findings: list[Finding] = []
    neurons = [p for p in graph.populations if not isinstance(p.neuron, TrueNorthAxon)]
    wires = {p.name: wire(graph, p, findings) for p in neurons}
    if findings:
        return Plan({}, (), {}, findings)
    best = _attempt(graph, wires, ())
    for name in (p.name for p in neurons if _may_relay(graph, p.name)):
        tried = _attempt(graph, wires, (*best.relayed, name))
        if not tried.findings and (best.findings or tried.n_cores < best.n_cores):
            best = tried
    return best


def _may_relay(graph: Graph, name: str) -> bool:
    out = graph.outgoing(name)
    return bool(out) and all(int(np.min(c.delay)) >= 2 for c in out)


def _attempt(graph: Graph, wires: Mapping[str, Wires], relayed: tuple[str, ...]) -> Plan:
    """Partition every population until the copies that the tiles ask for are those that they hold."""
    findings: list[Finding] = []
    reads = {graph.readout.population} if graph.readout is not None else set()
    populations = [p for p in graph.populations if p.name in wires]
    base = {p.name: np.full(p.n, 1 if p.name in reads else 0, np.int64) for p in populations}
    layers = {p.name: Layer(wires[p.name], np.ones(p.n, np.int64)) for p in populations}
    rows = shared.members(graph)
    unread = shared.unused(rows, wires)
    demand = {name: np.zeros(len(b), np.int64) for name, b in base.items()}
    done: set[str] = set()
    for _ in range(_ROUNDS):
        changed = False
        for p in reversed(populations):
            need = -(-demand[p.name] // NEURONS) if p.name in relayed else demand[p.name]
            copies = np.maximum(need + base[p.name], 1)
            layer = layers[p.name]
            if p.name in done and np.array_equal(copies, layer.copies):
                continue
            layer.copies, changed = copies, True
            done.add(p.name)
            _cut(layer, findings)
            if findings:
                return Plan(layers, relayed, demand, findings, rows, unread)
            asked = _asked(layers, rows, unread)
            demand = {name: asked.get(name, zero) for name, zero in demand.items()}
        if not changed:
            return Plan(layers, relayed, demand, findings, rows, unread)
    worst = max(layers, key=lambda name: int(layers[name].copies.max(initial=0)))
    findings.append(
        Finding(
            "FAN_OUT",
            worst,
            "copies of its neurons ask for more cores, and these for more copies, without end",
            resource="copies of a neuron",
            needed=int(layers[worst].copies.max()),
            available=NEURONS,
            remedy="make the layer narrower or sparser, or lengthen the delay of its loop so that relays can copy",
        )
    )
    return Plan(layers, relayed, demand, findings, rows, unread)


def _asked(
    layers: Mapping[str, Layer], rows: Mapping[str, list[list[shared.Member]]], unread: Mapping[str, list[int]]
) -> dict[str, Array]:
    """How many axons each neuron has to drive."""
    asked = {name: np.zeros(layer.wires.population.n, np.int64) for name, layer in layers.items()}

    def ask(name: str, source: int) -> None:
        for driver, neuron, _ in rows[name][source] if name in rows else [(name, source, 0)]:
            if driver in asked:
                asked[driver][neuron] += 1

    for layer in layers.values():
        w = layer.wires
        for tile in layer.tiles:
            for key in axons_of(w, np.unique(layer.owner[tile])) // 4:
                ask(w.node[key], int(w.source[key]))
    for name, axons in unread.items():
        for axon in axons:
            ask(name, axon)
    return asked


def _cut(layer: Layer, findings: list[Finding]) -> None:
    """Tiles of items; a neuron with more copies than a core has slots is several items."""
    w, n = layer.wires, layer.wires.population.n
    pieces = -(-layer.copies // NEURONS)
    layer.owner = np.repeat(np.arange(n), pieces)
    number = np.arange(len(layer.owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    copies, pieces = layer.copies[layer.owner], pieces[layer.owner]
    layer.share = copies // pieces + (number < copies % pieces)

    def measure(items: Array) -> dict[str, int]:
        return {"neurons": int(layer.share[items].sum()), "axons": len(axons_of(w, np.unique(layer.owner[items])))}

    shape = w.population.shape if len(layer.owner) == n else (len(layer.owner),)
    cut = partition(shape, measure, {"neurons": NEURONS, "axons": AXONS}, slots="neurons")
    layer.tiles = cut.tiles
    if cut.over:
        neuron = int(layer.owner[cut.neuron or 0])
        for o in cut.over:
            findings.append(fan_in(f"{w.population.name}[{neuron}]", o.needed))


def fan_in(where: str, needed: int) -> Finding:
    """A neuron with more inputs than a core has axons."""
    return Finding(
        "FAN_IN", where, "this neuron alone needs more axons than a core has, and a sum cannot be split exactly: a "
        "partial sum would have to pass a threshold", resource="axons", needed=needed, available=AXONS,
        remedy="limit the fan-in: grouped or sparse connections with at most 128 inputs for trinary and 64 for 4-bit "
        "weights, smaller kernels, or pooling before this layer",
    )  # fmt: skip


def relay_groups(demand: Array) -> list[list[tuple[int, int]]]:
    """Relay cores as lists of (neuron, copies): at most 256 relay neurons on a core."""
    groups: list[list[tuple[int, int]]] = []
    left = 0
    for neuron in np.flatnonzero(demand):
        rest = int(demand[neuron])
        while rest:
            if left < min(rest, NEURONS):
                groups.append([])
                left = NEURONS
            now = min(rest, NEURONS)
            groups[-1].append((int(neuron), now))
            rest, left = rest - now, left - now
    return groups
