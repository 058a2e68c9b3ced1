"""Synaptic events that a core has to process in a step, beside what it can do in the time of a step.

Events of a core: over its neurons, the sum over their synapses of the source's rate. A machine step is 1 ms of
biological time; with a time scale factor f it takes f ms. A network whose step is longer (`Graph.dt_us`) is still in
real time with f = dt / 1 ms. The figure is `spec.EVENTS_PER_MS` (a design target, met within a factor of two).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.findings import Finding
from snnkit.graph.geometry import fan_in
from snnkit.graph.model import Graph, Population
from snnkit.targets.spinnaker import spec, words

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Load:
    """One population: `events` a step on its busiest core, if cores hold `per_core` neurons; `each` [n] by neuron."""

    name: str
    per_core: int
    events: float
    each: Array


def loads(graph: Graph, rates: Mapping[str, Array] | None = None, neurons_per_core: int | None = None) -> list[Load]:
    """The expected load of every population.

    Args:
        graph: float or integer.
        rates: firing probability (mean count) per step by source [n]; `spec.ASSUMED_RATE` where there is none, 1 for
            gate lines.
        neurons_per_core: at most so many.
    """
    return [_load(graph, p, rates or {}, neurons_per_core) for p in graph.populations]


def _load(graph: Graph, p: Population, rates: Mapping[str, Array], neurons_per_core: int | None) -> Load:
    gates = {i.name for i in graph.inputs if i.gate_from is not None}
    each = np.zeros(p.n)
    for c in graph.incoming(p.name):
        rate = rates.get(c.src)
        if rate is None:
            each += fan_in(c.synapse) * (1.0 if c.src in gates else spec.ASSUMED_RATE)
            continue
        m = sp.csr_matrix(c.synapse.matrix())
        used = sp.csr_matrix(((m.data != 0).astype(np.float64), m.indices, m.indptr), shape=m.shape)
        each += used @ np.asarray(rate, np.float64).reshape(-1)
    longest = max((c.max_delay for c in graph.incoming(p.name)), default=1)
    slots = 1 << max(spec.INDEX_BITS_MAX - spec.RECEPTOR_BITS - words.bits_for(max(longest, 1)), 0)
    most = max(min(neurons_per_core or spec.NEURONS_PER_CORE, spec.NEURONS_PER_CORE, p.n, slots), 1)
    return Load(p.name, most, _busiest(each, most), each)


def _busiest(each: Array, per_core: int) -> float:
    cores = np.pad(each, (0, -len(each) % per_core)).reshape(-1, per_core)
    return float(cores.sum(axis=1).max(initial=0.0))


def findings(
    graph: Graph, rates: Mapping[str, Array] | None = None, neurons_per_core: int | None = None
) -> Iterator[Finding]:
    """A warning (a note where rates are assumed) for every population that a step is too short for.

    The remedy was tried: with that slow-down, and with that many neurons per core, the load fits.
    """
    step_ms = 1.0 if graph.dt_us is None else max(graph.dt_us / 1000.0, 1.0)
    available = spec.EVENTS_PER_MS * step_ms
    for load in loads(graph, rates, neurons_per_core):
        if load.events <= available:
            continue
        sources = {c.src for c in graph.incoming(load.name)}
        measured = rates is not None and sources <= set(rates)
        slow = math.ceil(10 * load.events / available) / 10
        fit = per_core_that_fits(load, available)
        other = f", or {fit} neurons per core" if fit else "; one neuron alone is too much for a core"
        yield Finding(
            "THROUGHPUT", load.name,
            f"a core of {load.per_core} neurons has more synaptic events a step than a core handles in {step_ms:g} ms"
            + ("" if measured else f" (assumed: {spec.ASSUMED_RATE:.0%} of the sources fire in a step)"),
            severity="warning" if measured else "note", resource="events per core and step",
            needed=round(load.events, 1), available=available,
            remedy=f"real time needs a run slowed down {slow:g} times" + other,
        )  # fmt: skip


def per_core_that_fits(load: Load, available: float) -> int:
    """The most neurons per core with which no core has more than `available` events a step; 0 if there is none."""
    low, high = 0, load.per_core
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _busiest(load.each, middle) <= available else (low, middle - 1)
    return next((k for k in range(low, 0, -1) if _busiest(load.each, k) <= available), 0)
