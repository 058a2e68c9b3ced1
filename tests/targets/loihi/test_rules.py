"""Rules: every kind of finding, all at once, never an exception."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnkit.graph import (
    LI,
    LIF,
    Chain,
    Connection,
    Conv,
    CubaLIF,
    Dense,
    Graph,
    Input,
    LoihiNeuron,
    LoihiWeightFormat,
    Pool,
    Population,
    Readout,
    Scale,
)
from snnkit.targets.loihi import rules


def f32(value: float, n: int) -> np.ndarray:
    return np.full(n, value, np.float32)


def good() -> Graph:
    """Conv + pool -> LIF -> CubaLIF -> LI, with a recurrent connection, on the model timeline."""
    conv = Conv(np.ones((2, 1, 3, 3), np.float32), (1, 8, 8))
    pool = Pool(conv.out_shape, (2, 2), (2, 2))
    n = pool.n_dst
    return Graph(
        "good", (Input("in", (1, 8, 8)),),
        (
            Population("a", pool.out_shape, LIF(f32(0.5, n), f32(1, n))),
            Population("b", (5,), CubaLIF(f32(0.5, 5), f32(0.9, 5), f32(1, 5), refractory=2)),
            Population("out", (3,), LI(f32(0.9, 3)), bias=f32(0.1, 3)),
        ),
        (
            Connection("in-a", "in", "a", Chain((conv, Scale(f32(0.5, conv.n_dst)), pool))),
            Connection("a-b", "a", "b", Dense(f32(1, 5 * n).reshape(5, n))),
            Connection("b-b", "b", "b", Dense(np.eye(5, dtype=np.float32)), 1),
            Connection("b-out", "b", "out", Dense(f32(1, 15).reshape(3, 5))),
        ),
        Readout("out", "mean"), 10,
    )  # fmt: skip


def codes(graph: Graph, **options: Any) -> list[str]:
    findings = rules.check(graph, **options)
    assert all(f.what and f.where for f in findings)
    assert all(f.remedy for f in findings if f.severity == "error")
    return [f.code for f in findings]


def changed(name: str, **changes: Any) -> Graph:
    """The good graph with one population's neuron or fields changed."""
    graph = good()
    populations = []
    for p in graph.populations:
        if p.name == name:
            own = {k: v for k, v in changes.items() if hasattr(p, k)}
            p = replace(p, **own, neuron=replace(p.neuron, **{k: v for k, v in changes.items() if k not in own}))
        populations.append(p)
    return graph.with_(populations=tuple(populations))


def rewired(name: str, **changes: Any) -> Graph:
    graph = good()
    return graph.with_(connections=tuple(replace(c, **changes) if c.name == name else c for c in graph.connections))


def test_a_network_that_fits_has_no_findings() -> None:
    assert codes(good()) == []


@pytest.mark.parametrize(
    ("graph", "code"),
    [
        (changed("a", reset="subtract"), "SUBTRACT_RESET"),
        (good().with_(inputs=(Input("in", (1, 8, 8), max_count=4),)), "INPUT_NOT_BINARY"),
        (rewired("a-b", synapse=Dense(f32(np.nan, 90).reshape(5, 18))), "WEIGHT_NOT_FINITE"),
        (changed("out", bias=f32(np.inf, 3)), "NOT_FINITE"),
        (changed("a", threshold=f32(np.nan, 18)), "NOT_FINITE"),
        (changed("a", threshold=f32(0, 18)), "THRESHOLD_RANGE"),
        (changed("a", decay=f32(1.5, 18)), "DECAY_RANGE"),
        (changed("b", decay_syn=f32(-0.1, 5)), "DECAY_RANGE"),
        (changed("b", refractory=63), "REFRACTORY_RANGE"),
        (rewired("b-b", delay=70), "DELAY_RANGE"),
        (rewired("b-b", delay=0), "LOOP_TOO_SHORT"),
        (good().with_(readout=Readout("out", "count")), "READOUT"),
        (good().with_(readout=Readout("b", "mean")), "READOUT"),
        (good().with_(readout=None), "LI_NOT_READOUT"),
        (rewired("b-b", src="out", synapse=Dense(np.ones((5, 3), np.float32))), "LI_NOT_READOUT"),
        (rewired("a-b", synapse=Dense(np.ones((5, 17), np.float32))), "GRAPH"),
    ],
)  # fmt: skip
def test_each_rule(graph: Graph, code: str) -> None:
    assert code in codes(graph)


def test_everything_is_told_at_once() -> None:
    graph = changed("a", reset="subtract", decay=f32(2, 18))
    graph = graph.with_(
        inputs=(Input("in", (1, 8, 8), max_count=3),),
        connections=tuple(replace(c, delay=70) if c.name == "b-b" else c for c in graph.connections),
    )
    found = codes(graph)
    assert set(found) == {"SUBTRACT_RESET", "DECAY_RANGE", "INPUT_NOT_BINARY", "DELAY_RANGE"}


def test_a_loop_names_its_way_and_the_delay_that_works() -> None:
    graph = good()
    back = Connection("b-a", "b", "a", Dense(np.ones((18, 5), np.float32)), 1)
    finding = next(
        f for f in rules.check(graph.with_(connections=(*graph.connections, back))) if f.code == "LOOP_TOO_SHORT"
    )
    assert {"a", "b"} <= set(finding.where.split(" -> "))
    assert (finding.needed, finding.available) == (2, 1)
    assert "at least 2," in finding.remedy
    fixed = Connection("b-a", "b", "a", back.synapse, 2)
    assert codes(graph.with_(connections=(*graph.connections, fixed))) == []


