"""The Loihi quantiser: exact where weights are dyadic, close elsewhere, and its bounds hold for any binary input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.graph.model import Array, Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLIF
from snnkit.graph.rules.loihi import LoihiReading
from snnkit.graph.run import run
from snnkit.graph.synapses import Conv, Dense
from snnkit.passes import add_lag, gate_bias
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.quantize import QuantizeOptions, quantize
from snnkit.targets.loihi.weights import FINE
from snnkit.targets.quantized import summary

T = 12
UNWRAPPED = LoihiReading(wrap_input=False, wrap_current="none", wrap_drive=False)


def full(n: int, value: float) -> Array:
    return np.full(n, value, np.float32)


def network(rng: np.random.Generator, neuron: str, n: int = 6, dyadic: bool = False, decay: float = 0.8) -> Graph:
    """in(8) -> hidden(n) -> out(3); the last layer is an LI."""

    def weights(*shape: int) -> Array:
        return rng.integers(-20, 21, shape) / 16 if dyadic else rng.normal(0.1, 0.5, shape)

    hidden: Any = LIF(full(n, decay), full(n, 1.0))
    if neuron == "cuba":
        hidden = CubaLIF(full(n, 0.5), full(n, decay), full(n, 1.0), refractory=2)
    bias = weights(n).astype(np.float32)
    populations = (Population("h", (n,), hidden, bias), Population("out", (3,), LI(full(3, decay))))
    connections = (
        Connection("c0", "in", "h", Dense(weights(n, 8))),
        Connection("c1", "h", "out", Dense(weights(3, n))),
    )
    return Graph("net", (Input("in", (8,)),), populations, connections, Readout("out", "last"), steps=T)


def chip(graph: Graph) -> Graph:
    return gate_bias(add_lag(graph))


def raster(rng: np.random.Generator, rate: float, n: int = 8) -> Array:
    return (rng.random((T, 4, n)) < rate).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_dyadic_integrate_and_fire_is_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = chip(network(rng, "lif", dyadic=True, decay=1.0))
    made = quantize(graph)
    assert all(layer["exact_weights"] for layer in made.report)
    x = {"in": raster(rng, 0.3)}
    a, b = run(graph, x), run(made.graph, x)
    assert a.spikes["h"].any()
    assert np.array_equal(a.spikes["h"], b.spikes["h"])
    scale = made.report[1]["scale_min"]
    assert np.array_equal(a.scores() * scale, b.scores())


@pytest.mark.parametrize("neuron", ["lif", "cuba"])
def test_real_weights_are_close(neuron: str) -> None:
    rng = np.random.default_rng(5)
    graph = chip(network(rng, neuron, n=40))
    made = quantize(graph)
    x = {"in": raster(rng, 0.3)}
    a, b = run(graph, x), run(made.graph, x)
    assert a.spikes["h"].sum() > 100
    assert np.mean(a.spikes["h"] != b.spikes["h"]) < 0.02
    assert np.mean(a.answer() == b.answer()) >= 0.75
    total = summary(made.report)
    assert total["weights"] == 8 * 40 + 40 + 40 * 3
    assert 0 < total["decay_error_max"] < 0.5 / 4096  # 0.8 is no multiple of 1/4096


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from(["lif", "cuba"]), st.floats(0.5, 1.0), st.integers(1, 60))
def test_nothing_wraps_and_the_readout_never_fires(seed: int, neuron: str, decay: float, n: int) -> None:
    """Even when every source fires in every step, the readings with and without wrapping agree."""
    rng = np.random.default_rng(seed)
    graph = chip(network(rng, neuron, n=n, decay=decay))
    made = quantize(graph).graph
    for connection in made.connections:
        mantissa = connection.synapse.matrix().data
        assert connection.format is not None
        assert np.all(mantissa % 2 == 0)
        assert np.abs(mantissa).max(initial=0) <= 254
        assert -1 <= connection.format.exponent <= 7
    for rate in (0.4, 1.1):
        x = {"in": raster(rng, rate)}
        a, b = run(made, x), run(made, x, reading=UNWRAPPED)
        assert not a.spikes["out"].any()
        for name in ("h", "out"):
            assert np.array_equal(a.u[name], b.u[name])
            assert np.array_equal(a.v[name], b.v[name])


def test_channels_share_a_scale_and_use_few_levels() -> None:
    rng = np.random.default_rng(3)
    kernel = rng.normal(0, 1, (12, 2, 3, 3)) * np.geomspace(0.05, 5, 12)[:, None, None, None]
    conv = Conv(kernel, (2, 6, 6))
    n = conv.n_dst
    populations = (
        Population(
            "h", conv.out_shape, LIF(full(n, 0.9), full(n, 1.0)), np.repeat(kernel[:, 0, 0, 0], 16).astype(np.float32)
        ),
    )
    graph = Graph("conv", (Input("in", (2, 6, 6)),), populations, (Connection("c", "in", "h", conv),), steps=T)
    made = quantize(chip(graph))
    report = made.report[0]
    assert report["scale_groups"] == 12
    assert 1 < report["threshold_levels"] <= spec.THRESHOLD_PROFILES_PER_CORE
    assert isinstance(made.graph.connections[0].synapse, Conv)
    # Channels of very different size all keep at least five bits: a single scale would leave the smallest none.
    k = np.abs(made.graph.connections[0].synapse.weight).reshape(12, -1).max(axis=1) // 2
    assert k.min() >= 32
    one = quantize(chip(graph), options=QuantizeOptions(levels=1))
    assert one.report[0]["threshold_levels"] == 1
    x = {"in": raster(rng, 0.3, 72)}
    a, b = run(chip(graph), x), run(made.graph, x)
    assert np.mean(a.spikes["h"] != b.spikes["h"]) < 0.02


def test_a_large_bias_gets_a_coarse_and_a_fine_line() -> None:
    rng = np.random.default_rng(0)
    graph = network(rng, "lif")
    big = rng.normal(0, 8, 6).astype(np.float32)
    first = graph.populations[0]
    graph = chip(graph.with_(populations=(Population("h", (6,), first.neuron, big), graph.populations[1])))
    made = quantize(graph)
    names = [c.name for c in made.graph.connections]
    assert "bias.h" in names
    assert "bias.h" + FINE in names
    made.graph.validate()


def test_bias_register_and_many_decays() -> None:
    rng = np.random.default_rng(0)
    n = 200
    decay = rng.uniform(0.3, 0.99, n).astype(np.float32)
    pop = Population("h", (n,), LIF(decay, full(n, 1.0)), rng.normal(0, 0.2, n).astype(np.float32))
    graph = add_lag(
        Graph(
            "reg", (Input("in", (8,)),), (pop,), (Connection("c", "in", "h", Dense(rng.normal(0, 1, (n, 8)))),), steps=T
        )
    )
    made = quantize(graph)
    neuron = made.graph.populations[0].neuron
    assert np.abs(neuron.bias_mant).max() <= spec.BIAS_MANTISSA_LIMIT  # type: ignore[union-attr]
    assert made.report[0]["profiles"] <= spec.COMPARTMENT_PROFILES_PER_CORE
    assert 0 < made.report[0]["decay_error_max"] < 0.02
    x = {"in": raster(rng, 0.3)}
    assert np.mean(run(graph, x).spikes["h"] != run(made.graph, x).spikes["h"]) < 0.05


def one_layer(
    neuron: Any, weights: Array | None, bias: Array | None = None, *, gated: bool = True, steps: int | None = T
) -> Graph:
    """in -> h, on the chip's timeline; `weights` [n, n_in] or None for a layer that only its bias drives."""
    n = len(neuron.decay)
    n_in = 8 if weights is None else weights.shape[1]
    connections = () if weights is None else (Connection("c", "in", "h", Dense(weights)),)
    readout = Readout("h", "last") if isinstance(neuron, LI) else Readout("h", "count")
    graph = Graph("one", (Input("in", (n_in,)),), (Population("h", (n,), neuron, bias),), connections, readout, steps)
    return gate_bias(add_lag(graph)) if gated else add_lag(graph)


