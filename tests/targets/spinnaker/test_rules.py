"""Findings: every violation at once, each with its need, limit and remedy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, SpinnakerNeuron
from snnkit.graph.synapses import Dense, Sparse, SpinnakerWeightFormat
from snnkit.passes import add_lag
from snnkit.targets.spinnaker import energy, rules, spec
from snnkit.targets.spinnaker.lower import LowerOptions, lower
from snnkit.targets.spinnaker.quantize import quantize

F = np.float32


def float_graph(n: int = 4, **changes) -> Graph:
    a = Population("a", (n,), LIF(np.full(n, 0.5, F), np.ones(n, F)))
    b = Population("b", (n,), LI(np.full(n, 0.5, F)))
    eye = np.eye(n, dtype=F) / 2
    graph = Graph(
        "g", (Input("in", (n,)),), (a, b),
        (Connection("1", "in", "a", Dense(eye)), Connection("2", "a", "b", Dense(eye))), Readout("b", "last"), steps=5,
    )  # fmt: skip
    return graph.with_(**changes)


def codes(findings) -> set[str]:
    return {f.code for f in findings if f.severity == "error"}


def test_a_sound_network_has_no_findings():
    assert rules.check(float_graph()) == []
    assert rules.check_integer(quantize(add_lag(float_graph())).graph) == []


def test_everything_at_once():
    n = 4
    bad = LIF(np.array([0.5, 2, np.nan, -1], F), np.array([1, 0, 1, 1], F), "subtract", 10**6)
    graph = float_graph(
        inputs=(Input("in", (n,), max_count=256),),
        populations=(Population("a", (n,), bad), Population("b", (n,), LI(np.full(n, 0.5, F)))),
        connections=(
            Connection("1", "in", "a", Dense(np.full((n, n), np.inf, F)), 5000),
            Connection("2", "a", "b", Dense(np.eye(n, dtype=F))),
        ),
        readout=Readout("b", "count"),
    )
    assert codes(rules.check(graph)) == {
        "INPUT_COUNT", "DECAY_RANGE", "NOT_FINITE", "THRESHOLD_RANGE", "SUBTRACT_RESET", "REFRACTORY_RANGE",
        "WEIGHT_NOT_FINITE", "DELAY_RANGE", "READOUT",
    }  # fmt: skip


def test_loops_and_read_outs():
    n = 4
    graph = float_graph()
    loop = Connection("3", "a", "a", Dense(np.eye(n, dtype=F)), 0)
    assert "LOOP_TOO_SHORT" in codes(rules.check(graph.with_(connections=(*graph.connections, loop))))
    assert codes(rules.check(graph.with_(readout=None))) == {"LI_NOT_READOUT"}
    assert codes(rules.check(graph.with_(readout=Readout("in", "count")))) >= {"READOUT"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ts": np.zeros(4, np.int32)}, "REGISTER_RANGE"),
        ({"c_m": np.zeros(4, np.int32)}, "REGISTER_RANGE"),
        ({"refrac_init": np.full(4, -1, np.int32)}, "REGISTER_RANGE"),
        ({"v_rest": np.full(4, 2**31, np.int64)}, "REGISTER_RANGE"),
        ({"shift": (16, 0)}, "SHIFT_RANGE"),
        ({"delay_bits": 13}, "DELAY_RANGE"),
        ({"model": "exp", "tau_syn_e": np.full(4, 2**31 - 1, np.int32)}, "SYNAPSE_MEMORY_LOSS"),
    ],
)
def test_registers(change, code):
    graph = quantize(add_lag(float_graph())).graph
    a = graph.populations[0]
    neuron = replace(a.neuron, **{"ts": np.full(4, 1, np.int32), **change} if "tau_syn_e" in change else change)
    found = rules.check_integer(graph.with_(populations=(replace(a, neuron=neuron), graph.populations[1])))
    assert code in codes(found)


def test_words_and_delays():
    graph = quantize(add_lag(float_graph())).graph
    first, second = graph.connections
    for change, code in (
        ({"synapse": Dense(np.full((4, 4), 65536, np.int32))}, "WEIGHT_RANGE"),
        ({"synapse": Dense(np.full((4, 4), -1, np.int32)), "format": SpinnakerWeightFormat(1)}, "WEIGHT_RANGE"),
        ({"synapse": Dense(np.full((4, 4), 0.5, F))}, "WEIGHT_FORMAT"),
        ({"format": None}, "WEIGHT_FORMAT"),
        ({"delay": 0}, "DELAY_RANGE"),
    ):
        found = lower(graph.with_(connections=(replace(first, **change), second)))
        assert code in codes(found.findings)
        assert found.arrays == {}


def test_too_many_cores():
    graph = quantize(add_lag(float_graph(200))).graph
    found = lower(graph, LowerOptions(board="SpiNN-3", neurons_per_core=3))
    finding = next(f for f in found.findings if f.code == "CORES")
    assert (finding.needed, finding.available) == (201, 63)
    assert lower(graph, LowerOptions(neurons_per_core=3)).section.board == "SpiNN-5"


def test_a_row_longer_than_a_block_is_split(tmp_path):
    """More than 256 synapses from one source to one core stand in several blocks."""
    import scipy.sparse as sp

    n = 200
    one = np.full(n, spec.ONE, np.int32)
    neuron = SpinnakerNeuron("delta", *[one - one] * 3, one * 9, one, one, *[one - one] * 2, one, one, one, one - one)
    wide = [
        Connection(f"c{d}", "in", "a", Sparse(sp.csr_matrix(np.full((n, 1), d, np.int32))), d, SpinnakerWeightFormat())
        for d in (1, 2, 3)
    ]
    graph = Graph("wide", (Input("in", (1,)),), (Population("a", (n,), neuron),), tuple(wide), timeline="chip")
    lowered = lower(graph)
    assert lowered.ok
    blocks = lowered.network.cores[1].blocks
    assert [len(b.synapses.row) for b in blocks] == [256, 256, 88]


def test_energy():
    counters = {"synaptic_events": 1000, "neuron_updates": 100, "host_packets": 10, "core_packets": 5, "spikes": 5}
    given = energy.estimate(counters, samples=5)["spinnaker"]
    assert given["parts"]["packets"][0] == pytest.approx(0.003)
    assert given["low"] <= given["high"] == pytest.approx(5.4)
    assert all(f.source and f.quality for f in energy.FIGURES.values())
