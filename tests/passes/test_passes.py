"""Every rewrite keeps the linear operator: chains before and after are the same matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.graph.model import Array, Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LIF
from snnkit.graph.run import run
from snnkit.graph.synapses import Chain, Conv, Dense, Pool, Scale, Select, Sparse
from snnkit.passes import add_lag, collapse, fold_norm, gate_bias, loop_findings, merge_pool, merge_select, simplify

Shape = tuple[int, int, int]


def full(n: int, value: float) -> Array:
    return np.full(n, value, np.float32)


def of_chain(*ops: Any) -> Graph:
    """in -> out through a chain."""
    chain = Chain(ops)
    neuron = LIF(full(chain.n_dst, 0.5), full(chain.n_dst, 1.0))
    return Graph(
        "chain", (Input("in", (chain.n_src,)),), (Population("out", (chain.n_dst,), neuron),),
        (Connection("c", "in", "out", chain),), Readout("out", "count"), steps=4,
    )  # fmt: skip


def operator(graph: Graph) -> Array:
    return graph.connections[0].synapse.matrix().toarray()  # type: ignore[no-any-return]


def ops_of(graph: Graph) -> list[type]:
    synapse = graph.connections[0].synapse
    return [type(op) for op in synapse.ops] if isinstance(synapse, Chain) else [type(synapse)]


def conv(rng: np.random.Generator, shape: Shape, out: int, kernel: int, **options: Any) -> Conv:
    weight = rng.integers(-4, 5, (out, shape[0] // options.get("groups", 1), kernel, kernel)) / 4
    return Conv(weight, shape, **options)


# ------------------------------------------------------------------------------------------------------ pool and conv
CASES = [
    # (height, width), kernel, stride, padding, dilation of the convolution; kernel, stride of the pool
    ((8, 8), 3, (1, 1), (1, 1, 1, 1), (1, 1), (2, 2), (2, 2)),
    ((9, 7), 3, (1, 1), (1, 1, 1, 1), (1, 1), (2, 2), (2, 2)),  # odd sizes: the pool drops a row or a column
    ((8, 8), 3, (2, 2), (1, 1, 1, 1), (1, 1), (2, 2), (2, 2)),
    ((9, 9), 2, (1, 1), (0, 0, 0, 0), (2, 2), (3, 3), (3, 3)),
    ((9, 9), 3, (1, 2), (0, 1, 2, 0), (1, 1), (3, 2), (2, 1)),  # overlapping and uneven
    ((10, 6), 1, (1, 1), (0, 0, 0, 0), (1, 1), (2, 3), (3, 3)),  # a pool with gaps
    ((5, 5), 3, (1, 1), (0, 0, 0, 0), (1, 1), (1, 1), (1, 1)),
    ((7, 7), 3, (2, 1), (2, 0, 0, 1), (1, 2), (2, 2), (2, 2)),
]


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_a_pool_behind_a_convolution(case: Any, average: bool) -> None:
    (h, w), kernel, stride, padding, dilation, size, step = case
    first = conv(np.random.default_rng(0), (2, h, w), 3, kernel, stride=stride, padding=padding, dilation=dilation)
    graph = of_chain(first, Pool(first.out_shape, size, step, average=average))
    merged = merge_pool(graph)
    assert ops_of(merged) == [Conv]
    assert np.allclose(operator(merged), operator(graph), atol=1e-12)


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_a_pool_before_a_convolution(case: Any, average: bool) -> None:
    (h, w), kernel, stride, padding, dilation, size, step = case
    pool = Pool((2, 2 * h + 1, 2 * w), size, step, average=average)
    then = conv(np.random.default_rng(1), pool.out_shape, 3, kernel, stride=stride, padding=padding, dilation=dilation)
    graph = of_chain(pool, then)
    merged = merge_pool(graph)
    assert np.allclose(operator(merged), operator(graph), atol=1e-12)
    if size == step and 2 * h + 1 == pool.out_shape[1] * step[0] and 2 * w == pool.out_shape[2] * step[1]:
        assert ops_of(merged) == [Conv]


KINDS = ("conv", "depthwise", "avg", "sum", "scale", "norm")


@settings(max_examples=60)
@given(st.data())
def test_random_chains_keep_their_operator(data: st.DataObject) -> None:
    """Whatever stands in the chain, simplified or not, the operator is the same, and one synapse is left."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    shape: Shape = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7)))
    ops: list[Any] = []
    n = int(np.prod(shape))
    for kind in data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5)):
        if kind in ("conv", "depthwise"):
            k = int(rng.integers(1, min(3, *shape[1:]) + 1))
            groups = shape[0] if kind == "depthwise" else 1
            padding = tuple(int(p) for p in rng.integers(0, 2, 4))
            stride = tuple(int(s) for s in rng.integers(1, 3, 2))
            out = shape[0] if kind == "depthwise" else int(rng.integers(1, 4))
            op: Any = conv(rng, shape, out, k, stride=stride, padding=padding, groups=groups)
        elif kind in ("avg", "sum"):
            size = (int(rng.integers(1, min(3, shape[1]) + 1)), int(rng.integers(1, min(3, shape[2]) + 1)))
            step = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
            op = Pool(shape, size, step, average=kind == "avg")
        elif kind == "norm":
            op = Scale(np.repeat(rng.integers(1, 5, shape[0]) / 2, shape[1] * shape[2]))
        else:
            op = Scale(rng.integers(-4, 5, n) / 4)
        ops.append(op)
        shape = op.out_shape if hasattr(op, "out_shape") else shape
        n = op.n_dst
    if data.draw(st.booleans()):
        ops.append(Dense(rng.integers(-4, 5, (3, n)) / 4))
    graph = of_chain(*ops)
    simple = simplify(graph)
    assert not isinstance(simple.connections[0].synapse, Chain)
    assert np.allclose(operator(simple), operator(graph), atol=1e-9)


