"""Words without rounding: ties at the threshold, pure integrators, biases. Figures against the float graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLIF
from snnkit.graph.run import run
from snnkit.graph.synapses import Dense
from snnkit.passes import add_lag
from snnkit.targets.spinnaker import scales, setup, spec
from snnkit.targets.spinnaker.quantize import quantize

F = np.float32


def network(neuron, weights, steps, bias=None, rule="count") -> Graph:
    populations, connections, before = [], [], "in"
    for k, w in enumerate(weights):
        populations.append(Population(f"p{k}", (len(w),), neuron(len(w)), None if bias is None else bias[k]))
        connections.append(Connection(f"c{k}", before, f"p{k}", Dense(np.asarray(w, F))))
        before = f"p{k}"
    ports = (Input("in", (weights[0].shape[1],)),)
    return add_lag(Graph("g", ports, tuple(populations), tuple(connections), Readout(before, rule), steps=steps))


def both(graph, x):
    made = quantize(graph)
    real, chip = run(graph, {"in": x}, record=()), run(made.graph, {"in": x}, record=())
    names = [p.name for p in graph.populations]
    differ = sum(int((real.aligned(k) != chip.aligned(k)).sum()) for k in names)
    return made, differ, sum(int(real.aligned(k).sum()) for k in names)


def trinary(rng, scale=1.0):
    return [rng.integers(-1, 2, (40, 128)) * F(scale), rng.integers(-1, 2, (10, 40)) * F(scale)]


@pytest.mark.parametrize(("threshold", "scale"), [(1, 1), (4, 1), (10, 1), (100, 1), (1, 0.037), (0.7, 0.113)])
def test_trinary_integrators_equal_the_float_network(threshold, scale):
    """All spikes of 100 steps with up to 128 sources: the leak of the longest tau_m is below one raw step."""
    rng = np.random.default_rng(int(threshold * 10))
    graph = network(lambda n: LIF(np.ones(n, F), np.full(n, threshold, F)), trinary(rng, scale), 100)
    made, differ, spikes = both(graph, (rng.random((100, 4, 128)) < 0.2).astype(np.uint8))
    assert spikes > 50
    assert differ == 0
    assert [r["integrators"]["exact"] for r in made.report] == [40, 10]
    assert made.findings == []


def test_the_window_of_an_integrator():
    """v' = v + I between v_rest and v_rest + 2**14, whatever I; a raw step more below, one less above."""
    a = setup.expk(-setup.divide(spec.ONE, 2**30))
    rest, r = -16000, 1 << 14
    for v in range(rest - 20000, rest + 40000, 7):
        for i in (-70, 0, 1, 555):
            alpha = i * r + rest
            moved = alpha - ((a * (alpha - v)) >> 15)
            assert moved == v + i - (v - rest) // scales.WINDOW


def test_long_samples_state_their_bound():
    rng = np.random.default_rng(1)
    graph = network(lambda n: LIF(np.ones(n, F), np.full(n, 5, F)), trinary(rng), 5000)
    made = quantize(graph)
    assert {f.code for f in made.findings} == {"IF_LEAK"}
    assert "exact down to v = -16379" in made.findings[0].what
    always = np.zeros((5000, 1, 128), np.uint8)
    always[:, :, :30] = 1
    neuron = made.graph.populations[0].neuron
    trace = run(made.graph, {"in": always})
    lowest = trace.v["p0"].min()
    assert neuron.v_rest.min() == 5 - scales.WINDOW
    assert lowest < neuron.v_rest.min()  # below, it rises by one a step and goes on falling


