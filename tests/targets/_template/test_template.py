"""The toy chip: arithmetic in all forms, reference vectors through the whole road, findings with their remedies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch

from snnkit._dialect import instantiate
from snnkit.errors import NirError, ReplayFormatError, UsageError
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF
from snnkit.graph.synapses import Dense, IntegerFormat
from snnkit.targets import register, registry, unregister
from snnkit.targets._template import TARGET, arithmetic, lower, replay, spec
from snnkit.targets._template.neuron import ToyNeuron, ToyRule
from snnkit.targets._template.quantize import decay_of, leak_register
from snnkit.validation.pipeline import check_graph, chip_timeline

from .vector_files import case, neuron_step, write


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    register(TARGET)
    yield
    unregister(TARGET.name)


# ---------------------------------------------------------------------------------------------------------- arithmetic
def edges() -> list[tuple[int, ...]]:
    rng = np.random.default_rng(0)
    v = [spec.POTENTIAL_MIN, spec.POTENTIAL_MAX, -1, 0, 1, *rng.integers(-(2**23), 2**23, 60).tolist()]
    q = [-(2**22), 2**22, 0, 1, -1]
    return [
        (int(rng.choice(v)), int(rng.choice(q)), k, int(threshold), reset)
        for k in range(spec.LEAK_NONE + 1)
        for threshold in (spec.THRESHOLD_MIN, 100, spec.THRESHOLD_MAX)
        for reset in (spec.RESET_ZERO, spec.RESET_SUBTRACT)
        for _ in range(12)
    ]


def test_arithmetic_is_the_same_in_every_form_and_as_the_plain_rule() -> None:
    rows = edges()
    want = [neuron_step(*row) for row in rows]
    columns = [np.array(c) for c in zip(*rows)]
    plain = instantiate(arithmetic, where=arithmetic.where)
    assert [(v, int(s)) for v, s in (plain.step(*row) for row in rows)] == want
    compiled = instantiate(arithmetic, where=numba.njit(arithmetic.where), compiler=numba.njit)
    assert [(v, int(s)) for v, s in (compiled.step(*row) for row in rows)] == want
    for where, arrays in ((np.where, columns), (torch.where, [torch.from_numpy(c) for c in columns])):
        v, s = instantiate(arithmetic, where=where).step(*arrays)
        assert list(zip(v.tolist(), (int(x) for x in s))) == want
    rule = ToyRule(ToyNeuron(*(c.astype(np.int32) for c in columns[2:])), 1, len(rows))
    rule.v = columns[0][None].copy()
    fired = rule.step(columns[1][None], None)
    assert list(zip(rule.v[0].tolist(), fired[0].astype(int).tolist())) == want


def test_decays_and_registers() -> None:
    known = np.arange(spec.LEAK_NONE + 1)
    assert leak_register(decay_of(known)).tolist() == known.tolist()
    assert sorted(decay_of(known).tolist()) == sorted(spec.CAPABILITIES.decays)
    assert leak_register(np.array([0.55, 1.0, 0.0])).tolist() == [1, spec.LEAK_NONE, 0]


# -------------------------------------------------------------------------------------------------------------- replay
def test_replay_gives_every_value(tmp_path: Path) -> None:
    files = [write(tmp_path / f"vectors{seed}.txt", case(seed)) for seed in range(12)]
    results = TARGET.replay(files, keep=tmp_path / "kept")
    assert [r.ok for r in results] == [True] * 12, "\n".join(map(str, results))
    assert max(r.cores for r in results) > 2
    assert {v.by for r in results for v in r.verdicts} == {"emulator", "graph"}
    assert len(list((tmp_path / "kept").glob("*.snnx"))) == 12
    assert results[0].to_dict()["ok"]


def test_replay_sees_a_wrong_value_and_a_damaged_image(tmp_path: Path) -> None:
    content = case(3)
    content["expected"]["s"]["b"][-1][0] ^= 1
    (wrong,) = TARGET.replay([write(tmp_path / "a.json", {**content, "remark": "x"})])
    assert not wrong.ok
    assert wrong.unknown == ("remark",)
    assert "s.b (emulator): step" in str(wrong)

    from snnkit import descriptor

    def swap(folder: Path) -> None:
        made = descriptor.load(folder)
        weight = made.arrays["weight"].copy()
        weight[0, [0, 1]] = weight[0, [1, 0]]
        descriptor.write(folder, made.manifest, {**made.arrays, "weight": weight}, {})

    (damaged,) = TARGET.replay([write(tmp_path / "b.json", case(3))], alter=swap)
    assert [v.equal for v in damaged.verdicts if v.by == "graph"] == [True] * 4
    assert not all(v.equal for v in damaged.verdicts if v.by == "emulator")


def test_replay_knows_its_format_by_the_fields(tmp_path: Path) -> None:
    assert TARGET.recognise(write(tmp_path / "any.name", case(0)))
    for name, content in {"a": {"format": "other"}, "b": {**case(0), "populations": [{}]}}.items():
        with pytest.raises(ReplayFormatError):
            replay.load(write(tmp_path / name, content))
    assert not TARGET.recognise(tmp_path / "absent")
    (tmp_path / "c").write_text("{", encoding="utf-8")
    assert not TARGET.recognise(tmp_path / "c")
    content = case(0)
    content["populations"][0]["threshold"][0] = 0
    (refused,) = TARGET.replay([write(tmp_path / "d", content)])
    assert refused.refused
    assert [f.code for f in refused.findings] == ["REGISTER_RANGE"]


# ------------------------------------------------------------------------------------------------------------ findings
def full(value: float, n: int) -> Any:
    return np.full(n, value, np.float32)


def network(n: int = 4, wide: int = 5, **neuron: Any) -> Graph:
    return Graph(
        "net",
        (Input("in", (wide,)),),
        (
            Population("a", (n,), LIF(full(0.5, n), full(1, n), **neuron)),
            Population("b", (3,), LIF(full(0.5, 3), full(1, 3))),
        ),
        (
            Connection("ia", "in", "a", Dense(np.ones((n, wide)))),
            Connection("ab", "a", "b", Dense(np.ones((3, n)))),
        ),
        Readout("b", "count"),
        steps=4,
    )


def codes(graph: Graph, bias: Any = "gated") -> list[str]:
    found = check_graph(graph, TARGET, bias=bias)
    assert all(f.remedy and f.where for f in found)
    return [f.code for f in found]


def test_findings() -> None:
    net = network()
    a, b = net.populations
    skip = Connection("ib", "in", "b", Dense(np.ones((3, 5))))
    assert codes(net) == []
    assert codes(net.with_(inputs=(Input("in", (5,), max_count=3),))) == ["INPUT_NOT_BINARY"]
    assert codes(network(refractory=1)) == ["REFRACTORY_RANGE"]
    assert codes(net.with_(connections=(*net.connections, skip))) == ["DELAY_RANGE"]
    assert codes(net.with_(populations=(a, dataclasses.replace(b, neuron=LI(full(0.5, 3)))))) == ["NEURON"]
    assert codes(net.with_(readout=Readout("b", "last"))) == ["READOUT"]
    assert codes(net.with_(populations=(dataclasses.replace(a, bias=full(1, 4)), b)), "register") == ["BIAS_REGISTER"]
    assert codes(network(wide=spec.AXONS_PER_CORE)) == []
    assert codes(network(wide=spec.AXONS_PER_CORE + 1)) == ["AXONS"]
    assert codes(network(n=spec.NEURONS_PER_CORE * (spec.ROUTES_PER_NEURON + 1))) == ["AXONS"]
    assert codes(network(wide=300, refractory=1)) == ["REFRACTORY_RANGE", "AXONS"]
    bad = Connection("ia", "in", "a", Dense(np.full((4, 5), np.nan)))
    assert codes(net.with_(connections=(bad, net.connections[1]))) == ["WEIGHT_NOT_FINITE"]
    loop = Connection("ba", "b", "a", Dense(np.ones((4, 3))), 1)
    assert codes(net.with_(connections=(*net.connections, loop))) == ["LOOP_TOO_SHORT"]


def test_one_route_too_many() -> None:
    wide = spec.NEURONS_PER_CORE * spec.ROUTES_PER_NEURON
    net = network(n=2)
    n = wide + 1
    many = Population("b", (n,), LIF(full(0, n), full(1, n)))
    to_many = Connection("ab", "a", "b", Dense(np.ones((n, 2))))
    net = net.with_(populations=(net.populations[0], many), connections=(net.connections[0], to_many))
    (finding,) = check_graph(net, TARGET)
    assert (finding.code, finding.needed, finding.available) == ("ROUTES", 33, 32)


def test_integers_beyond_a_register_and_graphs_that_are_not_lowered() -> None:
    late = TARGET.quantize(chip_timeline(network())).graph
    first, *rest = late.connections
    wide = dataclasses.replace(first, synapse=Dense(np.full((4, 5), 200)), format=IntegerFormat(8))
    assert [f.code for f in TARGET.lower(late.with_(connections=(wide, *rest))).findings] == ["WEIGHT_RANGE"]
    assert {f.code for f in TARGET.lower(network()).findings} == {"NEURON", "GRAPH"}
    assert TARGET.lower(late).ok


def test_dyadic_weights_are_kept_exactly() -> None:
    made = TARGET.quantize(chip_timeline(network()))
    assert [row["exact_weights"] for row in made.report] == [True, True]
    neuron = made.graph.populations[0].neuron
    assert isinstance(neuron, ToyNeuron)
    assert neuron.threshold.tolist() == [64] * 4
    assert made.graph.connections[0].synapse.matrix().toarray().tolist() == [[64] * 5] * 4


def test_options_place_elsewhere() -> None:
    late = TARGET.quantize(chip_timeline(network(n=20))).graph
    cores = [c["core"] for c in TARGET.lower(late, lower.LowerOptions(neurons_per_core=7, spread=True)).cores]
    assert cores == [0, 2, 4, 6]


# ------------------------------------------------------------------------------------------------------------ registry
def test_registered_for_the_session_only() -> None:
    assert "toy" in registry.names()
    assert registry.get("toy") is TARGET
    unregister("toy")
    assert "toy" not in registry.names()
    with pytest.raises(UsageError, match="already"):
        register(dataclasses.replace(TARGET, name="loihi"))


def test_every_number_has_a_source_and_the_arithmetic_uses_them() -> None:
    numbers = {n for n in vars(spec) if n[0].isupper() and n.isupper()} - {"SOURCES", "UPDATE_ORDER", "OPTIONS"}
    assert numbers == set(spec.SOURCES)
    assert arithmetic.clip(2**30) == spec.POTENTIAL_MAX
    assert arithmetic.clip(-(2**30)) == spec.POTENTIAL_MIN
    assert arithmetic.leak(64, spec.LEAK_NONE) == 0
    assert arithmetic.leak(2**14, spec.LEAK_MAX) == 1


def test_an_estimate_names_its_quality() -> None:
    counters = {"axon_reads": 1000, "neuron_updates": 200, "core_packets": 10}
    answer = TARGET.part("energy").estimate(counters, samples=2)["toy"]
    assert answer["quality"] == "assumed"
    assert answer["low"] == pytest.approx((1000 * 100 + 200 * 10 + 10 * 20) / 2 * 1e-6)


def test_nir_has_no_word_for_its_integers() -> None:
    from snnkit.export import nir

    late = TARGET.quantize(chip_timeline(network())).graph
    with pytest.raises(NirError, match="ToyNeuron"):
        nir.encode(late, dt=1e-3)
