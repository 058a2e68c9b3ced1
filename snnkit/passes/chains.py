"""Applies a rewrite of two neighbouring operators to every chain of a graph until nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from snnkit.graph.model import Graph
from snnkit.graph.synapses import Chain

Rewrite = Callable[[Any, Any], tuple[Any, ...] | None]
"""Given `first` and `then`, the operators that replace them, or None to leave them."""


def rewrite_chains(graph: Graph, rewrite: Rewrite) -> Graph:
    """The graph with `rewrite` applied to neighbours, left to right, until no pair changes."""
    connections = []
    for connection in graph.connections:
        if isinstance(connection.synapse, Chain):
            ops = _rewrite(list(connection.synapse.ops), rewrite)
            connection = replace(connection, synapse=Chain(tuple(ops)))
        connections.append(connection)
    return graph.with_(connections=tuple(connections))


def _rewrite(ops: list[Any], rewrite: Rewrite) -> list[Any]:
    position = 0
    while position + 1 < len(ops):
        new = rewrite(ops[position], ops[position + 1])
        if new is None:
            position += 1
        else:
            ops[position : position + 2] = new
            position = max(position - 1, 0)
    return ops
