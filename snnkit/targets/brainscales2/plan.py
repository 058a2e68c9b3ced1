"""Which neuron runs in which part, and how its circuits are joined: parts split outputs, never a neuron's inputs.

Populations are taken in an order in which sources come first; those of a loop stay together. Each goes into the current
part if it fits, a population without a loop also in pieces over several parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from snnkit.graph.findings import Finding
from snnkit.graph.geometry import fan_in
from snnkit.graph.model import Connection, Graph, Population
from snnkit.targets.brainscales2 import spec
from snnkit.targets.brainscales2.allocate import JOINED, Allocation, Item, allocate

Array = np.ndarray[Any, Any]

WAYS = ((0, 1), (1, 1), (JOINED, 1), (JOINED, 2), (JOINED, 4), (JOINED, 8))
"""(mode, columns), the cheapest first."""
FAN_IN = spec.HALVES * spec.DRIVERS * spec.JOIN_COLUMNS_MAX
"""The most sources that joined circuits hear."""
TRIES = 48
"""Ways to join the populations of a loop that are tried."""


@dataclass(frozen=True, eq=False)
class Sources:
    """All sources of a network, numbered: block after block of a node's lines or neurons.

    Attributes:
        blocks: (node, delay, copy) and first number of each. A copy is a second connection between the same two nodes.
        matrices: per population its synapses [n, sources].
    """

    blocks: dict[tuple[str, int, int], int]
    matrices: dict[str, sp.csr_matrix]
    total: int

    def find(self, number: int) -> tuple[str, int, int]:
        """(node, line or neuron, delay) of a source."""
        for (node, delay, _), first in reversed(self.blocks.items()):
            if number >= first:
                return node, number - first, delay
        raise KeyError(number)


@dataclass(eq=False)
class PartPlan:
    """What runs together."""

    items: list[Item] = field(default_factory=list)
    allocation: Allocation = field(default_factory=Allocation)


@dataclass(frozen=True, eq=False)
class Plan:
    """Parts in the order in which they run, the sources, and what does not fit."""

    parts: tuple[PartPlan, ...]
    sources: Sources
    findings: tuple[Finding, ...]


def number_sources(graph: Graph, ignore: Sequence[str] = (), only: Collection[str] | None = None) -> Sources:
    """Number the sources of a graph in real time; connections named in `ignore` are left out.

    `only`: populations whose synapses are wanted; None for all.
    """
    blocks: dict[tuple[str, int, int], int] = {}
    found: dict[str, list[tuple[int, sp.csr_matrix]]] = {p.name: [] for p in graph.populations}
    total = 0
    for p in graph.populations:
        copies: dict[tuple[str, int], int] = {}
        for c in graph.incoming(p.name):
            if c.name in ignore:
                continue
            delay = int(np.max(c.delay, initial=0))
            copy = copies.get((c.src, delay), 0)
            copies[c.src, delay] = copy + 1
            if (c.src, delay, copy) not in blocks:
                blocks[c.src, delay, copy] = total
                total += graph.node(c.src).n
            if only is None or p.name in only:
                found[p.name].append((blocks[c.src, delay, copy], sp.csr_matrix(c.synapse.matrix())))
    matrices = {}
    for p in graph.populations:
        if only is not None and p.name not in only:
            continue
        whole = sp.csr_matrix((p.n, total))
        for first, m in found[p.name]:
            m = m.tocoo()
            whole = whole + sp.csr_matrix((m.data, (m.row, m.col + first)), shape=(p.n, total))
        whole.eliminate_zeros()
        whole.sort_indices()
        matrices[p.name] = sp.csr_matrix(whole)
    return Sources(blocks, matrices, total)


def plan(graph: Graph, *, ignore: Sequence[str] = (), parts: int | None = None) -> Plan:
    """Parts for a graph in real time; with real numbers too, because only zeros matter here.

    Args:
        ignore: connections that will not be synapses.
        parts: at most so many.
    """
    planner = _Planner(graph, number_sources(graph, ignore))
    for unit in _units(graph):
        planner.add(unit)
    made = [p for p in planner.parts if p.items]
    if parts is not None and len(made) > parts:
        planner.findings.append(
            Finding("PARTS", graph.name, f"the network needs {len(made)} runs of the chip", resource="parts",
                    needed=len(made), available=parts, remedy="use narrower layers")
        )  # fmt: skip
    return Plan(tuple(made), planner.sources, tuple(planner.findings))


def refused(graph: Graph, *, ignore: Sequence[str] = ()) -> list[Finding]:
    """The findings of `plan`, which cuts nothing for them: they need only counts and, of loops, the synapses.

    A population without a loop is cut down to single neurons where it must, and one alone in a part fits if its joined
    circuits hear all its sources; those that feed back must fit a part of their own.
    """
    units = list(_units(graph))
    loops = _loops(graph)
    looped = {p.name for unit in units if len(unit) > 1 or unit[0].name in loops for p in unit}
    planner = _Planner(graph, number_sources(graph, ignore, looped))
    for unit in units:
        if unit[0].name in looped:
            planner.parts = [PartPlan()]
            planner.add(unit)
            continue
        wires = [c.synapse for c in graph.incoming(unit[0].name) if c.name not in ignore]
        count = sum((fan_in(s) for s in wires), np.zeros(unit[0].n, np.int64))
        if count.max(initial=0) > FAN_IN:
            planner.findings.append(too_many(unit[0], count))
    return planner.findings


def too_many(p: Population, count: Array) -> Finding:
    """A population whose neurons have more sources, `count` [n], than joined circuits hear."""
    return Finding(
        "FAN_IN", f"{p.name}[{int(count.argmax()) if count.size else 0}]",
        f"{int(count.max(initial=0))} sources of one neuron; a circuit hears {spec.SIGNED_INPUTS} signed inputs, "
        f"joined ones up to {FAN_IN}", resource="signed inputs", needed=int(count.max(initial=0)), available=FAN_IN,
        remedy="reduce the input (pool or bin it coarser), or make the connection sparse",
    )  # fmt: skip


def _acting(graph: Graph) -> list[Connection]:
    """Connections with a weight that is not zero."""
    return [c for c in graph.connections if fan_in(c.synapse).any()]


def _loops(graph: Graph) -> set[str]:
    """Populations that feed themselves."""
    return {c.src for c in _acting(graph) if c.src == c.dst}


def _units(graph: Graph) -> Iterator[list[Population]]:
    """Populations that feed each other, sources first."""
    number = {p.name: k for k, p in enumerate(graph.populations)}
    n = len(number)
    if not n:
        return
    edges = [(number[c.src], number[c.dst]) for c in _acting(graph) if c.src in number]
    rows, cols = zip(*edges) if edges else ((), ())
    adjacency = sp.csr_matrix((np.ones(len(edges)), (rows, cols)), shape=(n, n))
    _, member = connected_components(adjacency, connection="strong")
    waiting = sorted(set(member.tolist()), key=lambda g: int(np.flatnonzero(member == g)[0]))
    done: set[int] = set()
    while waiting:
        for group in waiting:
            before = {int(member[a]) for a, b in edges if member[b] == group and member[a] != group}
            if before <= done:
                break
        waiting.remove(group)
        done.add(group)
        yield [graph.populations[k] for k in np.flatnonzero(member == group)]


class _Planner:
    def __init__(self, graph: Graph, sources: Sources) -> None:
        self.graph, self.sources = graph, sources
        self.parts = [PartPlan()]
        self.findings: list[Finding] = []
        self.loops = _loops(graph)

    def add(self, unit: list[Population]) -> None:
        if len(unit) > 1 or unit[0].name in self.loops:
            self._together(unit)
        else:
            self._in_pieces(unit[0])

    # ------------------------------------------------------------------------------------------------------- fitting
    def _item(self, p: Population, neurons: Array, way: tuple[int, int]) -> Item:
        rows = self.sources.matrices[p.name][neurons]
        return Item(p.name, neurons, np.unique(rows.indices).astype(np.int64), *way)

    def _try(self, part: PartPlan, more: Sequence[Item]) -> PartPlan | None:
        items = [*part.items, *more]
        if any(len(i.sources) > (2 if i.mode == JOINED else 1) * spec.DRIVERS * i.columns for i in more):
            return None
        neuron_of: dict[int, tuple[int, int]] = {}
        for k, item in enumerate(items):
            for (node, _, _), first in self.sources.blocks.items():
                if node == item.layer:
                    neuron_of |= {first + int(x): (k, j) for j, x in enumerate(item.neurons)}
        made = allocate(items, neuron_of)
        return PartPlan(items, made) if made.ok else None

    def _together(self, unit: list[Population]) -> None:
        every = [np.arange(p.n) for p in unit]
        ways = sorted(product(range(len(WAYS)), repeat=len(unit)), key=lambda w: (sum(w), w))[:TRIES]
        for fresh in (False, True):
            part = PartPlan() if fresh else self.parts[-1]
            if fresh and not self.parts[-1].items:
                break
            for choice in ways:
                found = self._try(part, [self._item(p, x, WAYS[w]) for p, x, w in zip(unit, every, choice)])
                if found is not None:
                    self.parts[-1:] = [found] if not fresh else [self.parts[-1], found]
                    return
        sources = np.unique(np.concatenate([self._item(p, x, (0, 1)).sources for p, x in zip(unit, every)]))
        names = ", ".join(p.name for p in unit)
        self.findings.append(
            Finding(
                "LOOP_TOO_LARGE", names,
                f"{sum(p.n for p in unit)} neurons that feed back have {len(sources)} different sources; a loop cannot "
                "be cut into parts that run one after the other", resource="signed inputs of the chip",
                needed=len(sources), available=spec.HALVES * spec.DRIVERS,
                remedy="make the population or its inputs narrower, or train without the feedback",
            )
        )  # fmt: skip

    def _in_pieces(self, p: Population) -> None:
        order = np.arange(p.n)
        if len(p.shape) == 3:  # neurons of one place share sources, whatever their channel
            order = order.reshape(p.shape[0], -1).T.reshape(-1)
        rest = order
        while len(rest):
            best, size = self._largest(self.parts[-1], p, rest)
            begun = any(i.layer == p.name for i in self.parts[-1].items)
            if size < len(rest) and self.parts[-1].items and (size == 0 or not begun):
                other, more = self._largest(PartPlan(), p, rest)
                if more == len(rest) or size == 0:  # a whole layer in a part of its own, rather than a cut
                    self.parts.append(PartPlan())
                    best, size = other, more
            if size == 0 or best is None:
                self.findings.append(too_many(p, np.diff(self.sources.matrices[p.name].indptr)))
                return
            self.parts[-1] = best
            rest = rest[size:]

    def _largest(self, part: PartPlan, p: Population, rest: Array) -> tuple[PartPlan | None, int]:
        """The longest run of neurons that fits, over all ways to join them."""
        best: tuple[PartPlan | None, int] = (None, 0)
        for way in WAYS:
            high = min(len(rest), spec.COLUMNS // way[1])
            if high <= best[1]:
                continue
            found = self._try(part, [self._item(p, np.sort(rest[:high]), way)])
            if found is None:
                low = best[1]
                while high - low > 1:
                    middle = (low + high) // 2
                    one = self._try(part, [self._item(p, np.sort(rest[:middle]), way)])
                    low, high, found = (middle, high, one) if one is not None else (low, middle, found)
                high = low
            if found is not None and high > best[1]:
                best = (found, high)
            if best[1] == len(rest):
                break
        return best
