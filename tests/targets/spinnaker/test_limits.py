"""One too many of everything: a finding with layer, need, limit and remedy; exactly as many fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnkit.graph.model import Graph
from snnkit.graph.neurons import LIF
from snnkit.graph.synapses import Dense
from snnkit.passes import add_lag
from snnkit.targets.spinnaker import budget, rules, spec
from snnkit.targets.spinnaker.lower import LowerOptions, lower
from snnkit.targets.spinnaker.quantize import quantize
from tests.targets.spinnaker.test_rules import F, float_graph


def integer(n: int = 4, **changes) -> Graph:
    return quantize(add_lag(float_graph(n, **changes))).graph


def errors(findings):
    return [f for f in findings if f.severity == "error"]


def refused(graph: Graph, code: str, options: LowerOptions | None = None):
    made = lower(graph, options)
    assert made.arrays == {}
    found = [f for f in errors(made.findings) if f.code == code]
    assert found, [str(f) for f in made.findings]
    assert all(f.where and f.remedy and f.resource for f in found)
    return found[0]


def test_an_unknown_board():
    found = refused(integer(), "BOARD", LowerOptions(board="SpiNN-4"))  # type: ignore[arg-type]
    assert "did you mean" in found.what
    assert "triad" in found.remedy
    assert [f.code for f in errors(rules.check(float_graph(), board="SpiNN5"))] == ["BOARD"]
    assert lower(integer(), LowerOptions(board="triad")).ok


@pytest.mark.parametrize("most", [0, spec.NEURONS_PER_CORE + 1])
def test_neurons_per_core(most):
    found = refused(integer(), "NEURONS", LowerOptions(neurons_per_core=most))
    assert (found.needed, found.available) == (most, 256)
    assert lower(integer(), LowerOptions(neurons_per_core=spec.NEURONS_PER_CORE)).ok


def test_cores():
    """SpiNN-3 has 15 + 3 * 16 cores."""
    assert lower(integer(21), LowerOptions(board="SpiNN-3", neurons_per_core=1)).ok  # 3 x 21
    found = refused(integer(22), "CORES", LowerOptions(board="SpiNN-3", neurons_per_core=1))
    assert (found.needed, found.available) == (66, 63)


def test_delays():
    for delay, fits in ((spec.DELAY_MAX, True), (spec.DELAY_MAX + 1, False)):
        graph = float_graph(1)
        first, second = graph.connections
        made = quantize(add_lag(graph.with_(connections=(replace(first, delay=delay), second))))
        if fits:
            assert lower(made.graph).ok
            continue
        found = refused(made.graph, "DELAY_RANGE")
        found = next(f for f in lower(made.graph).findings if f.where == "1")
        assert (found.where, found.needed, found.available) == ("1", spec.DELAY_MAX + 1, spec.DELAY_MAX)
    long = float_graph(2).with_(
        connections=tuple(replace(c, delay=spec.DELAY_MAX + 1) for c in float_graph(2).connections)
    )
    assert {f.code for f in errors(rules.check(long))} == {"DELAY_RANGE"}


@pytest.mark.parametrize("name", ["SDRAM_BYTES", "ROUTER_ENTRIES"])
def test_bytes_and_entries(monkeypatch, name):
    """The limit is set to what a network needs, and then to one less."""
    graph, options = integer(40), LowerOptions(neurons_per_core=8)
    made = lower(graph, options)
    used = made.resources()
    chips: dict[int, int] = {}
    for core in made.cores:
        chips[core["chip"]] = chips.get(core["chip"], 0) + core["usage"]["sdram_bytes"]
    need = max(chips.values()) if name == "SDRAM_BYTES" else used["total"]["router_entries"]
    assert need > 1
    monkeypatch.setattr(spec, name, need)
    assert lower(graph, options).ok
    monkeypatch.setattr(spec, name, need - 1)
    found = refused(graph, "SDRAM" if name == "SDRAM_BYTES" else "ROUTER", options)
    assert (found.needed, found.available) == (need, need - 1)
    assert found.where.startswith("chip")


def test_data_memory_and_ring_slots():
    """A core that a plan would not make: the budget names its layer."""
    network = lower(integer(256)).network
    core = next(c for c in network.cores if c.layer == "a")
    core.delay_bits = 4
    assert budget.over_budget(network) == []
    core.delay_bits = 5
    assert [f.code for f in budget.over_budget(network)] == ["DTCM_BYTES"]
    core.delay_bits = 6
    found = {f.code: f for f in budget.over_budget(network)}
    assert set(found) == {"RING_SLOTS", "DTCM_BYTES"}
    assert (found["RING_SLOTS"].where, found["RING_SLOTS"].needed) == ("a", 1 << 15)
    assert found["DTCM_BYTES"].needed > found["DTCM_BYTES"].available == spec.DTCM_BYTES
    assert all(f.severity == "error" and f.remedy for f in found.values())


def test_thresholds_and_weights_out_of_range():
    graph = float_graph()
    a = graph.populations[0]
    low = graph.with_(
        populations=(replace(a, neuron=LIF(a.neuron.decay, a.neuron.threshold * 0)), graph.populations[1])
    )
    found = errors(rules.check(low))
    assert [(f.code, f.where) for f in found] == [("THRESHOLD_RANGE", "a")]
    inf = replace(graph.connections[0], synapse=Dense(np.full((4, 4), np.inf, F)))
    assert [f.code for f in errors(rules.check(graph.with_(connections=(inf, graph.connections[1]))))] == [
        "WEIGHT_NOT_FINITE"
    ]
