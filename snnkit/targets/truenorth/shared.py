"""Populations that are an OR of their sources, as axons that several neurons drive: what meets on an axon merges.

Max pooling of spikes arrives in a graph as integrators that any single spike makes fire. On TrueNorth they need no
neurons: all sources of a window send to one axon, and the crossbar behind it sees their OR in the tick of arrival. That
saves a tick, and asks every source for a copy per axon; integrators of their own ask for one copy and copy themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.model import Graph, Population
from snnkit.graph.neurons import LIF, CubaLIF, TrueNorthAxon

Array = np.ndarray[Any, Any]
Member = tuple[str, int, int]
"""(source, neuron or line of it, delay) of something that drives an axon."""


def ors(graph: Graph) -> tuple[str, ...]:
    """The populations of a float graph on the chip's timeline that fire exactly if something arrives.

    Every weight reaches the threshold and the reset is to zero, so v is 0 after every tick. They must feed others, in
    the same step of the model, and none of these may be such a population itself.
    """
    found = [p.name for p in graph.populations if _is_or(graph, p)]
    return tuple(n for n in found if not any(c.dst in found for c in graph.outgoing(n)))


def _is_or(graph: Graph, p: Population) -> bool:
    neuron, incoming, outgoing = p.neuron, graph.incoming(p.name), graph.outgoing(p.name)
    if not isinstance(neuron, LIF | CubaLIF) or neuron.reset != "zero" or neuron.refractory or not outgoing:
        return False
    if isinstance(neuron, CubaLIF) and np.any(neuron.decay_syn != 0):
        return False
    if (p.bias is not None and np.any(p.bias)) or (graph.readout is not None and graph.readout.population == p.name):
        return False
    lags = {q.name: q.lag for q in graph.populations}
    if any(np.ndim(c.delay) for c in (*incoming, *outgoing)):
        return False
    if any(int(np.max(c.delay)) - lags[c.dst] + p.lag for c in outgoing):  # a delay of its own in the model
        return False
    gates = {i.name for i in graph.inputs if i.gate_from is not None}
    if not incoming or any(c.src in gates for c in incoming):
        return False
    for c in incoming:
        m = sp.coo_matrix(c.synapse.matrix())
        if np.any((m.data != 0) & (m.data < neuron.threshold[m.row])):
            return False
    return True


def members(graph: Graph) -> dict[str, list[list[Member]]]:
    """What drives each neuron of the populations of axons of an integer graph."""
    found: dict[str, list[list[Member]]] = {}
    for p in graph.populations:
        if not isinstance(p.neuron, TrueNorthAxon):
            continue
        rows: list[list[Member]] = [[] for _ in range(p.n)]
        for c in graph.incoming(p.name):
            m = c.synapse.matrix().tocsr()
            for i in range(p.n):
                for j in m.indices[m.indptr[i] : m.indptr[i + 1]][m.data[m.indptr[i] : m.indptr[i + 1]] != 0]:
                    rows[i].append((c.src, int(j), int(np.max(c.delay))))
        found[p.name] = rows
    return found


def unused(rows: Mapping[str, list[list[Member]]], wires: Mapping[str, Any]) -> dict[str, list[int]]:
    """Axons of each population that no crossbar reads: they get a place to be seen at."""
    read: dict[str, set[int]] = {name: set() for name in rows}
    for w in wires.values():
        for name, source in zip(w.node, w.source):
            if name in read:
                read[name].add(int(source))
    return {name: [i for i in range(len(rows[name])) if i not in read[name]] for name in rows}
