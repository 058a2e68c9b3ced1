"""Pair STDP on several cores: the emulator against the plain rule of the graph; findings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.graph import (
    Connection,
    Graph,
    Input,
    Population,
    Sparse,
    SpinnakerNeuron,
    SpinnakerPair,
    SpinnakerWeightFormat,
)
from snnkit.graph.run import run
from snnkit.targets.spinnaker import rules
from snnkit.targets.spinnaker.lower import LowerOptions, lower
from tests.targets.spinnaker import vector_files
from tests.targets.spinnaker.test_quantize import emulate

ONE = 1 << 15


def pair(rng, multiplicative) -> SpinnakerPair:
    plus, minus = (tuple(vector_files.table(float(rng.uniform(3, 25)))) for _ in "+-")
    limits = tuple((0, int(rng.integers(1, 30)) * ONE, int(rng.integers(ONE)), int(rng.integers(ONE))) for _ in "ei")
    return SpinnakerPair(plus, minus, limits, multiplicative, bool(rng.integers(2)))  # type: ignore[arg-type]


def neuron(rng, n) -> SpinnakerNeuron:
    def s(low, high):
        return rng.integers(int(low * ONE), int(high * ONE), n).astype(np.int32)

    return SpinnakerNeuron(
        "exp", v_init=s(-70, -60), v_rest=s(-66, -65), v_reset=s(-70, -66), v_thresh=s(-60, -55), c_m=s(0.3, 1),
        tau_m=s(5, 20), i_offset=s(0, 1.5), tau_refrac=s(0, 3), tau_syn_e=s(1, 6), tau_syn_i=s(1, 6),
        ts=np.full(n, ONE, np.int32), refrac_init=np.zeros(n, np.int32), shift=(4, 5), delay_bits=3,
    )  # fmt: skip


def network(seed: int, multiplicative: bool) -> Graph:
    """Inputs, two populations, loops; some connections learn and some do not."""
    rng = np.random.default_rng(seed)
    sizes = {"in": int(rng.integers(2, 8)), "a": int(rng.integers(2, 9)), "b": int(rng.integers(1, 6))}
    by_dst = {name: pair(rng, multiplicative) for name in "ab"}
    connections = []
    for k, (src, dst) in enumerate([("in", "a"), ("a", "b"), ("in", "b"), ("b", "b"), ("b", "a"), ("in", "a")]):
        learns = rng.random() < 0.6 or k == 0
        shape = (sizes[dst], sizes[src])
        m = sp.csr_matrix(rng.integers(1, 9000, shape) * (rng.random(shape) < 0.6)).astype(np.int32)
        form = SpinnakerWeightFormat(int(rng.random() < 0.3), by_dst[dst] if learns else None)
        connections.append(Connection(f"c{k}", src, dst, Sparse(m), int(rng.integers(1, 8)), form))
    populations = tuple(Population(p, (sizes[p],), neuron(rng, sizes[p]), lag=1) for p in "ab")
    return Graph("learns", (Input("in", (sizes["in"],), max_count=2),), populations, tuple(connections), steps=40,
                 timeline="chip")  # fmt: skip


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([None, 2, 3]))
def test_plastic_rows_on_several_cores(tmp_path_factory, seed, multiplicative, most):
    graph = network(seed, multiplicative)
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (40, 2, graph.inputs[0].n)).astype(np.uint8) * (rng.random((40, 2, 1)) < 0.7)
    trace = run(graph, {"in": x})
    result = emulate(graph, {"in": x}, trace.ticks, tmp_path_factory.mktemp("net"), LowerOptions(neurons_per_core=most))
    for p in "ab":
        assert np.array_equal(result.spikes[p], trace.spikes[p])
        assert np.array_equal(result.u[p], trace.u[p])
        assert np.array_equal(result.v[p], trace.v[p])


def test_learning_changes_what_a_network_does():
    changed = spikes = 0
    for seed in range(8):
        graph = network(seed, False)
        fixed = graph.with_(
            connections=tuple(replace(c, format=SpinnakerWeightFormat(c.format.receptor)) for c in graph.connections)
        )
        x = (np.random.default_rng(seed).random((40, 2, graph.inputs[0].n)) < 0.5).astype(np.uint8)
        one, two = run(graph, {"in": x}), run(fixed, {"in": x})
        spikes += int(one.spikes["a"].sum())
        changed += not np.array_equal(one.u["a"], two.u["a"])
    assert spikes > 100
    assert changed >= 7


@pytest.mark.parametrize("what", ["delta", "rules", "delay", "odd", "wide", "limit", "shift"])
def test_findings(what):
    graph = network(1, False)
    c = graph.connections[0]
    p = c.format.pair
    code = "DELAY_RANGE" if what == "delay" else "PAIR_RULE"
    assert rules.check_integer(graph) == []
    populations, new = graph.populations, c
    if what == "delta":
        populations = (replace(populations[0], neuron=replace(populations[0].neuron, model="delta")), populations[1])
    elif what == "delay":
        new = replace(c, delay=8)
    else:
        change = {
            "rules": {"back_propagation": not p.back_propagation}, "odd": {"plus": p.plus[:-1]},
            "wide": {"plus": (*p.plus[:-2], 70000, 0)}, "shift": {"shifts": (32, 0)},
            "limit": {"limits": ((0, 2**31, 1, 1), p.limits[1])},
        }[what]  # fmt: skip
        new = replace(c, format=SpinnakerWeightFormat(0, replace(p, **change)))
        if what == "rules":
            again = replace(graph.connections[5], name="more", format=SpinnakerWeightFormat(0, p))
            graph = graph.with_(connections=(*graph.connections, again))
    bad = graph.with_(populations=populations, connections=(new, *graph.connections[1:]))
    found = [f for f in lower(bad).findings if f.severity == "error"]
    assert code in {f.code for f in found}
    assert all(f.remedy and f.where for f in found)
    assert lower(bad).arrays == {}


def test_a_bias_register_through_the_whole_road(tmp_path):
    """i_offset: quantise, lower, write, emulate; equal to the plain executor, and near the float graph."""
    from snnkit.graph.neurons import LIF
    from tests.targets.spinnaker.test_scales import F, both
    from tests.targets.spinnaker.test_scales import network as layered

    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.3, (30, 20)), rng.normal(0, 0.4, (10, 30))]
    bias = [rng.normal(0.1, 0.1, 30).astype(F), rng.normal(0.1, 0.1, 10).astype(F)]
    graph = layered(lambda n: LIF(np.full(n, 0.9, F), np.ones(n, F), "zero", 1), weights, 30, bias)
    x = (rng.random((30, 4, 20)) < 0.3).astype(np.uint8)
    made, differ, spikes = both(graph, x)
    assert differ <= 0.002 * spikes
    trace = run(made.graph, {"in": x})
    result = emulate(made.graph, {"in": x}, trace.ticks, tmp_path)
    assert all(np.array_equal(result.v[k], trace.v[k]) for k in ("p0", "p1"))
    assert all(np.array_equal(result.spikes[k], trace.spikes[k]) for k in ("p0", "p1"))