def differing(graph: Graph, rate: float = 0.5) -> tuple[int, int]:
    """(spikes that differ from the float graph, spikes of the float graph)."""
    x = {"in": raster(np.random.default_rng(0), rate, graph.inputs[0].n)}
    a, b = run(graph, x).spikes["h"], run(quantize(graph).graph, x).spikes["h"]
    return int(np.sum(a != b)), int(a.sum())


def test_inhibition_below_the_lower_limit_of_v_is_exact() -> None:
    """The finest scale would let v saturate at -2**23 + 1 and forget part of the inhibition."""
    graph = one_layer(LIF(full(1, 1.0), full(1, 1.0)), np.array([[-65.0, 33.0]]) / 128, steps=80)
    x = np.zeros((80, 1, 2), np.uint8)
    x[:20, 0, 0], x[20:, 0, 1] = 1, 1
    made = quantize(graph)
    assert made.report[0]["exact_weights"]
    a, b = run(graph, {"in": x}), run(made.graph, {"in": x})
    assert a.v["h"].min() < -10
    assert a.spikes["h"].any()
    assert np.array_equal(a.spikes["h"], b.spikes["h"])


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize(
    ("threshold", "bias", "weights"),
    [
        (0.01, [0.003, 0.004, 0.0007], None),
        (0.01, [0.003, 0.004, 0.0007], np.zeros((3, 8))),
        (100.0, [20.0, 30.0, 7.0], np.full((3, 8), 0.01)),
        (100.0, [200.0, -30.0, 7.0], np.full((3, 8), 0.01)),
        (1.0, [0.3, 0.0, 0.11], np.diag([0.0, 1.0, 1.3]) @ np.ones((3, 8)) / 9),
    ],
)
def test_biases_of_any_size(threshold: float, bias: list[float], weights: Array | None, gated: bool) -> None:
    neuron = LIF(full(3, 0.9), full(3, threshold))
    graph = one_layer(neuron, weights, np.array(bias, np.float32), gated=gated)
    wrong, spikes = differing(graph)
    assert spikes > 0
    assert wrong == 0
    assert not quantize(graph).findings