def test_real_weights_on_integrators_leak_little():
    wrong = total = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        graph = network(lambda n: LIF(np.ones(n, F), np.ones(n, F)), [rng.normal(0, 0.2, (64, 128))], 100)
        made, differ, spikes = both(graph, (rng.random((100, 4, 128)) < 0.2).astype(np.uint8))
        wrong, total = wrong + differ, total + spikes
        assert [(f.code, f.severity) for f in made.findings] == [("IF_LEAK", "note")]
        assert "1/16384" in made.findings[0].what
    assert total > 10000
    assert wrong / total < 0.004


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.25, 0.5, 0.625, 0.75, 0.875]), st.integers(0, 3))
def test_sums_that_equal_the_threshold_fire(seed, decay, bits):
    """Dyadic weights, thresholds and decays that a core has: every spike of 30 steps, ties included."""
    rng = np.random.default_rng(seed)
    weights = [rng.integers(-8, 9, (20, 30)) / 2**bits, rng.integers(-8, 9, (10, 20)) / 8]
    threshold, refractory = rng.integers(1, 9, 20) / 4, int(rng.integers(0, 3))
    neuron = lambda n: LIF(np.full(n, decay, F), threshold[:n].astype(F), "zero", refractory)  # noqa: E731
    graph = network(neuron, weights, 30)
    made, differ, _ = both(graph, (rng.random((30, 8, 30)) < 0.3).astype(np.uint8))
    assert differ == 0
    assert all(r["exact_weights"] for r in made.report)


@pytest.mark.parametrize(("decay", "allowed"), [(0.3, 5e-4), (0.9, 5e-4), (0.95, 1e-3), (0.99, 2e-3)])
def test_other_decays_keep_most_ties(decay, allowed):
    rng = np.random.default_rng(3)
    weights = [rng.integers(-8, 9, (64, 128)) / 16]
    for neuron in (lambda n: LIF(np.full(n, decay, F), np.ones(n, F)),
                   lambda n: CubaLIF(np.full(n, 0.5, F), np.full(n, decay, F), np.ones(n, F))):  # fmt: skip
        _, differ, spikes = both(network(neuron, weights, 100), (rng.random((100, 8, 128)) < 0.2).astype(np.uint8))
        assert spikes > 1000
        assert differ <= allowed * spikes


@given(st.integers(0, 2**32 - 1))
def test_units(seed):
    rng = np.random.default_rng(seed)
    unit = np.exp2(rng.integers(-9, 3, 6)) if rng.random() < 0.5 else rng.uniform(1e-3, 10, 6)
    whole = rng.integers(-7, 8, (6, 9))
    real = [sparse.csr_matrix(whole[:, :4] * unit[:, None]), sparse.csr_matrix(whole[:, 4:8] * unit[:, None])]
    found = scales.units(real, whole[:, 8] * unit)
    times = np.abs(whole * (unit / found)[:, None])
    assert np.allclose(times, np.rint(times), atol=1e-5)
    assert np.isfinite(found).all()
    messy = scales.units([sparse.csr_matrix(rng.normal(0, 1, (6, 9)))], np.zeros(6))
    assert np.isnan(messy).all()


def test_a_bias_register_acts_for_as_many_steps_as_in_the_graph():
    """Inputs take a step of their own: the membranes stand still in that step (this was most of the rounding)."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.3, (30, 20)), rng.normal(0, 0.4, (10, 30))]
    bias = [rng.normal(0.1, 0.1, 30).astype(F), rng.normal(0.1, 0.1, 10).astype(F)]
    for refractory in (0, 2):
        for decay in (0.9, 0.0, 1.0):
            neuron = lambda n: LIF(np.full(n, decay, F), np.full(n, 0.5, F), "zero", refractory)  # noqa: B023, E731
            graph = network(neuron, weights, 60, bias)
            made, differ, spikes = both(graph, (rng.random((60, 8, 20)) < 0.3).astype(np.uint8))
            assert all(p.neuron.refrac_init.tolist() == [1] * p.n for p in made.graph.populations)
            assert all(np.any(p.neuron.i_offset) for p in made.graph.populations)
            assert spikes > 500
            assert differ <= 0.002 * spikes


def test_an_integrating_read_out_is_exact():
    rng = np.random.default_rng(0)
    weights = [rng.integers(-1, 2, (10, 50))]
    graph = network(lambda n: LI(np.ones(n, F)), weights, 40, rule="last")
    x = (rng.random((40, 4, 50)) < 0.3).astype(np.uint8)
    made = quantize(graph)
    real, chip = run(graph, {"in": x}), run(made.graph, {"in": x})
    assert np.array_equal(real.v["p0"][-1], chip.v["p0"][-1])
    assert made.findings == []
