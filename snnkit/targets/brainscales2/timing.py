"""From the step-wise timeline to real time: events act when they happen, so there are no lags."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from snnkit.graph.model import Connection, Graph

Array = np.ndarray[Any, Any]


def model_delay(graph: Graph, c: Connection) -> Any:
    """The connection's delay in the model, without what lags added."""
    if graph.timeline != "chip":
        return c.delay
    lags = {p.name: p.lag for p in graph.populations}
    return c.delay - lags[c.dst] + lags.get(c.src, 0)


def real_time(graph: Graph) -> Graph:
    """Without lags and without delays between neurons; the host's delays stay.

    A connection of one step (of a loop) acts at once, too: on average half a step earlier than in the model.
    """
    hosts = {i.name for i in graph.inputs}
    lags = {p.name: p.lag for p in graph.populations}
    first = {c.src: lags[c.dst] for c in graph.connections if c.src in hosts}

    def late(c: Connection) -> int:
        return int(np.max(model_delay(graph, c), initial=0)) if c.src in hosts else 0

    inputs = tuple(
        i if i.gate_from is None else replace(i, gate_from=max(i.gate_from - first.get(i.name, 0), 0))
        for i in graph.inputs
    )
    return graph.with_(
        inputs=inputs,
        populations=tuple(replace(p, lag=0) for p in graph.populations),
        connections=tuple(
            replace(c, delay=0 if c.src in hosts and _gate(graph, c) else late(c)) for c in graph.connections
        ),
    )


def _gate(graph: Graph, c: Connection) -> bool:
    return next(i for i in graph.inputs if i.name == c.src).gate_from is not None