def test_norm_between_convolution_and_pool_still_gives_a_convolution() -> None:
    """Shared weights survive [conv, norm, pool], [norm, conv], [pool, norm, conv] and three pools in a row."""
    rng = np.random.default_rng(0)
    first = conv(rng, (2, 12, 12), 4, 3, padding=(1, 1, 1, 1))
    norm = Scale(np.repeat(rng.normal(1, 0.2, 4), 144))
    pool = Pool((4, 12, 12), (2, 2), (2, 2))
    second = Pool((4, 6, 6), (2, 2), (2, 2))
    for ops in (
        (first, norm, pool),
        (first, norm, pool, second, Pool((4, 3, 3), (3, 3), (3, 3), average=False)),
        (norm, conv(rng, (4, 12, 12), 3, 3)),
        (pool, Scale(np.repeat([1.0, 2, 3, 4], 36)), conv(rng, (4, 6, 6), 2, 3, padding=(1, 1, 1, 1))),
    ):
        graph = of_chain(*ops)
        simple = simplify(graph)
        assert ops_of(simple) == [Conv]
        assert np.allclose(operator(simple), operator(graph), atol=1e-12)


def test_a_scale_that_differs_within_a_channel_is_multiplied_out() -> None:
    rng = np.random.default_rng(0)
    first = conv(rng, (1, 4, 4), 2, 3)
    graph = of_chain(first, Scale(np.arange(8.0)))
    assert ops_of(fold_norm(graph)) == [Conv, Scale]
    assert ops_of(simplify(graph)) == [Sparse]
    assert np.allclose(operator(simplify(graph)), operator(graph))


def test_scales_before_grouped_convolutions_reach_their_own_group() -> None:
    rng = np.random.default_rng(0)
    then = conv(rng, (4, 5, 5), 6, 3, groups=2)
    graph = of_chain(Scale(np.repeat([1.0, 2, 3, 4], 25)), then)
    assert ops_of(fold_norm(graph)) == [Conv]
    assert np.allclose(operator(fold_norm(graph)), operator(graph))


