"""Counted from geometry, nothing encoded: the cores, what each needs, and what is refused are the mapper's own."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import event, given, settings
from hypothesis import strategies as st

from snnkit.graph.findings import errors
from snnkit.graph.geometry import by_source, fan_in, rows_of
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LIF, BrainScales2Neuron, SpinnakerNeuron
from snnkit.graph.synapses import Conv, Dense, IntegerFormat, LoihiWeightFormat, Sparse, SpinnakerWeightFormat, Synapse
from snnkit.targets import registry
from snnkit.targets.brainscales2 import plan as brainscales2
from snnkit.targets.loihi import plan as loihi
from snnkit.targets.spinnaker import budget, plan, spec
from snnkit.validation.pipeline import chip_timeline
from tests.targets.brainscales2.networks import neuron as analogue
from tests.targets.loihi.networks import neuron as compartments

Array = np.ndarray[Any, Any]
MANTISSAS = np.concatenate([np.arange(2, 256, 2), np.arange(-256, 0, 2)])


# ----------------------------------------------------------------------------------------------------------- synapses
def kernel(rng: np.random.Generator, shape: tuple[int, ...], zeros: bool) -> Array:
    """Mantissas of which no two are equal."""
    chosen = rng.permutation(MANTISSAS)[: int(np.prod(shape))].reshape(shape)
    return np.where(rng.random(shape) < 0.2, 0, chosen) if zeros else chosen


@st.composite
def convolutions(draw: st.DrawFn, in_shape: tuple[int, int, int] | None = None, zeros: bool = False) -> Conv:
    c, h, w = in_shape or (draw(st.integers(1, 4)), draw(st.integers(2, 9)), draw(st.integers(2, 9)))
    groups = draw(st.sampled_from([g for g in range(1, c + 1) if c % g == 0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    for _ in range(20):
        size = (groups * int(rng.integers(1, 4)), c // groups, *(int(k) for k in rng.integers(1, 4, 2)))
        if np.prod(size) > len(MANTISSAS):
            continue
        made = Conv(kernel(rng, size, zeros), (c, h, w), (int(rng.integers(1, 3)), int(rng.integers(1, 4))),
                    tuple(int(k) for k in rng.integers(-1, 3, 4)), (int(rng.integers(1, 3)), 1), groups)  # fmt: skip
        if min(made.out_shape) > 0:
            return made
    return Conv(kernel(rng, (c, 1, 1, 1), zeros), (c, h, w), groups=c)


def matrix(rng: np.random.Generator, n_dst: int, n_src: int, share: float) -> Array:
    return np.where(rng.random((n_dst, n_src)) < share, rng.choice(MANTISSAS, (n_dst, n_src)), 0)


@st.composite
def synapses(draw: st.DrawFn) -> Synapse:
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(["conv", "holes", "dense", "sparse"]))
    if kind in ("conv", "holes"):
        return draw(convolutions(zeros=kind == "holes"))
    weight = matrix(rng, draw(st.integers(1, 9)), draw(st.integers(1, 9)), 0.5)
    return Dense(weight) if kind == "dense" else Sparse(sp.csr_matrix(weight))


@settings(max_examples=150)
@given(synapses(), st.data())
def test_geometry_is_the_matrix(synapse: Synapse, data: st.DataObject) -> None:
    full = synapse.matrix().toarray()
    np.testing.assert_array_equal(fan_in(synapse), np.count_nonzero(full, axis=1))
    some = np.array(data.draw(st.lists(st.integers(0, synapse.n_dst - 1), min_size=1, max_size=12)))
    np.testing.assert_array_equal(rows_of(synapse, some).toarray(), full[some])
    np.testing.assert_array_equal(by_source(synapse, some), np.count_nonzero(full[some], axis=0))


# ------------------------------------------------------------------------------------------------------------ networks
@st.composite
def networks(draw: st.DrawFn, wide: int = 40) -> Graph:
    """Convolutions, a dense or sparse layer with a loop, a skip and a bias line; weights are integers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    first = draw(convolutions())
    convs = [first]
    while len(convs) < 3 and draw(st.booleans()):
        convs.append(draw(convolutions(convs[-1].out_shape)))
    n = draw(st.integers(1, wide))
    weight = matrix(rng, n, convs[-1].n_dst, draw(st.sampled_from([0.3, 1.0])))
    late = rng.integers(1, 9, weight.shape) if draw(st.booleans()) else draw(st.integers(1, 20))
    shapes = [c.out_shape for c in convs] + [(n,)]
    names = [f"h{k}" for k in range(len(shapes))]
    made = [Connection("first", "in", "h0", first, draw(st.integers(0, 2)))]
    made += [Connection(f"c{k}", a, b, c, draw(st.integers(1, 3))) for k, ((a, b), c) in
             enumerate(zip(pairwise(names[:-1]), convs[1:]))]  # fmt: skip
    made.append(Connection("dense", names[-2], names[-1], Dense(weight), late))
    if draw(st.booleans()):
        made.append(Connection("loop", names[-1], names[-1], Dense(matrix(rng, n, n, 0.7)), 2))
    if draw(st.booleans()):
        made.append(Connection("skip", "in", names[-1], Sparse(sp.csr_matrix(matrix(rng, n, first.n_src, 0.2))), 3))
    if draw(st.booleans()):
        made.append(Connection("bias", "on", "h0", Dense(matrix(rng, first.n_dst, 1, 0.8)), 0))
    return Graph(
        "random", (Input("in", first.in_shape), Input("on", (1,), gate_from=0)),
        tuple(Population(name, shape, None) for name, shape in zip(names, shapes)),  # type: ignore[arg-type]
        tuple(made), steps=5, timeline="chip",
    )  # fmt: skip


