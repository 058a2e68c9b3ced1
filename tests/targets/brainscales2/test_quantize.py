"""From trained numbers to weights and targets; findings for what does not fit; labels that collide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnkit.descriptor import Descriptor
from snnkit.emulator import Emulator
from snnkit.graph.findings import has_errors
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLIF
from snnkit.graph.run import run
from snnkit.graph.synapses import Dense, IntegerFormat
from snnkit.passes import add_lag, gate_bias
from snnkit.targets.brainscales2 import TARGET, spec
from snnkit.targets.brainscales2.collisions import label_collisions
from snnkit.targets.manifest import build_manifest

from .networks import chain, layer

Array = np.ndarray[Any, Any]


def network(neuron: Any, weight: Array, bias: Array | None = None, steps: int = 12, rule: str = "count") -> Graph:
    n = len(weight)
    return Graph(
        "net", (Input("in", (weight.shape[1],)),), (Population("out", (n,), neuron, bias),),
        (Connection("w", "in", "out", Dense(weight)),), Readout("out", rule), steps=steps,  # type: ignore[arg-type]
    )  # fmt: skip


def emulated(graph: Graph) -> Emulator:
    made = TARGET.quantize(graph)
    lowered = TARGET.lower(made.graph)
    assert lowered.ok, [str(f) for f in lowered.findings]
    return Emulator(Descriptor(build_manifest(TARGET, made.graph, lowered), lowered.arrays))


def full(n: int, value: float) -> Array:
    return np.full(n, value, np.float32)


def test_below_the_threshold_the_membrane_is_that_of_the_model() -> None:
    """At the end of every step, for a CubaLIF with weights that 6 bits hold: read by an ADC of many bits, the graph."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-63, 64, (6, 10)) / 63 * 0.2
    weight[0, 0] = 0.2
    neuron = CubaLIF(full(6, 0.7), full(6, 0.9), full(6, 50.0))
    graph = add_lag(network(neuron, weight))
    x = {"in": (rng.random((12, 3, 10)) < 0.4).astype(np.uint8)}
    real = run(graph, x, record=("v",)).v["out"]
    made = TARGET.quantize(graph)
    codes = run(made.graph, x, record=("v",)).v["out"]
    unit = (spec.THRESHOLD_CODE - spec.LEAK_CODE) / 50.0
    assert np.abs(real).max() * unit > 3
    np.testing.assert_allclose(codes, spec.LEAK_CODE + real * unit, atol=0.5 + 1e-3)
    assert made.report[0]["connections"]["w"]["zeroed"] == 0
    assert made.report[0]["connections"]["w"]["rms_error_of_rms"] < 1e-6


def test_a_bias_of_an_lif_is_its_leak_potential() -> None:
    """No line is needed, and the membrane is that of the model, from v = 0 on."""
    bias = np.array([0.05, -0.02, 0.0], np.float32)
    for late in (gate_bias(add_lag(network(LIF(full(3, 0.9), full(3, 1.0)), np.zeros((3, 2)), bias))),
                 add_lag(network(LIF(full(3, 0.9), full(3, 1.0)), np.zeros((3, 2)), bias))):  # fmt: skip
        made = TARGET.quantize(late)
        assert [i.name for i in made.graph.inputs] == ["in"]
        codes = run(made.graph, {"in": np.zeros((12, 1, 2), np.uint8)}, record=("v",)).v["out"][:, 0]
        steps = np.arange(1, 13)[:, None]
        expected = bias * (1 - 0.9**steps) / (1 - 0.9) * (spec.THRESHOLD_CODE - spec.LEAK_CODE) + spec.LEAK_CODE
        np.testing.assert_allclose(codes, expected, atol=0.51)


def test_a_bias_that_no_leak_potential_gives_stays_a_line() -> None:
    bias = np.array([0.9, 0.0], np.float32)
    late = gate_bias(add_lag(network(LIF(full(2, 0.9), full(2, 1.0)), np.eye(2), bias)))
    made = TARGET.quantize(late)
    assert [i.gate_from for i in made.graph.inputs] == [None, 0]
    current = gate_bias(add_lag(network(CubaLIF(full(2, 0.5), full(2, 0.9), full(2, 1.0)), np.eye(2), 0.1 * bias)))
    assert len(TARGET.quantize(current).graph.inputs) == 2


