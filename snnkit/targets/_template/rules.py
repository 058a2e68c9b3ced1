"""What fits the toy chip and what does not: findings, all at once, never exceptions.

    code               what
    GRAPH              an inconsistent graph
    INPUT_NOT_BINARY   an input with counts above 1
    NEURON             a neuron that the chip does not have
    NOT_FINITE, WEIGHT_NOT_FINITE, DECAY_RANGE, THRESHOLD_RANGE   as every chip has them, see `targets/checks.py`
    REGISTER_RANGE     a value that a neuron's register cannot hold
    REFRACTORY_RANGE   a refractory period
    WEIGHT_RANGE       a weight of more bits
    BIAS_REGISTER      a bias that is not gated
    DELAY_RANGE        a delay other than 1 step, or of the host's lines other than 0
    LOOP_TOO_SHORT     a loop with less delay than connections
    READOUT            a read-out of v
    AXONS              a neuron with more sources than a core has axons          (found by `lower.plan`)
    ROUTES             a neuron that needs more routing entries than it has      (found by `lower.plan`)
    CHIPS              more chips than can be addressed                          (found by `lower.plan`)

A finding says where, what is wrong with its value, what is available, and what to change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import LIF
from snnkit.passes import loop_findings
from snnkit.targets import checks
from snnkit.targets._template import spec
from snnkit.targets._template.neuron import ToyNeuron

Array = np.ndarray[Any, Any]


def check(graph: Graph, *, resources: bool = True, **options: Any) -> list[Finding]:
    """Everything about a graph, with real numbers or with this chip's integers, that the chip cannot do.

    Args:
        graph: on either timeline; delays and resources are judged on the chip's.
        resources: also cut the network into cores.
        options: those of other chips; ignored.
    """
    wrong = checks.consistent(graph)
    if wrong:
        return wrong
    findings = [*checks.inputs(graph), *loop_findings(graph), *_readout(graph)]
    for p in graph.populations:
        findings += _population(p)
    for c in graph.connections:
        findings += _connection(graph, c)
    if resources and graph.timeline == "chip":  # whatever else is wrong: all findings at once
        from snnkit.targets._template.lower import plan

        findings += plan(graph).findings
    return findings


def _readout(graph: Graph) -> Iterator[Finding]:
    if graph.readout is not None and not graph.readout.of_spikes:
        yield Finding(
            "READOUT", graph.readout.population, f"v cannot be read, but the read-out is {graph.readout.rule!r}",
            remedy="end the network with firing neurons and count their spikes",
        )  # fmt: skip


def _population(p: Population) -> Iterator[Finding]:
    neuron = p.neuron
    if isinstance(neuron, ToyNeuron):
        yield from _registers(p.name, neuron)
        return
    if not isinstance(neuron, LIF):
        yield Finding("NEURON", p.name, f"the chip has no {type(neuron).__name__}", remedy="use LIF")
        return
    yield from checks.numbers(p)
    if p.bias is not None and np.any(p.bias):
        yield Finding("BIAS_REGISTER", p.name, "there is no bias register", remedy="gate the bias (--bias gated)")
    if neuron.refractory:
        yield Finding(
            "REFRACTORY_RANGE", p.name, f"{neuron.refractory} steps are skipped after a spike", resource="refractory",
            needed=neuron.refractory, available=0, remedy="train without a refractory period",
        )  # fmt: skip


def _registers(name: str, neuron: ToyNeuron) -> Iterator[Finding]:
    for key, low, high in (
        ("leak", 0, spec.LEAK_NONE),
        ("threshold", spec.THRESHOLD_MIN, spec.THRESHOLD_MAX),
        ("reset", spec.RESET_ZERO, spec.RESET_SUBTRACT),
    ):
        yield from checks.register(name, key, getattr(neuron, key), low, high)


def _connection(graph: Graph, c: Connection) -> Iterator[Finding]:
    yield from checks.weights_finite(c)
    if c.format is not None:
        w = np.asarray(c.synapse.matrix().data)
        bound = 1 << (spec.WEIGHT_BITS - 1)
        if w.size and (w.dtype.kind not in "iu" or w.min() < -bound or w.max() >= bound):
            yield Finding(
                "WEIGHT_RANGE", c.name, f"weights from {w.min()} to {w.max()}", resource="weight",
                needed=float(abs(w).max()), available=bound - 1, remedy=f"use integers of {spec.WEIGHT_BITS} bits",
            )  # fmt: skip
    if graph.timeline == "chip":
        low, high = spec.CAPABILITIES.input_delays if _of_host(graph, c) else spec.CAPABILITIES.delays
        if int(np.min(c.delay, initial=high)) < low or c.max_delay > high:
            yield Finding(
                "DELAY_RANGE", c.name, f"a delay of {c.max_delay} steps; paths of different length meet here",
                resource="delay", needed=c.max_delay, available=high,
                remedy="leave out connections that pass over layers, and delays",
            )  # fmt: skip


def _of_host(graph: Graph, c: Connection) -> bool:
    return c.src in {i.name for i in graph.inputs}