def test_a_bias_register_counts_in_the_bound_of_a_readout() -> None:
    graph = one_layer(LI(full(3, 1.0)), np.ones((3, 8)) / 50, full(3, 300.0), gated=False)
    made = quantize(graph)
    assert made.report[0]["v_bound"] < 64 * spec.VTH_MANTISSA_MAX
    x = {"in": raster(np.random.default_rng(0), 0.5)}
    a, b = run(graph, x), run(made.graph, x)
    assert not b.spikes["h"].any()
    assert np.allclose(a.scores(), b.scores() / made.report[0]["scale_min"], rtol=1e-3)


@pytest.mark.parametrize("size", [1e-8, 1e-3, 1.0, 1e4, 1e6])
def test_the_unit_of_the_membrane_does_not_matter(size: float) -> None:
    weights = np.random.default_rng(3).normal(0.1, 1, (5, 8)) * size
    wrong, spikes = differing(one_layer(LIF(full(5, 0.9), full(5, size)), weights))
    assert spikes > 50
    assert wrong <= 0.05 * spikes


def test_what_no_scale_can_hold_is_a_finding() -> None:
    """Weights far above their thresholds; sums without leak and without end."""
    made = quantize(one_layer(LIF(full(2, 0.9), full(2, 1.0)), np.array([[1.0, 0.5], [9e4, -9e4]])))
    (finding,) = made.findings
    assert (finding.code, finding.where, finding.severity) == ("SCALE", "h[1]", "error")
    assert "threshold of 1" in finding.what
    assert finding.remedy
    made = quantize(one_layer(LI(full(2, 1.0)), np.ones((2, 3)) / 7, steps=None))
    assert [f.code for f in made.findings] == ["RUN_LENGTH"]
    assert not quantize(one_layer(LI(full(2, 0.9)), np.ones((2, 3)) / 7, steps=None)).findings
    assert not quantize(one_layer(LIF(full(2, 1.0), full(2, 1.0)), np.ones((2, 3)) / 7, steps=None)).findings


@pytest.mark.parametrize("weights", [None, np.zeros((4, 8))])
def test_a_layer_that_nothing_drives_is_silent(weights: Array | None) -> None:
    assert differing(one_layer(LIF(full(4, 0.9), full(4, 0.3)), weights), 1.1) == (0, 0)