def test_clipping_and_rounding_are_counted() -> None:
    rng = np.random.default_rng(1)
    weight = rng.normal(0, 0.02, (20, 30))
    weight[0, 0] = 0.3
    made = TARGET.quantize(add_lag(network(LIF(full(20, 0.8), full(20, 1.0)), weight)))
    row = made.report[0]["connections"]["w"]
    used = made.graph.connections[0].synapse.matrix().toarray()
    scale = made.report[0]["scale"]
    assert row["weights"] == 600
    assert row["zeroed"] == int(np.sum((used == 0) & (weight != 0)))
    assert row["clipped"] == int(np.sum(np.abs(np.rint(weight * scale)) > 63))
    assert np.abs(used).max() == 63
    assert made.report[0]["missing_synaptic_decay"] == pytest.approx(np.exp(-2), abs=1e-6)


def test_time_constants_that_cannot_be_calibrated_are_noted() -> None:
    for decay in (0.0, 0.05, 1.0):
        made = TARGET.quantize(add_lag(network(LIF(full(2, decay), full(2, 1.0)), np.eye(2) / 2)))
        (note,) = made.findings
        assert (note.code, note.severity) == ("TIME_CONSTANT", "note")
        limits = spec.TAU_MEM_PS
        assert made.graph.populations[0].neuron.tau_mem.tolist() == [limits[1] if decay == 1 else limits[0]] * 2  # type: ignore[union-attr]


def test_a_read_out_uses_the_trusted_codes() -> None:
    rng = np.random.default_rng(2)
    weight = rng.normal(0, 0.3, (10, 40))
    graph = add_lag(network(LI(full(10, 0.95)), weight, steps=20, rule="last"))
    x = {"in": (rng.random((20, 40, 40)) < 0.2).astype(np.uint8)}
    emu = emulated(graph)
    result = emu.run(x, probes=("v",))
    v = result.v["out"]
    assert v.max() - v.min() > 60
    outside = (v < spec.CODE_TRUSTED_LOW) | (v > spec.CODE_TRUSTED_HIGH)
    assert outside.mean() < 1e-3
    real = run(graph, x)
    assert result.answer is not None
    assert (result.answer == real.answer()).mean() > 0.8
    best = np.sort(real.scores(), 1)
    clear = (best[:, -1] - best[:, -2]) > 0.1 * (best[:, -1] - best[:, 0])
    assert clear.sum() > 10
    assert (result.answer == real.answer())[clear].all()


def test_refractory_steps_are_counted() -> None:
    for steps in (0, 1, 5, 200):
        made = TARGET.quantize(add_lag(network(LIF(full(1, 0.9), full(1, 1.0), refractory=steps), np.eye(1) / 2)))
        hold = int(made.graph.populations[0].neuron.t_hold[0])  # type: ignore[union-attr]
        assert abs(hold - (steps + 0.9) * 1e6) < 0.01 * (steps + 1) * 1e6
        neuron = TARGET.lower(made.graph).arrays["neuron"][0]
        counter, scale = neuron[neuron[:, 0] == 1][0, 3:5].tolist()
        assert counter * (spec.REFRACTORY_CLOCK_PS << scale) == hold


# ------------------------------------------------------------------------------------------------------------ findings
def codes(graph: Graph, **options: Any) -> set[str]:
    found = TARGET.check(graph, **options)
    assert all(f.remedy for f in found)
    return {f.code for f in found if f.severity == "error"}


