"""Update rules of the plain executor: one file per family of neurons, none of which uses a chip's `arithmetic.py`.

A rule has `step(x, noise)` and the state arrays `u` (None where the neuron has no current) and `v`, all `[B, n]`. The
synaptic input x is `[B, n]`, or `[B, 2 n]` for neurons with two receptors (excitatory first).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from snnkit.errors import GraphError
from snnkit.graph.model import Connection, Population
from snnkit.graph.neurons import (
    LI,
    LIF,
    ChipNeuron,
    CubaLI,
    CubaLIF,
    LinearLeakIF,
    LoihiNeuron,
    SpinnakerNeuron,
    TrueNorthAxon,
    TrueNorthNeuron,
    TrueNorthOutput,
)
from snnkit.graph.rules import loihi, real, spinnaker, truenorth
from snnkit.graph.rules.loihi import READINGS, LoihiReading
from snnkit.graph.rules.products import Part, by_delay
from snnkit.graph.rules.truenorth import TrueNorthDraws, TrueNorthReading
from snnkit.graph.synapses import IntegerFormat, LoihiWeightFormat, SpinnakerWeightFormat, TrueNorthFormat

Array = np.ndarray[Any, Any]


class Rule(Protocol):
    """The state of one population and its update."""

    @property
    def u(self) -> Array | None: ...

    @property
    def v(self) -> Array: ...

    def step(self, x: Array, noise: Array | None) -> Array:
        """Advance one tick with the synaptic input x; returns the spikes as bool [B, n]."""


Reading = LoihiReading | TrueNorthReading
"""Choices where a chip's references disagree."""


def neuron_rule(population: Population, batch: int, reading: Reading | None, draws: TrueNorthDraws | None) -> Rule:
    """The rule of a population's neuron type, at its initial state."""
    neuron = population.neuron
    if isinstance(neuron, LIF):
        return real.LIFRule(neuron, population.bias, batch, population.n)
    if isinstance(neuron, CubaLIF):
        return real.CubaLIFRule(neuron, population.bias, batch, population.n)
    if isinstance(neuron, LinearLeakIF):
        return real.LinearLeakIFRule(neuron, population.bias, batch, population.n)
    if isinstance(neuron, LI):
        return real.LIRule(neuron, population.bias, batch, population.n)
    if isinstance(neuron, CubaLI):
        return real.CubaLIRule(neuron, population.bias, batch, population.n)
    if isinstance(neuron, LoihiNeuron):
        chosen = reading if isinstance(reading, LoihiReading) else LoihiReading()
        return loihi.LoihiRule(neuron, batch, population.n, chosen)
    if isinstance(neuron, TrueNorthNeuron):
        way = reading if isinstance(reading, TrueNorthReading) else TrueNorthReading()
        return truenorth.TrueNorthRule(neuron, batch, population.n, way, draws, population.name)
    if isinstance(neuron, TrueNorthAxon | TrueNorthOutput):
        return truenorth.WireRule(merge=isinstance(neuron, TrueNorthAxon), batch=batch, n=population.n)
    if isinstance(neuron, SpinnakerNeuron):
        return spinnaker.SpinnakerRule(neuron, batch, population.n)
    if isinstance(neuron, ChipNeuron):
        rule: Rule = neuron.rule(batch, population.n)
        return rule
    raise GraphError(f"population {population.name!r} has a neuron without a rule: {type(neuron).__name__}")


def connection_parts(connection: Connection, reading: Reading | None) -> list[Part]:
    """The linear maps of a connection, one per delay."""
    if isinstance(connection.format, LoihiWeightFormat):
        return loihi.parts(connection, reading if isinstance(reading, LoihiReading) else LoihiReading())
    if isinstance(connection.format, TrueNorthFormat):
        return truenorth.parts(connection)
    if isinstance(connection.format, SpinnakerWeightFormat):
        return spinnaker.parts(connection)
    if isinstance(connection.format, IntegerFormat):
        return by_delay(connection, sp.csr_matrix(connection.synapse.matrix(), dtype=np.int64))
    if connection.format is None:
        return real.parts(connection)
    raise GraphError(
        f"connection {connection.name!r} has a weight format without a rule: {type(connection.format).__name__}"
    )


__all__ = [
    "READINGS",
    "LoihiReading",
    "Part",
    "Reading",
    "Rule",
    "TrueNorthDraws",
    "TrueNorthReading",
    "connection_parts",
    "neuron_rule",
]
