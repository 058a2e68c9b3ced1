"""Which circuit and which driver of an analogue chip each neuron and synapse of a network uses, from its descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.graph.model import Graph

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class LayerWiring:
    """One layer.

    Attributes:
        circuits: circuit of each neuron [n].
        drivers: driver of each synapse from the layer before, [n, sources]; -1 where none is known.
        unit: codes of the ADC for 1 in the model, [n].
        share: how much of the largest weight 63 stands for.
        bias_driver: driver of the line that carries the bias; -1 where the bias is a leak potential, or none.
    """

    circuits: Array
    drivers: Array
    unit: Array
    share: float
    bias_driver: int = -1


def wiring(
    chip: Any, graph: Graph, report: list[dict[str, Any]], largest: Mapping[str, float], units: Mapping[str, Array]
) -> dict[str, LayerWiring]:
    """The wiring of every layer of a feed-forward network.

    Args:
        chip: the emulator's decoded chip. graph: quantised. report: of the quantiser.
        largest: largest absolute weight of each layer before quantisation.
        units: codes for 1 in the model of the neurons of a layer; of others, what the report says.
    """
    lines = chip.lines
    to = np.full((chip.n_neurons, lines + chip.n_neurons), -1, np.int64)
    circuits = np.zeros(chip.n_neurons, np.int64)
    for part in chip.parts:
        own = part.first + np.arange(part.n)
        circuits[own] = part.circuits
        sources: list[list[int]] = [[] for _ in range(len(part.ptr) - 1)]
        for e, (line, _) in enumerate(part.entries.tolist()):
            sources[e].append(line)
        for neuron in range(len(part.replay_ptr) - 1):
            for s in part.replay_source[part.replay_ptr[neuron] : part.replay_ptr[neuron + 1]].tolist():
                sources[s].append(lines + neuron)
        for i in range(part.n):
            sources[part.first_own + i].append(lines + part.first + i)
        for s, columns in enumerate(sources):
            here = slice(part.ptr[s], part.ptr[s + 1])
            for column in columns:
                to[part.first + part.neuron[here], column] = part.driver[here]
        known = to[own].max(0)  # a synapse of weight 0 is not placed; its row is that of the others
        to[own] = np.where(to[own] < 0, known, to[own])
    starts, at = {}, 0
    for node in graph.inputs:
        starts[node.name] = np.arange(at, at + node.n)
        at += node.n
    said = {row["layer"]: row for row in report}
    found = {}
    gates = {i.name for i in graph.inputs if i.gate_from is not None}
    for p in graph.populations:
        (c,) = [c for c in graph.incoming(p.name) if c.src not in gates]
        before = starts[c.src] if c.src in starts else lines + chip.placement[c.src]
        row = said[p.name]
        low, high = (float(u) for u in row["codes_per_unit"])
        unit = np.broadcast_to(units[p.name], (p.n,)) if p.name in units else np.full(p.n, (low + high) / 2)
        share = 63.0 / (row["scale"] * largest[p.name]) if largest[p.name] else 1.0
        placed = chip.placement[p.name]
        lines_of_bias = [starts[c.src] for c in graph.incoming(p.name) if c.src in gates]
        bias = int(to[placed][:, lines_of_bias[0]].max()) if lines_of_bias else -1
        found[p.name] = LayerWiring(circuits[placed], to[np.ix_(placed, before)], unit, share, bias)
    return found
