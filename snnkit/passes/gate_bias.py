"""Turn biases into gated inputs: a line that the host drives with 1 from the step on in which frame 0 arrives.

A bias register would act from tick 0, k ticks before frame 0 reaches a layer of lag k; the gated line makes the
chip integrate the bias in exactly the T steps of the sample, so the result is that of the model.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from snnkit.graph.model import Connection, Graph, Input
from snnkit.graph.synapses import Dense

PREFIX = "bias."


def gate_bias(graph: Graph, names: Collection[str] | None = None) -> Graph:
    """The graph with every non-zero bias as a `Dense` connection from an `Input` of one gated line.

    `names`: only those populations; the others keep their biases.
    """
    inputs, connections, populations = list(graph.inputs), list(graph.connections), []
    for population in graph.populations:
        if names is not None and population.name not in names:
            populations.append(population)
            continue
        if population.bias is not None and np.any(population.bias):
            name = PREFIX + population.name
            inputs.append(Input(name, (1,), gate_from=population.lag))
            weight = np.asarray(population.bias, dtype=np.float64)[:, None]
            connections.append(Connection(name, name, population.name, Dense(weight)))
        populations.append(replace(population, bias=None))
    return graph.with_(inputs=tuple(inputs), populations=tuple(populations), connections=tuple(connections))
