"""Refractory periods, loops with delay 1, probed read-outs and the first spike: descriptor and emulator."""

from __future__ import annotations

import numpy as np
import pytest

from snnkit import descriptor
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF
from snnkit.graph.run import run
from snnkit.graph.synapses import Dense
from snnkit.passes import add_lag
from snnkit.targets.spinnaker import rules, spec, words
from snnkit.targets.spinnaker.quantize import quantize
from tests.targets.spinnaker.test_quantize import emulate

F = np.float32


def alike(graph: Graph, x, tmp_path):
    """Integer graph, trace and emulator's result; spikes, u and v of the last two are equal."""
    assert [f for f in rules.check(graph) if f.severity == "error"] == []
    made = quantize(graph).graph
    trace = run(made, {"in": x})
    result = emulate(made, {"in": x}, trace.ticks, tmp_path)
    for p in made.populations:
        for what, store in (("s", result.spikes), ("u", result.u), ("v", result.v)):
            assert np.array_equal(store[p.name], trace.array(p.name, what)), (p.name, what)
    assert np.array_equal(result.answer, trace.answer())
    return made, trace, result


@pytest.mark.parametrize("refractory", [0, 1, 3, spec.REFRACTORY_MAX])
@pytest.mark.parametrize("kind", ["lif", "cuba"])
def test_refractory_periods(tmp_path, refractory, kind):
    """tau_refrac of r steps in the descriptor; exactly r updates are skipped, a LIF loses the input of those steps."""
    one = np.ones(1, F)
    model = LIF(one * F(0.5), one, "zero", refractory)
    if kind == "cuba":
        model = CubaLIF(one * F(0.5), one * F(0.5), one, "zero", refractory)
    graph = add_lag(
        Graph("r", (Input("in", (1,)),), (Population("a", (1,), model),),
              (Connection("c", "in", "a", Dense(one[None] * 2)),), Readout("a", "count"), steps=20)
    )  # fmt: skip
    x = np.ones((20, 1, 1), np.uint8)
    x[5:9] = 0
    _, trace, _ = alike(graph, x, tmp_path)
    folder = descriptor.load(tmp_path / "net.snnx")
    region = folder.arrays["neuron_params"][: 1 + 9 + (6 if kind == "cuba" else 4)]
    raw = words.read_neurons(region, 1, kind == "cuba", 0)
    assert raw["tau_refrac"].tolist() == [refractory * spec.ONE]
    real = run(graph, {"in": x})
    assert np.array_equal(trace.aligned("a"), real.aligned("a"))
    fired = np.flatnonzero(trace.aligned("a")[:, 0, 0])
    assert len(fired) == 1 or np.diff(fired).min() == refractory + 1


@pytest.mark.parametrize("delay", [1, 2, 5])
def test_a_layer_that_feeds_back(tmp_path, delay):
    """Delay 1 in the model is delay 1 on the chip."""
    rng = np.random.default_rng(delay)
    n = 12
    graph = add_lag(
        Graph("loop", (Input("in", (8,)),),
              (Population("a", (n,), LIF(np.full(n, 0.5, F), np.ones(n, F), "zero", 1)),
               Population("b", (4,), LIF(np.full(4, 0.75, F), np.ones(4, F)))),
              (Connection("c", "in", "a", Dense((rng.integers(-4, 9, (n, 8)) / 8).astype(F))),
               Connection("loop", "a", "a", Dense((rng.integers(-8, 9, (n, n)) / 8).astype(F)), delay),
               Connection("d", "a", "b", Dense((rng.integers(-4, 5, (4, n)) / 8).astype(F)))),
              Readout("b", "count"), steps=30)
    )  # fmt: skip
    x = (rng.random((30, 6, 8)) < 0.4).astype(np.uint8)
    made, trace, _ = alike(graph, x, tmp_path)
    assert next(c.delay for c in made.connections if c.name == "loop") == delay
    real = run(graph, {"in": x})
    assert real.aligned("a").sum() > 100
    assert all(np.array_equal(trace.aligned(k), real.aligned(k)) for k in "ab")


@pytest.mark.parametrize("rule", ["mean", "max", "last"])
@pytest.mark.parametrize("kind", ["li", "cubali", "integrator"])
def test_a_probed_read_out(tmp_path, rule, kind):
    """The read-out is marked as probed, has the highest threshold, never fires, and gives the float answers."""
    rng = np.random.default_rng(1)
    last = {"li": LI(np.full(5, 0.9, F)), "cubali": CubaLI(np.full(5, 0.5, F), np.full(5, 0.9, F)),
            "integrator": LI(np.ones(5, F))}[kind]  # fmt: skip
    graph = add_lag(
        Graph("probe", (Input("in", (20,)),), (Population("a", (16,), LIF(np.full(16, 0.5, F), np.ones(16, F))),
                                               Population("out", (5,), last)),
              (Connection("c", "in", "a", Dense(rng.normal(0, 0.5, (16, 20)).astype(F))),
               Connection("d", "a", "out", Dense(rng.normal(0, 0.5, (5, 16)).astype(F)))),
              Readout("out", rule), steps=25)
    )  # fmt: skip
    x = (rng.random((25, 20, 20)) < 0.3).astype(np.uint8)
    made, trace, result = alike(graph, x, tmp_path)
    manifest = descriptor.load(tmp_path / "net.snnx").manifest
    assert [(layer.name, layer.kind) for layer in manifest.layers] == [("a", "spiking"), ("out", "probed")]
    assert manifest.readout is not None
    assert manifest.readout.rule == rule
    assert made.populations[1].neuron.v_thresh.tolist() == [2**31 - 1] * 5
    assert result.spikes["out"].sum() == 0
    assert (trace.answer() == run(graph, {"in": x}).answer()).mean() >= 0.95


def test_the_first_spike_decides(tmp_path):
    rng = np.random.default_rng(2)
    graph = add_lag(
        Graph("first", (Input("in", (20,)),), (Population("a", (5,), LIF(np.full(5, 0.9, F), np.full(5, 3, F))),),
              (Connection("c", "in", "a", Dense(rng.normal(0.1, 0.3, (5, 20)).astype(F))),), Readout("a", "first"),
              steps=20)
    )  # fmt: skip
    x = (rng.random((20, 40, 20)) < 0.3).astype(np.uint8)
    _, trace, _ = alike(graph, x, tmp_path)
    answers = run(graph, {"in": x}).answer()
    assert len(np.unique(answers)) > 1
    assert np.array_equal(trace.answer(), answers)