def test_a_layer_that_is_too_wide_and_cannot_be_split() -> None:
    wide = Graph(
        "wide", (Input("in", (5000,)),), (Population("p", (3,), LIF(f32(0.5, 3), f32(1, 3))),),
        (Connection("c", "in", "p", Dense(np.ones((3, 5000), np.float32))),), Readout("p", "count"),
    )  # fmt: skip
    (finding,) = rules.check(wide)
    assert (finding.code, finding.where, finding.needed, finding.available) == ("AXONS", "p[0]", 5000, 4096)
    conv = Conv(np.ones((2, 2, 3, 3), np.float32), (2, 60, 60))
    shared = Graph(
        "shared", (Input("in", (2, 60, 60)),),
        (Population("p", conv.out_shape, LIF(f32(0.5, conv.n_dst), f32(1, conv.n_dst))),),
        (Connection("c", "in", "p", conv),), Readout("p", "count"),
    )  # fmt: skip
    assert codes(shared) == []


def test_board_size() -> None:
    graph = Graph(
        "many", (Input("in", (1,)),), (Population("p", (3000,), LIF(f32(0.5, 3000), f32(1, 3000))),),
        (Connection("c", "in", "p", Dense(np.ones((3000, 1), np.float32))),), Readout("p", "count"),
    )  # fmt: skip
    assert codes(graph, max_chips=1) == []
    assert codes(graph, max_chips=0) == ["CHIPS"]
    assert codes(graph, max_chips=0, resources=False) == []


# ------------------------------------------------------------------------------------------------------ integer graphs
def integer(weight: list[int] | None = None, fmt: LoihiWeightFormat | None = None, **registers: Any) -> Graph:
    settings = {k: registers.pop(k) for k in ("ds_offset", "vmin", "vmax", "noise_at_membrane") if k in registers}
    values = {"du": 4095, "dv": 0, "vth": 100, "bias_mant": 0, "bias_exp": 0, "refract": 1} | registers
    neuron = LoihiNeuron(**{k: np.full(2, v, np.int32) for k, v in values.items()}, **settings)
    w = np.array([weight or [2, -2]] * 2, np.int32)
    return Graph(
        "i", (Input("in", (2,)),), (Population("p", (2,), neuron),),
        (Connection("c", "in", "p", Dense(w), 0, fmt or LoihiWeightFormat()),), timeline="chip",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("graph", "code"),
    [
        (integer(du=4096), "REGISTER_RANGE"),
        (integer(dv=-1), "REGISTER_RANGE"),
        (integer(vth=131072), "REGISTER_RANGE"),
        (integer(bias_mant=4096), "REGISTER_RANGE"),
        (integer(bias_exp=8), "REGISTER_RANGE"),
        (integer(refract=0), "REGISTER_RANGE"),
        (integer(refract=64), "REGISTER_RANGE"),
        (integer(ds_offset=2), "REGISTER_RANGE"),
        (integer(vmin=-5), "REGISTER_RANGE"),
        (integer(vmax=1000), "REGISTER_RANGE"),
        (integer(vth=0), "DISPUTED"),
        (integer(bias_mant=-4096), "DISPUTED"),
        (integer([300, 2]), "WEIGHT_RANGE"),
        (integer([-2, 2], LoihiWeightFormat(0, 2)), "WEIGHT_RANGE"),
        (integer([-2, 2], LoihiWeightFormat(0, 3)), "WEIGHT_RANGE"),
        (integer(fmt=LoihiWeightFormat(8)), "WEIGHT_FORMAT"),
        (integer(fmt=LoihiWeightFormat(0, 4)), "WEIGHT_FORMAT"),
        (integer(fmt=LoihiWeightFormat(0, 1, 9)), "WEIGHT_FORMAT"),
        (integer([3, 2]), "DISPUTED"),
        (integer([2, 2], LoihiWeightFormat(-2)), "DISPUTED"),
        (integer([-256, 2], LoihiWeightFormat(7)), "DISPUTED"),
        (integer([-256, 0], LoihiWeightFormat(0, 3)), "DISPUTED"),
        (integer([0, 0], LoihiWeightFormat(-8)), "DISPUTED"),
        (integer([4, 4], LoihiWeightFormat(0, 1, 7)), "DISPUTED"),
        (integer().with_(timeline="model"), "GRAPH"),
    ],
)
def test_each_integer_rule(graph: Graph, code: str) -> None:
    findings = rules.check_integer(graph)
    assert [f.code for f in findings] == [code]
    assert findings[0].severity == "error"
    lenient = [f.severity for f in rules.check_integer(graph, strict=False)]
    assert lenient == (["note"] if code == "DISPUTED" else ["error"])


def test_integer_networks_that_fit() -> None:
    for graph in (
        integer(),
        integer([-256, 254]),
        integer([255, 0], LoihiWeightFormat(0, 2)),
        integer([-255, 0], LoihiWeightFormat(7, 3)),
        integer([4, -8], LoihiWeightFormat(-2)),
        integer(vmin=0, vmax=511, ds_offset=0),
    ):
        assert rules.check_integer(graph) == []
