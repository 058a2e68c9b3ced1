"""A population as the quantiser sees it: which neurons share a scale, the weights that reach it, how long it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Array, Graph, Population
from snnkit.graph.neurons import LI
from snnkit.graph.synapses import Conv
from snnkit.targets.loihi.integers import Incoming, flatten


class Layer:
    """One population, what is worked out about it, and what there is to say about that.

    Args:
        graph: the graph it is part of.
        population: itself.
        rates: firing probability per step of each source, by name [n]; equal where not given.
        levels: threshold levels it may use.
        clip_search: try clipping its largest weights.
    """

    def __init__(
        self, graph: Graph, population: Population, rates: Mapping[str, Array], levels: int, clip_search: bool
    ) -> None:
        self.graph, self.population, self.levels, self.clip_search = graph, population, levels, clip_search
        self.findings: list[Finding] = []
        self.ticks = None if graph.steps is None else graph.steps + graph.max_lag
        self.is_readout = isinstance(population.neuron, LI)
        gates = {i.name for i in graph.inputs if i.gate_from is not None}
        incoming = graph.incoming(population.name)
        n = population.n
        # Neurons that share weights share a scale: runs of as many as a channel of the convolution has pixels,
        # whatever the shape of the population (it may be flattened) and however many convolutions reach it.
        convolutions = [c.synapse for c in incoming if isinstance(c.synapse, Conv)]
        run = math.lcm(*(max(n // s.out_shape[0], 1) for s in convolutions))
        self.group = np.zeros(n, np.int64) if self.is_readout else np.arange(n) // run
        self.groups = int(self.group.max()) + 1 if n else 0
        self.incoming = [flatten(c, self.group, c.src in gates) for c in incoming]
        self.rates = rates
        self.report: dict[str, Any] = {"layer": population.name, "neurons": n, "scale_groups": self.groups}

    def threshold(self) -> Array | None:
        """Its thresholds [n]; None where it never fires."""
        neuron = self.population.neuron
        return None if isinstance(neuron, LI) else np.asarray(neuron.threshold, np.float64)  # type: ignore[union-attr]

    def use(self, incoming: Incoming) -> Array:
        """How often each weight counts: the firing probability of its source, where known."""
        rate = self.rates.get(incoming.connection.src)
        if rate is None or not incoming.source.size or incoming.source[0] < 0:
            return np.ones(incoming.values.size)
        return np.asarray(rate, np.float64).reshape(-1)[incoming.source] + 1e-6
