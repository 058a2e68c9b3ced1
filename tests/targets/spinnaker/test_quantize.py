"""Trained networks on SpiNNaker: integer graph and emulator are equal, and near the float graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import descriptor, emulator
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF
from snnkit.graph.run import run
from snnkit.graph.synapses import Conv, Dense
from snnkit.passes import add_lag
from snnkit.targets.manifest import build_manifest
from snnkit.targets.quantized import summary
from snnkit.targets.spinnaker import TARGET, constants, rules, setup, spec
from snnkit.targets.spinnaker.lower import LowerOptions, lower
from snnkit.targets.spinnaker.quantize import QuantizeOptions, quantize

F = np.float32


def neuron(rng, kind, n):
    def decay():
        return np.full(n, rng.choice([0.0, 0.3, 0.5, 0.8, 0.95, 1.0]), F)

    threshold, refractory = np.full(n, rng.uniform(0.3, 1.5), F), int(rng.integers(0, 3))
    if kind == "lif":
        return LIF(decay(), threshold, "zero", refractory)
    if kind == "cuba":
        return CubaLIF(np.full(n, rng.uniform(0.1, 0.9), F), decay(), threshold, "zero", refractory)
    return LI(decay()) if kind == "li" else CubaLI(np.full(n, 0.5, F), decay())


def random_graph(seed: int) -> Graph:
    """Layers of LIF and CubaLIF with delays, perhaps a loop, a skip, a convolution and a probed read-out."""
    rng = np.random.default_rng(seed)
    sizes = [int(x) for x in rng.integers(2, 24, rng.integers(1, 4))]
    conv = rng.random() < 0.3
    inputs = Input("in", (1, 6, 6) if conv else (int(rng.integers(2, 30)),), max_count=int(rng.choice([1, 1, 3])))
    populations, connections = [], []
    before, n_before = "in", inputs.n
    for k, n in enumerate(sizes):
        kind = str(rng.choice(["lif", "cuba"]))
        if k == len(sizes) - 1 and rng.random() < 0.5:
            kind = str(rng.choice(["li", "cubali"]))
        if k == 0 and conv:
            synapse = Conv(rng.normal(0, 0.5, (2, 1, 3, 3)).astype(F), (1, 6, 6), stride=(2, 2))
            n = synapse.n_dst
        else:
            weight = rng.normal(0, 1.2 / np.sqrt(n_before), (n, n_before))
            synapse = Dense((weight * (rng.random(weight.shape) < rng.choice([0.3, 1.0]))).astype(F))
        populations.append(Population(f"p{k}", (n,), neuron(rng, kind, n)))
        connections.append(Connection(f"c{k}", before, f"p{k}", synapse, int(rng.integers(0, 4)) if k == 0 else 0))
        if kind in ("lif", "cuba") and rng.random() < 0.4:
            loop = Dense(rng.normal(0, 0.3, (n, n)).astype(F))
            connections.append(Connection(f"r{k}", f"p{k}", f"p{k}", loop, int(rng.integers(1, 4))))
        before, n_before = f"p{k}", n
    last = populations[-1]
    rule = "last" if isinstance(last.neuron, LI | CubaLI) else "count"
    return add_lag(
        Graph("random", (inputs,), tuple(populations), tuple(connections), Readout(last.name, rule), steps=12)
    )


def emulate(graph, inputs, ticks, tmp_path, options=None):
    lowered = lower(graph, options)
    assert lowered.ok, [str(f) for f in lowered.findings]
    descriptor.write(tmp_path / "net.snnx", build_manifest(TARGET, graph, lowered), lowered.arrays, {})
    return emulator.open(tmp_path / "net.snnx").run(inputs, ticks=ticks, probes=("s", "u", "v"))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 3, 7]))
def test_integer_graph_and_emulator_are_equal(tmp_path_factory, seed, most):
    graph = random_graph(seed)
    assert [f for f in rules.check(graph) if f.severity == "error"] == []
    made = quantize(graph).graph
    rng = np.random.default_rng(seed)
    n = graph.inputs[0].n
    raster = rng.integers(0, graph.inputs[0].max_count + 1, (12, 3, n)).astype(np.uint8)
    raster *= rng.random(raster.shape) < 0.4
    trace = run(made, {"in": raster})
    options = LowerOptions(neurons_per_core=most)
    result = emulate(made, {"in": raster}, trace.ticks, tmp_path_factory.mktemp("net"), options)
    for p in made.populations:
        for what, store in (("s", result.spikes), ("u", result.u), ("v", result.v)):
            assert np.array_equal(store[p.name], trace.array(p.name, what)), (p.name, what)
    assert result.totals()["saturations"] == 0
    assert np.array_equal(result.answer, trace.answer())


def test_most_spikes_are_those_of_the_float_graph():
    total = wrong = 0
    for seed in range(80):
        graph = random_graph(seed)
        rng = np.random.default_rng(seed)
        raster = (rng.random((12, 4, graph.inputs[0].n)) < 0.3).astype(np.uint8)
        made = run(quantize(graph).graph, {"in": raster}, record=())
        real = run(graph, {"in": raster}, record=())
        for p in graph.populations:
            a, b = made.aligned(p.name), real.aligned(p.name)
            total, wrong = total + int(b.sum()), wrong + int((a != b).sum())
    assert total > 3000
    assert wrong / total < 0.001


def test_dyadic_networks_are_exact():
    rng = np.random.default_rng(0)
    w1, w2 = rng.integers(-8, 9, (20, 30)) / 8, rng.integers(-8, 9, (10, 20)) / 16
    graph = add_lag(
        Graph(
            "dyadic", (Input("in", (30,)),),
            (Population("a", (20,), LIF(np.full(20, 0.5, F), np.ones(20, F))),
             Population("b", (10,), LIF(np.zeros(10, F), np.full(10, 0.5, F)))),
            (Connection("1", "in", "a", Dense(w1.astype(F))), Connection("2", "a", "b", Dense(w2.astype(F)))),
            Readout("b", "count"), steps=40,
        )
    )  # fmt: skip
    made = quantize(graph)
    assert [r["exact_weights"] for r in made.report] == [True, True]
    raster = (rng.random((40, 16, 30)) < 0.3).astype(np.uint8)
    real, chip = run(graph, {"in": raster}, record=()), run(made.graph, {"in": raster}, record=())
    assert real.aligned("a").sum() > 100
    assert all(np.array_equal(real.aligned(k), chip.aligned(k)) for k in "ab")
    assert summary(made.report)["clipped"] == 0


def test_an_input_takes_a_step():
    graph = random_graph(4)
    made = quantize(graph).graph
    least = min(int(np.min(c.delay)) for c in graph.connections if c.src == "in")
    late = 1 if least == 0 else 0
    assert [p.lag for p in made.populations] == [p.lag + late for p in graph.populations]
    assert min(int(np.min(c.delay)) for c in made.connections) >= 1


def test_firing_rates_buy_resolution_and_saturation_is_counted(tmp_path):
    rng = np.random.default_rng(0)
    n = 3000
    graph = add_lag(
        Graph("wide", (Input("in", (n,)),), (Population("a", (6,), LIF(np.full(6, 0.9, F), np.full(6, 5.0, F))),),
              (Connection("1", "in", "a", Dense(np.abs(rng.normal(0, 0.1, (6, n))).astype(F))),),
              Readout("a", "count"), steps=5)
    )  # fmt: skip
    sure = quantize(graph)
    likely = quantize(graph, {"in": np.full(n, 0.01)})
    assert (sure.report[0]["ring_bound"], likely.report[0]["ring_bound"]) == ("proved", "rates")
    assert quantize(graph, {"in": np.full(n, 0.01)}, QuantizeOptions(proved=True)).report[0]["ring_bound"] == "proved"
    words = [made.report[0]["connections"]["1"]["largest_word"] for made in (sure, likely)]
    assert words[1] > 4 * words[0]
    assert [f.code for f in likely.findings] == ["RING_BOUND"]
    everything = np.ones((5, 1, n), np.uint8)
    trace = run(likely.graph, {"in": everything})
    result = emulate(likely.graph, {"in": everything}, trace.ticks, tmp_path)
    assert result.totals()["saturations"] > 0
    assert np.array_equal(result.v["a"], trace.v["a"])
    calm = emulate(sure.graph, {"in": everything}, trace.ticks, tmp_path)
    assert calm.totals()["saturations"] == 0


def test_pure_integration_is_the_longest_time_constant():
    made = constants.membrane(np.array([1.0, 0.5, 0.0]))
    assert made.a.tolist() == [32766, 16384, 0]
    assert np.allclose(made.gain, 1)
    assert [setup.expk(-setup.divide(spec.ONE, int(t))) for t in made.tau] == made.a.tolist()


@pytest.mark.parametrize("decay", [0.01, 0.1, 0.37, 0.61, 0.9, 0.99, 0.999])
def test_time_constants_are_the_nearest(decay):
    m, s = constants.membrane(np.array([decay])), constants.synapse(np.array([decay]))
    assert abs(m.a[0] / spec.ONE - decay) <= 1.5 / spec.ONE
    assert abs(s.decay[0] / 2**32 - decay) < 3e-5
    assert np.log2(m.r[0]) % 1 == 0
    assert 0.7 < m.gain[0] < 1.42


def test_a_read_out_cannot_fire(tmp_path):
    seeds = [s for s in range(60) if random_graph(s).readout.rule == "last"][:6]
    assert seeds
    for seed in seeds:
        graph = random_graph(seed)
        made = quantize(graph).graph
        everything = np.full((12, 1, graph.inputs[0].n), graph.inputs[0].max_count, np.uint8)
        trace = run(made, {"in": everything})
        name = made.readout.population
        assert trace.spikes[name].sum() == 0
        assert np.abs(trace.v[name].astype(np.int64)).max() < 2**30
