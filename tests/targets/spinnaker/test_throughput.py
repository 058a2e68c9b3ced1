"""Expected events beside what a core handles in a step: the finding, and its remedy tried."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LIF
from snnkit.graph.synapses import Dense
from snnkit.passes import add_lag
from snnkit.targets.spinnaker import rules, spec, throughput
from snnkit.targets.spinnaker.quantize import quantize

F = np.float32


def dense(n_in: int, n: int, dt_us: float | None = None, zeros: float = 0.0) -> Graph:
    rng = np.random.default_rng(0)
    w = (rng.normal(0, 0.1, (n, n_in)) * (rng.random((n, n_in)) >= zeros)).astype(F)
    return add_lag(
        Graph("d", (Input("in", (n_in,)),), (Population("a", (n,), LIF(np.full(n, 0.9, F), np.ones(n, F))),),
              (Connection("c", "in", "a", Dense(w)),), Readout("a", "count"), steps=10, dt_us=dt_us)
    )  # fmt: skip


def test_a_core_is_too_slow_and_the_remedy_is_enough():
    graph = dense(2312, 512)
    rates = {"in": np.full(2312, 0.05)}
    found = [f for f in rules.check(graph, rates=rates) if f.code == "THROUGHPUT"]
    assert len(found) == 1
    finding = found[0]
    assert (finding.severity, finding.available) == ("warning", spec.EVENTS_PER_MS)
    assert abs(finding.needed - 2312 * 0.05 * 256) < 1
    assert "slowed down 3 times, or 86 neurons per core" in finding.remedy
    again = rules.check(graph, rates=rates, neurons_per_core=86)
    assert [f for f in again if f.code == "THROUGHPUT"] == []
    assert [f.code for f in rules.check(graph, rates=rates, neurons_per_core=87)] == ["THROUGHPUT"]
    slower = rules.check(graph.with_(dt_us=3000.0), rates=rates)
    assert [f for f in slower if f.code == "THROUGHPUT"] == []


def test_without_calibration_the_rate_is_assumed_and_said():
    finding = next(f for f in rules.check(dense(2312, 512)) if f.code == "THROUGHPUT")
    assert finding.severity == "note"
    assert "assumed: 5%" in finding.what
    assert rules.check(dense(128, 256)) == []


def test_calibration_replaces_the_assumption():
    graph = dense(2312, 512)
    made = quantize(graph, {"in": np.full(2312, 0.001)})
    assert [f for f in made.findings if f.code == "THROUGHPUT"] == []
    assert made.settled == ("THROUGHPUT",)
    assert abs(made.report[0]["events_per_core_and_step"] - 2312 * 0.001 * 256) < 6  # few words are 0
    busy = quantize(graph, {"in": np.full(2312, 0.5)})
    assert [f.severity for f in busy.findings if f.code == "THROUGHPUT"] == ["warning"]
    assert quantize(graph).settled == ()


def test_one_neuron_may_be_too_much():
    graph = dense(16000, 2)
    rates = {"in": np.ones(16000)}
    finding = next(iter(throughput.findings(graph, rates)))
    assert "one neuron alone is too much for a core" in finding.remedy
    assert "slowed down 3.2 times" in finding.remedy


def test_loads_count_sparse_delayed_and_gated_lines():
    graph = dense(100, 300, zeros=0.7)
    used = int(np.count_nonzero(graph.connections[0].synapse.matrix().toarray()[:256]))
    assert throughput.loads(graph, {"in": np.full(100, 0.5)})[0].events == used * 0.5
    late = graph.with_(connections=(replace(graph.connections[0], delay=100),))
    assert throughput.loads(late)[0].per_core == 64
    gate = graph.with_(inputs=(replace(graph.inputs[0], gate_from=0),))
    assert throughput.loads(gate)[0].events == used
