"""The plain executor: against the torch layers, against the reference vectors, and its own rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import nn as snn
from snnkit.errors import GraphError, UsageError
from snnkit.graph import (
    LI,
    LIF,
    Connection,
    Conv,
    CubaLI,
    CubaLIF,
    Dense,
    Graph,
    Input,
    LoihiNeuron,
    LoihiWeightFormat,
    Population,
    Readout,
    Sparse,
)
from snnkit.graph.rules import READINGS, LoihiReading
from snnkit.graph.rules.loihi import decay, effective_weight, wrap
from snnkit.graph.run import run
from snnkit.targets.loihi import vectors

GOLDEN = Path(__file__).parents[1] / "golden" / "loihi"
T, B, N = 20, 3, 7


def full(value: float, n: int = N) -> np.ndarray:
    return np.full(n, value, np.float32)


def one_layer(neuron: LIF | CubaLIF | LI | CubaLI, weight: np.ndarray, bias: np.ndarray | None = None) -> Graph:
    """Every neuron has one source of its own, so that x is exact."""
    return Graph(
        "one", (Input("in", (N,), max_count=9),), (Population("p", (N,), neuron, bias),),
        (Connection("c", "in", "p", Dense(np.diag(weight))),), steps=T,
    )  # fmt: skip


@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["lif", "cuba", "li", "cuba li"]),
    reset=st.sampled_from(["zero", "subtract"]),
    refractory=st.integers(0, 3),
)
@settings(max_examples=40)
def test_layers_equal_the_torch_layers(seed: int, kind: str, reset: str, refractory: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0.3, 0.8, N).astype(np.float32)
    d1, d2 = rng.uniform(0, 1, (2, N)).astype(np.float32)
    threshold = rng.uniform(0.3, 1.5, N).astype(np.float32)
    raster = rng.integers(0, 3, (T, B, N)).astype(np.uint8)
    x = torch.from_numpy(raster * weight)
    firing = {
        "threshold": torch.from_numpy(threshold), "reset": reset, "refractory": refractory,
    }  # fmt: skip
    if kind == "lif":
        layer = snn.LIF(decay=torch.from_numpy(d1), **firing)
        neuron = LIF(layer.decay.detach().numpy(), threshold, reset, refractory)
    elif kind == "cuba":
        layer = snn.CubaLIF(decay_syn=torch.from_numpy(d1), decay_mem=torch.from_numpy(d2), **firing)
        neuron = CubaLIF(
            layer.decay_syn.detach().numpy(), layer.decay_mem.detach().numpy(), threshold, reset, refractory
        )
    elif kind == "li":
        layer = snn.LI(decay=torch.from_numpy(d1))
        neuron = LI(layer.decay.detach().numpy())
    else:
        layer = torch.nn.Sequential(snn.LI(decay=torch.from_numpy(d1)), snn.LI(decay=torch.from_numpy(d2)))
        neuron = CubaLI(d1, d2)
    with torch.no_grad():
        want = layer(x).numpy()
    trace = run(one_layer(neuron, weight), {"in": raster})
    assert np.array_equal(trace.array("p", "v" if kind.endswith("li") else "s"), want)


def test_bias_is_added_in_every_step() -> None:
    bias = np.linspace(0.1, 0.7, N, dtype=np.float32)
    trace = run(one_layer(LI(full(1.0)), full(0.0), bias), {"in": np.zeros((T, B, N), np.uint8)})
    want = np.cumsum(np.broadcast_to(bias, (T, N)), 0, dtype=np.float32)
    assert np.allclose(trace.v["p"][:, 0], want, rtol=1e-6)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.npz")), ids=lambda p: p.stem)
def test_reference_vectors(path: Path) -> None:
    case = vectors.load(path)
    trace = run(case.graph, case.inputs, ticks=case.steps)
    for p in case.graph.populations:
        for what in ("s", "u", "v"):
            assert np.array_equal(trace.array(p.name, what)[:, 0], case.expected[f"{what}_{p.name}"]), (p.name, what)
    for c in case.graph.connections:
        assert np.array_equal(effective_weight(c.synapse.weight, c.format).T, case.expected[f"Weff{c.name[1:]}"])


def test_there_are_twelve_reference_files() -> None:
    assert len(list(GOLDEN.glob("*.npz"))) == 12


# --------------------------------------------------------------------------------------------------- time and structure
def relay(lag: int, delay: int, timeline: str, gate: int | None = None) -> Graph:
    inputs = [Input("in", (1,))] + ([] if gate is None else [Input("on", (1,), gate_from=gate)])
    a = Population("a", (1,), LIF(full(0.0, 1), full(1.0, 1)))
    b = Population("b", (1,), LIF(full(0.0, 1), full(1.0, 1)), lag=lag)
    connections = [
        Connection("x", "in", "a", Dense(np.ones((1, 1), np.float32))),
        Connection("y", "a", "b", Dense(np.ones((1, 1), np.float32)), delay),
    ]
    if gate is not None:
        connections.append(Connection("g", "on", "b", Dense(np.ones((1, 1), np.float32))))
    return Graph("relay", tuple(inputs), (a, b), tuple(connections), Readout("b", "count"), T, timeline=timeline)


def test_delays_and_lags() -> None:
    raster = np.zeros((T, 1, 1), np.uint8)
    raster[[0, 4, T - 1]] = 1
    for delay in (1, 3):
        trace = run(relay(delay, delay, "chip"), {"in": raster})
        assert trace.ticks == T + delay
        assert np.array_equal(trace.aligned("a"), raster)
        assert np.array_equal(trace.aligned("b"), raster)
        assert trace.scores().tolist() == [[3]]
    trace = run(relay(0, 0, "model"), {"in": raster})
    assert trace.ticks == T
    assert np.array_equal(trace.spikes["b"], raster)


def test_gate_is_on_for_the_steps_of_the_sample() -> None:
    trace = run(relay(2, 2, "chip", gate=2), {"in": np.zeros((T, 1, 1), np.uint8)}, ticks=T + 5)
    assert trace.spikes["b"][:, 0, 0].tolist() == [0, 0] + [1] * T + [0] * 3


def test_recurrent_connection_feeds_back_after_its_delay() -> None:
    graph = Graph(
        "ring", (Input("in", (2,)),), (Population("p", (2,), LIF(full(0.0, 2), full(1.0, 2))),),
        (
            Connection("x", "in", "p", Dense(np.eye(2, dtype=np.float32))),
            Connection("r", "p", "p", Dense(np.array([[0, 1], [1, 0]], np.float32)), 2),
        ),
    )  # fmt: skip
    raster = np.zeros((7, 1, 2), np.uint8)
    raster[0, 0, 0] = 1
    assert run(graph, {"in": raster}).spikes["p"][:, 0].T.tolist() == [[1, 0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0, 1]]


def test_loop_without_delay_is_refused() -> None:
    p = Population("p", (1,), LIF(full(0.0, 1), full(1.0, 1)))
    graph = Graph("loop", (Input("in", (1,)),), (p,), (Connection("r", "p", "p", Dense(np.ones((1, 1)))),))
    with pytest.raises(GraphError, match="against the order of evaluation"):
        run(graph, {"in": np.zeros((2, 1, 1), np.uint8)})


def test_conv_and_its_matrices_agree() -> None:
    rng = np.random.default_rng(1)
    conv = Conv(rng.integers(-3, 4, (4, 1, 3, 2)).astype(np.float32), (2, 6, 7), (2, 1), (1, 0, 1, 2), groups=2)
    raster = (rng.random((5, 2, 2, 6, 7)) < 0.5).astype(np.uint8)
    traces = []
    for synapse in (conv, Sparse(conv.matrix()), Dense(conv.matrix().toarray())):
        n = conv.n_dst
        p = Population("p", conv.out_shape, LI(full(0.5, n)))
        graph = Graph("c", (Input("in", (2, 6, 7)),), (p,), (Connection("c", "in", "p", synapse),))
        traces.append(run(graph, {"in": raster}).v["p"])
    x = torch.nn.functional.conv2d(
        torch.nn.functional.pad(torch.from_numpy(raster[0]).float(), (1, 2, 1, 0)), torch.from_numpy(conv.weight),
        stride=(2, 1), groups=2,
    )  # fmt: skip
    assert np.array_equal(traces[0][0], x.reshape(2, -1).numpy())
    assert np.array_equal(traces[0], traces[1])
    assert np.array_equal(traces[0], traces[2])


@pytest.mark.parametrize(("rule", "want"), [("mean", [2.0, 4.0]), ("max", [1.0, 3.0]), ("last", [1.0, 0.0])])
def test_readouts_of_v(rule: str, want: list[float]) -> None:
    graph = Graph(
        "r", (Input("in", (2,), max_count=3),), (Population("p", (2,), LI(full(0.0, 2))),),
        (Connection("c", "in", "p", Dense(np.eye(2, dtype=np.float32))),), Readout("p", rule),
    )  # fmt: skip
    trace = run(graph, {"in": np.array([[[1, 1]], [[0, 3]], [[1, 0]]], np.uint8)}, record=())
    assert trace.scores().tolist() == [want]
    assert trace.answer().tolist() == [int(want[1] > want[0])]


def test_first_to_spike() -> None:
    graph = Graph(
        "r", (Input("in", (3,)),), (Population("p", (3,), LIF(full(0.0, 3), full(1.0, 3))),),
        (Connection("c", "in", "p", Dense(np.eye(3, dtype=np.float32))),), Readout("p", "first"),
    )  # fmt: skip
    trace = run(graph, {"in": np.array([[[0, 0, 0]], [[0, 1, 0]], [[1, 1, 0]], [[1, 0, 0]]], np.uint8)}, record=())
    assert trace.scores().tolist() == [[2, 3, 0]]
    assert trace.answer().tolist() == [1]


def test_ties_go_to_the_lowest_class() -> None:
    graph = one_layer(LIF(full(0.0), full(1.0)), full(1.0)).with_(readout=Readout("p", "count"))
    assert run(graph, {"in": np.ones((T, B, N), np.uint8)}).answer().tolist() == [0] * B


def test_wrong_inputs_are_refused() -> None:
    graph = one_layer(LIF(full(0.0), full(1.0)), full(1.0))
    for inputs, message in (
        ({}, "missing"),
        ({"in": np.zeros((T, B, N + 1))}, "shape"),
        ({"in": np.zeros((T, B, N)), "no": np.zeros((T, B, N))}, "no data input"),
    ):
        with pytest.raises(UsageError, match=message):
            run(graph, inputs)
    with pytest.raises(UsageError, match="no v of"):
        run(graph, {"in": np.zeros((T, B, N))}, record=()).array("p", "v")


# ---------------------------------------------------------------------------------------------------------------- Loihi
def test_decay_and_wrap() -> None:
    x = np.array([-5, -1, 0, 1, 5, 4096, -4096])
    assert decay(x, np.int64(1)).tolist() == [-4, 0, 0, 0, 4, 4095, -4095]
    assert decay(x, np.int64(4096)).tolist() == [0] * 7
    assert wrap(np.array([2**21, -(2**21) - 1, 2**21 - 1]), 22).tolist() == [-(2**21), 2**21 - 1, 2**21 - 1]


@pytest.mark.parametrize(
    ("mantissa", "fmt", "reading", "want"),
    [
        (-3, (0, 1, 8), "reference", -4 * 64),
        (-3, (0, 1, 8), "brian2loihi", -2 * 64),
        (-6, (-2, 1, 8), "reference", -2 * 64),
        (-6, (-2, 1, 8), "brian2loihi_utils", -1 * 64),
        (-256, (7, 1, 8), "reference", -(2**21 - 2**6)),
        (-256, (7, 1, 8), "lava", -(2**21)),
        (-256, (0, 3, 8), "reference", -255 * 64),
        (-256, (0, 3, 8), "brian2loihi", -256 * 64),
        (255, (0, 1, 8), "reference", 254 * 64),
        (255, (0, 2, 3), "reference", 224 * 64),
        (-255, (0, 3, 3), "reference", -224 * 64),
        (255, (-8, 2, 8), "reference", 0),
    ],
)
def test_disputed_weights(mantissa: int, fmt: tuple[int, int, int], reading: str, want: int) -> None:
    got = effective_weight(np.array([mantissa]), LoihiWeightFormat(*fmt), READINGS[reading])
    assert got.tolist() == [want]


def loihi(n: int = 1, **registers: int) -> LoihiNeuron:
    values = {"du": 4095, "dv": 0, "vth": 131071, "bias_mant": 0, "bias_exp": 0, "refract": 1} | registers
    return LoihiNeuron(**{k: np.full(n, v, np.int32) for k, v in values.items()})


def drive(mantissas: list[int], fmt: LoihiWeightFormat, reading: LoihiReading) -> tuple[int, int]:
    """(u, v) after one step in which all inputs fire."""
    graph = Graph(
        "d", (Input("in", (len(mantissas),)),), (Population("p", (1,), loihi()),),
        (Connection("c", "in", "p", Dense(np.array([mantissas], np.int32)), 0, fmt),), timeline="chip",
    )  # fmt: skip
    trace = run(graph, {"in": np.ones((1, 1, len(mantissas)), np.uint8)}, reading=reading)
    return int(trace.u["p"][0, 0, 0]), int(trace.v["p"][0, 0, 0])


def test_floor_of_each_weight_or_of_the_sum() -> None:
    fmt = LoihiWeightFormat(-2, 2, 8)
    assert drive([3, 3, 3], fmt, READINGS["reference"])[0] == 0
    assert drive([3, 3, 3], fmt, READINGS["lava"])[0] == 2 * 64


def test_overflow_of_the_input_and_of_the_current() -> None:
    fmt = LoihiWeightFormat(7, 2, 8)
    weight = 128 * 2**13
    assert drive([128] * 2, fmt, READINGS["reference"])[0] == wrap(np.array(2 * weight), 22)
    assert drive([128] * 2, fmt, READINGS["lava"])[0] == 2 * weight
    assert drive([128] * 8, fmt, READINGS["lava"])[0] == 2**23  # left as it is by this reading
    assert drive([128] * 8, fmt, LoihiReading(wrap_input=False))[0] == -(2**23)
    assert drive([128] * 16, fmt, READINGS["brian2loihi"]) == (2**24, 0)


def test_noise_enters_the_input_or_the_drive() -> None:
    draws = {"p": np.array([[2**21], [5]], np.int32)}
    for at_membrane, u in ((0, -(2**21)), (1, 0)):
        neuron = loihi()
        neuron = LoihiNeuron(**{**vars(neuron), "noise_at_membrane": at_membrane})
        graph = Graph("n", (Input("in", (1,)),), (Population("p", (1,), neuron),), (), timeline="chip")
        trace = run(graph, {"in": np.zeros((3, 1, 1), np.uint8)}, noise=draws)
        assert trace.u["p"][0, 0, 0] == u
        assert trace.v["p"][0, 0, 0] == (2**21 if at_membrane else -(2**21))