def test_what_does_not_fit_is_said_with_need_limit_and_remedy() -> None:
    lif = LIF(full(2, 0.9), full(2, 1.0))
    good = network(lif, np.eye(2))
    assert codes(add_lag(good)) == set()
    assert codes(add_lag(good), chip=3) == set()
    for chip in (-1, spec.CHIP_SEEDS, "x"):
        assert codes(good, chip=chip) == {"CHIP"}
    assert codes(network(replace(lif, reset="subtract"), np.eye(2))) == {"SUBTRACT_RESET"}
    assert codes(network(replace(lif, refractory=10**5), np.eye(2))) == {"REFRACTORY_RANGE"}
    assert codes(network(lif, np.full((2, 2), np.nan))) == {"WEIGHT_NOT_FINITE"}
    wide = add_lag(network(lif, np.ones((2, 2100))))
    (found,) = [f for f in TARGET.check(wide) if f.severity == "error"]
    assert (found.code, found.needed, found.available) == ("FAN_IN", 2100, 2048)
    assert has_errors(TARGET.lower(TARGET.quantize(wide).graph).findings)


def test_delays_between_neurons_are_refused_and_the_hosts_are_not() -> None:
    lif = LIF(full(2, 0.9), full(2, 1.0))
    chained = Graph(
        "two", (Input("in", (2,)),), (Population("a", (2,), lif), Population("b", (2,), lif)),
        (Connection("w", "in", "a", Dense(np.eye(2)), 3), Connection("v", "a", "b", Dense(np.eye(2)), 2)),
        Readout("b", "count"), steps=5,
    )  # fmt: skip
    assert codes(add_lag(chained)) == {"DELAY_RANGE"}
    fine = chained.with_(connections=(chained.connections[0], replace(chained.connections[1], delay=0)))
    assert codes(add_lag(fine)) == set()
    assert TARGET.quantize(add_lag(fine)).graph.connections[0].delay == 3


def test_a_loop_that_fills_more_than_a_part_is_refused() -> None:
    lif = LIF(full(300, 0.9), full(300, 1.0))
    graph = network(lif, np.ones((300, 2)))
    graph = graph.with_(connections=(*graph.connections, Connection("l", "out", "out", Dense(np.ones((300, 300))), 1)))
    (found,) = [f for f in TARGET.check(add_lag(graph)) if f.severity == "error"]
    assert (found.code, found.needed) == ("LOOP_TOO_LARGE", 302)


def test_weights_and_registers_out_of_range_are_refused() -> None:
    over = layer([[64]])
    assert {f.code for f in TARGET.lower(over).findings} == {"WEIGHT_RANGE"}
    for changes in ({"tau_mem": 0.1}, {"tau_syn_e": 100.0}, {"v_thresh": 300.0}):
        assert {f.code for f in TARGET.lower(layer([[1]], **changes)).findings} == {"REGISTER_RANGE"}
    two = layer([[1], [1]])
    assert "PARTS" in {f.code for f in TARGET.lower(two, TARGET.part("lower").LowerOptions(parts=0)).findings}


def test_colliding_labels_are_found() -> None:
    graph = chain([np.full((20, 10), 9), np.full((5, 20), 9)])
    arrays = dict(TARGET.lower(graph).arrays)
    assert label_collisions(arrays) == []
    host = arrays["host_input"].copy()
    host[1, 4] = host[0, 4]  # two lines, one label
    assert {f.code for f in label_collisions({**arrays, "host_input": host})} == {"LABEL_COLLISION"}
    neuron = arrays["neuron"].copy()
    on = np.flatnonzero(neuron[0, :, 0])
    same = on[on % 256 // 32 == on[0] % 256 // 32]
    neuron[0, same[1], 2] = neuron[0, same[0], 2]  # two neurons of one output
    found = label_collisions({**arrays, "neuron": neuron})
    assert any("circuit" in f.where and f.remedy for f in found)
    driver = arrays["driver"].copy()
    driver[0, :, :, 3] = 0  # drivers that take every event of their bus
    found = label_collisions({**arrays, "driver": driver})
    assert any("both act on the synapse" in f.what for f in found)


def test_integer_formats_are_those_of_six_bits_and_a_sign() -> None:
    made = TARGET.quantize(add_lag(network(LIF(full(2, 0.9), full(2, 1.0)), np.eye(2))))
    assert made.graph.connections[0].format == IntegerFormat(7)