# --------------------------------------------------------------------------------------------------- concatenations
@pytest.mark.parametrize("then", ["conv", "grouped", "pool", "dense", "sparse", "scale"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_block_of_a_concatenation(then: str, whole: bool) -> None:
    rng = np.random.default_rng(0)
    shape = (4, 4, 4)
    dst = np.arange(16, 48) if whole else np.arange(5, 40)  # channels 1 and 2, or something across channels
    select = Select(dst, 64)
    op: Any = {
        "conv": conv(rng, shape, 3, 3),
        "grouped": conv(rng, shape, 4, 3, groups=2),
        "pool": Pool(shape, (2, 2), (2, 2)),
        "dense": Dense(rng.normal(size=(5, 64))),
        "sparse": Sparse(conv(rng, shape, 2, 3).matrix()),
        "scale": Scale(rng.normal(size=64)),
    }[then]
    graph = of_chain(select, op)
    merged = merge_select(graph)
    assert np.allclose(operator(merged), operator(graph))
    assert np.allclose(operator(simplify(graph)), operator(graph))
    if then == "conv":
        assert ops_of(merged) == ([Conv] if whole else [Select, Conv])


def test_collapse_leaves_what_is_one_synapse_as_it_is() -> None:
    dense = Dense(np.eye(3))
    assert collapse(of_chain(dense)).connections[0].synapse is dense
    assert ops_of(collapse(of_chain(Pool((2, 4, 4), (2, 2), (2, 2))))) == [Conv]
    assert ops_of(collapse(of_chain(Scale(np.ones(3))))) == [Sparse]
    assert ops_of(collapse(of_chain(Select(np.arange(2), 4)))) == [Sparse]


# ------------------------------------------------------------------------------------------------------ lag and gates
def branches(rng: np.random.Generator) -> Graph:
    """in -> a -> b -> c, in -> c, a -> c, and b feeds back to itself: paths of three lengths meet in c."""

    def pop(name: str) -> Population:
        bias = (rng.integers(-2, 4, 4) / 8).astype(np.float32)
        return Population(name, (4,), LIF(full(4, 1.0), full(4, 1.0), "zero", 1), bias)

    def link(src: str, dst: str, delay: int = 0) -> Connection:
        return Connection(f"{src}->{dst}", src, dst, Dense(rng.integers(-4, 6, (4, 4)) / 8), delay)

    links = (
        link("in", "a"),
        link("a", "b"),
        link("b", "c"),
        link("in", "c"),
        link("a", "c"),
        link("b", "b", 1),
    )
    return Graph("g", (Input("in", (4,)),), tuple(map(pop, "abc")), links, Readout("c", "count"), steps=9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gated", [True, False])
def test_the_chip_timeline_is_the_model_late_by_its_lag(seed: int, gated: bool) -> None:
    """Exact with gated biases; without gates only layers of lag 0 are (a bias acts before frame 0 arrives)."""
    rng = np.random.default_rng(seed)
    graph = branches(rng)
    assert not loop_findings(graph)
    late = add_lag(graph)
    assert {p.name: p.lag for p in late.populations} == {"a": 0, "b": 1, "c": 2}
    assert {c.name: c.delay for c in late.connections} == {
        "in->a": 0, "a->b": 1, "b->c": 1, "in->c": 2, "a->c": 2, "b->b": 1,
    }  # fmt: skip
    late.validate()
    chip = gate_bias(late) if gated else late
    x = {"in": (rng.random((9, 6, 4)) < 0.5).astype(np.uint8)}
    model, real = run(graph, x), run(chip, x)
    assert all(model.spikes[n].any() for n in "abc")
    for name in "abc" if gated else "a":
        assert np.array_equal(model.spikes[name], real.aligned(name))
    if gated:
        assert np.array_equal(model.scores(), real.scores())
        assert all(p.bias is None for p in chip.populations)
        assert [i.gate_from for i in chip.inputs] == [None, 0, 1, 2]


def test_no_gate_for_a_bias_of_zero() -> None:
    graph = branches(np.random.default_rng(0))
    silent = graph.with_(
        populations=tuple(Population(p.name, p.shape, p.neuron, full(4, 0.0)) for p in graph.populations)
    )
    assert [i.name for i in gate_bias(add_lag(silent)).inputs] == ["in"]


@pytest.mark.parametrize("delay", [0, 1, 2, 3])
def test_a_loop_needs_a_step_per_connection(delay: int) -> None:
    rng = np.random.default_rng(0)
    graph = branches(rng)
    back = Connection("c->a", "c", "a", Dense(np.eye(4)), delay)
    looped = graph.with_(connections=(*graph.connections, back))
    found = loop_findings(looped)
    if delay >= 3:  # a -> b -> c -> a
        assert found == []
        add_lag(looped).validate()
        return
    (finding,) = found
    assert finding.code == "LOOP_TOO_SHORT"
    assert finding.needed is not None
    assert finding.available is not None
    assert finding.needed > finding.available
    assert set(finding.where.split(" -> ")) <= set("abc")
    raised = delay + int(finding.needed - finding.available)
    assert f"by {raised - delay}," in finding.remedy


def test_delays_per_synapse_keep_their_differences() -> None:
    rng = np.random.default_rng(0)
    graph = branches(rng)
    delay = rng.integers(1, 6, (4, 4))
    own = tuple(
        Connection(c.name, c.src, c.dst, c.synapse, delay) if c.name == "b->b" else c for c in graph.connections
    )
    graph = graph.with_(connections=own)
    late = gate_bias(add_lag(graph))
    x = {"in": (rng.random((9, 6, 4)) < 0.5).astype(np.uint8)}
    model, real = run(graph, x), run(late, x)
    for name in "abc":
        assert np.array_equal(model.spikes[name], real.aligned(name))


def test_two_connections_between_the_same_layers_count_once_in_a_loop() -> None:
    graph = branches(np.random.default_rng(0))
    twice = [Connection(f"b->a#{k}", "b", "a", Dense(np.eye(4)), 1) for k in range(3)]
    (finding,) = loop_findings(graph.with_(connections=(*graph.connections, *twice)))
    assert (finding.needed, finding.available) == (2, 1)