def for_chip(graph: Graph, neuron: Any, fmt: Any, **delays: Any) -> Graph:
    return graph.with_(
        populations=tuple(replace(p, neuron=neuron(p.n)) for p in graph.populations),
        connections=tuple(replace(c, format=fmt, **delays) for c in graph.connections),
    )


# --------------------------------------------------------------------------------------------------------------- chips
@settings(max_examples=120)
@given(networks(), st.data())
def test_loihi(graph: Graph, data: st.DataObject) -> None:
    """Limits so tight that most networks need several cores, and many do not fit."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    graph = for_chip(graph, lambda n: compartments(rng, n), LoihiWeightFormat())
    tight = {
        "compartments": st.integers(4, 30), "input_axons": st.integers(8, 60), "output_axons": st.integers(20, 120),
        "synapse_bits": st.integers(10, 150).map(lambda k: 64 * k), "synapse_formats": st.integers(2, 6),
        "compartment_profiles": st.integers(2, 4), "threshold_profiles": st.integers(2, 4),
        "delay_slots": st.integers(64, 1024),
    }  # fmt: skip
    chosen = {name: data.draw(s) for name, s in tight.items() if data.draw(st.booleans())}
    share, chips = data.draw(st.booleans()), data.draw(st.sampled_from([None, 0, 1]))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in chosen.items():
            patch.setitem(loihi.LIMITS, name, value)
        whole = loihi.plan(graph, share=share, max_chips=chips)
        counted = loihi.plan(graph, share=share, max_chips=chips, counted=True)
    assert counted.findings == whole.findings
    event(whole.findings[0].code if whole.findings else f"{min(len(whole.sites), 9)} cores")
    if not whole.findings:
        for a, b in zip(whole.layers, counted.layers, strict=True):
            for x, y in zip(a.cores, b.cores, strict=True):
                np.testing.assert_array_equal(x.neurons, y.neurons)
                assert (x.usage, x.formats) == (y.usage, y.formats)


def words(n: int) -> SpinnakerNeuron:
    one = np.full(n, spec.ONE, np.int32)
    return SpinnakerNeuron("delta", *[one] * 12)


@settings(max_examples=120)
@given(networks(), st.data())
def test_spinnaker(graph: Graph, data: st.DataObject) -> None:
    graph = for_chip(graph, words, SpinnakerWeightFormat())
    tight = {
        "NEURONS_PER_CORE": st.integers(2, 30), "SOURCE_LINES": st.integers(4, 40), "ROW_WORDS_MAX": st.integers(2, 12),
        "SDRAM_BYTES": st.integers(500, 40_000), "ROUTER_ENTRIES": st.integers(0, 12),
        "DTCM_BYTES": st.integers(40_000, 60_000), "BOARDS": st.just({"SpiNN-3": (2, 2)}),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, s in tight.items():
            if data.draw(st.booleans()):
                patch.setattr(spec, name, data.draw(s))
        whole, said = plan.place(graph)
        counted, also = plan.place(graph, counted=True)
        assert also == said
        event(said[0].code if said else "fits")
        if whole is None or counted is None:
            assert whole is counted
            return
        for a, b in zip(whole.cores, counted.cores, strict=True):
            assert (a.chip, a.p, a.key) == (b.chip, b.p, b.key)
            assert budget.usage(a) == budget.usage(b)
            if a.binary != spec.SOURCE:
                assert budget.usage(a)["sdram_bytes"] == 4 * sum(len(r) for r in a.regions().values())
        assert {k: v.tolist() for k, v in whole.routes.items()} == {k: v.tolist() for k, v in counted.routes.items()}


@settings(max_examples=40)
@given(networks(), st.data())
def test_brainscales2(graph: Graph, data: st.DataObject) -> None:
    """A layer of too many sources, or a loop that fits no part, where one is drawn; cut into parts where none is."""
    n_src = data.draw(st.sampled_from([0, 300, 2049, 2300]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    if n_src:
        name = data.draw(st.sampled_from([p.name for p in graph.populations]))
        n = graph.node(name).n
        more = Connection("many", "many", name, Dense(matrix(rng, n, n_src, data.draw(st.sampled_from([0.5, 1.0])))))
        graph = graph.with_(inputs=(*graph.inputs, Input("many", (n_src,))), connections=(*graph.connections, more))

    def cell(n: int) -> BrainScales2Neuron:
        return analogue(n)

    graph = for_chip(graph, cell, IntegerFormat(7), delay=0)
    ignore = ("bias",) if data.draw(st.booleans()) else ()
    found = brainscales2.refused(graph, ignore=ignore)
    event(found[0].code if found else "fits")
    assert found == list(brainscales2.plan(graph, ignore=ignore).findings)


def test_a_loop_too_large_is_refused_alike() -> None:
    rng = np.random.default_rng(0)
    graph = Graph(
        "loop", (Input("in", (64,)),), (Population("a", (40,), analogue(40)), Population("b", (300,), analogue(300))),
        (Connection("in-a", "in", "a", Dense(matrix(rng, 40, 64, 1.0)), 0, IntegerFormat(7)),
         Connection("a-b", "a", "b", Dense(matrix(rng, 300, 40, 1.0)), 0, IntegerFormat(7)),
         Connection("b-b", "b", "b", Dense(matrix(rng, 300, 300, 1.0)), 0, IntegerFormat(7))),
        steps=5, timeline="chip",
    )  # fmt: skip
    found = brainscales2.refused(graph)
    assert [f.code for f in found] == ["LOOP_TOO_LARGE"]
    assert found == list(brainscales2.plan(graph).findings)


# --------------------------------------------------------------------------------------------- checks of float graphs
def real(graph: Graph) -> Graph:
    """The network with LIF neurons and the weights as dyadic real numbers, which every quantiser keeps apart from 0."""

    def synapse(c: Connection) -> Synapse:
        s = c.synapse
        if isinstance(s, Sparse):
            return Sparse(sp.csr_matrix(s.weight / 256.0))
        return replace(s, weight=s.weight / 256.0)

    return graph.with_(
        populations=tuple(
            replace(p, neuron=LIF(np.full(p.n, 0.5, np.float32), np.ones(p.n, np.float32))) for p in graph.populations
        ),
        connections=tuple(replace(c, synapse=synapse(c), delay=0 if c.src != c.dst else 1) for c in graph.connections),
        timeline="model", readout=Readout(graph.populations[-1].name, "count"),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["loihi", "spinnaker", "brainscales2"])
@settings(max_examples=25)
@given(networks(), st.data())
def test_a_check_of_real_weights_says_what_lowering_will_say(name: str, graph: Graph, data: st.DataObject) -> None:
    """The road of an export: check the float graph; quantise, map and lower it anyway."""
    target = registry.get(name)
    graph = chip_timeline(real(graph))
    with pytest.MonkeyPatch.context() as patch:
        if name == "loihi" and data.draw(st.booleans()):
            patch.setitem(loihi.LIMITS, "input_axons", data.draw(st.integers(3, 40)))
        if name == "spinnaker":
            patch.setattr(spec, "NEURONS_PER_CORE", data.draw(st.integers(2, 30)))
            patch.setattr(spec, "BOARDS", {"SpiNN-3": (2, 2)})
            patch.setattr(spec, "SDRAM_BYTES", data.draw(st.integers(500, 60_000)))
            patch.setattr(spec, "ROUTER_ENTRIES", data.draw(st.integers(0, 12)))
        said = [f for f in errors(target.check(graph)) if f.resource]
        made = target.quantize(graph)
        assert not errors(made.findings)
        event(said[0].code if said else "fits")
        lowered = [f for f in errors(target.lower(made.graph).findings) if f.resource]
    assert [(f.code, f.where, f.needed, f.available) for f in said] == [
        (f.code, f.where, f.needed, f.available) for f in lowered
    ]