def test_large_neurons_do_not_cost_the_small_ones_their_precision() -> None:
    """Each neuron has a scale of its own; one that needs a lower one does not pull down the others."""
    weights = np.concatenate([np.full((1, 600), 0.9), np.zeros((3, 600))])
    weights[1:, :8] = np.random.default_rng(1).normal(0, 1, (3, 8))
    made = quantize(one_layer(LIF(full(4, 0.9), full(4, 1.0)), weights))
    k = np.abs(made.graph.connections[0].synapse.weight).max(axis=1) // 2  # type: ignore[union-attr]
    assert k[0] < 60
    assert k[1:].min() >= 50


def test_the_decay_error_is_what_the_registers_stand_for() -> None:
    zero = quantize(one_layer(LIF(full(2, 0.0), full(2, 1.0)), np.ones((2, 8)) / 7)).report[0]
    assert zero["decay_error_max"] == pytest.approx(1 / 4096)  # dv holds at most 4095
    mixed = CubaLIF(np.array([0, 1], np.float32), full(2, 0.5), full(2, 1.0))
    graph = one_layer(LIF(full(2, 0.5), full(2, 1.0)), np.ones((2, 8)) / 7)
    graph = graph.with_(populations=(Population("h", (2,), mixed),))
    assert quantize(graph).report[0]["decay_error_max"] == pytest.approx(1 / 4096)  # ds_offset is shared


def test_refractory_current_goes_on() -> None:
    weights = np.random.default_rng(2).normal(0.2, 0.5, (6, 8))
    neuron = CubaLIF(full(6, 0.7), full(6, 0.9), full(6, 1.0), refractory=3)
    graph = one_layer(LIF(full(6, 0.9), full(6, 1.0)), weights)
    wrong, spikes = differing(graph.with_(populations=(Population("h", (6,), neuron),)))
    assert spikes > 20
    assert wrong <= 2


@pytest.mark.parametrize("shape", [(48,), (3, 4, 4), (6, 8)])
def test_neurons_that_share_weights_share_a_scale_whatever_their_shape(shape: tuple[int, ...]) -> None:
    """A flattened convolution; and one population reached by convolutions of different channel counts."""
    rng = np.random.default_rng(0)
    conv = Conv(rng.normal(0.1, 0.4, (3, 2, 3, 3)), (2, 6, 6))
    wide = Conv(rng.normal(0.1, 0.2, (2, 1, 1, 1)), (1, 4, 6))
    bias = rng.normal(0, 0.3, 48).astype(np.float32)
    for convolutions, groups in (((conv,), 3), ((conv, wide), 1)):
        inputs = tuple(Input(f"in{k}", (c.n_src,)) for k, c in enumerate(convolutions))
        links = tuple(Connection(f"c{k}", f"in{k}", "h", c) for k, c in enumerate(convolutions))
        population = Population("h", shape, LIF(full(48, 0.7), full(48, 1.0)), bias)
        graph = gate_bias(add_lag(Graph("flat", inputs, (population,), links, steps=T)))
        made = quantize(graph)
        assert made.report[0]["scale_groups"] == groups
        x = {i.name: raster(rng, 0.4, i.n) for i in inputs}
        a, b = run(graph, x).spikes["h"], run(made.graph, x).spikes["h"]
        assert a.sum() > 100
        assert np.mean(a != b) < 0.01


def test_a_bias_register_is_no_input_of_a_current() -> None:
    """The register adds to v; the bias of a CubaLIF adds to x and lasts in its current."""
    bias = full(3, 0.25)
    for decay_syn, codes in ((0.5, ["BIAS_REGISTER"]), (0.0, [])):
        neuron = CubaLIF(full(3, decay_syn), full(3, 0.75), full(3, 1.0))
        population = Population("h", (3,), neuron, bias)
        link = Connection("c", "in", "h", Dense(np.ones((3, 8)) / 7))
        graph = add_lag(Graph("g", (Input("in", (8,)),), (population,), (link,), steps=T))
        assert [f.code for f in quantize(graph).findings] == codes
        assert quantize(gate_bias(graph)).findings == []
    assert gate_bias(graph, ["other"]).populations[0].bias is bias
