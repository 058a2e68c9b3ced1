"""A network cut into what the host runs before, the chip, and what the host runs after: the parts are the whole."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.errors import GraphError
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF
from snnkit.graph.run import run
from snnkit.graph.synapses import Dense
from snnkit.passes.split_host import Split, split_host
from snnkit.targets.capabilities import Capabilities
from snnkit.validation.random_graphs import random_graph

Array = np.ndarray[Any, Any]


def full(n: int, value: float) -> Array:
    return np.full(n, value, np.float32)


def chain(*sizes: int, last: Any = None) -> Graph:
    """in -> p0 -> p1 -> ..."""
    rng = np.random.default_rng(0)
    names = ["in", *(f"p{k}" for k in range(len(sizes) - 1))]
    neurons = [LIF(full(n, 0.5), full(n, 1)) for n in sizes[1:]]
    populations = [Population(n, (s,), neuron) for n, s, neuron in zip(names[1:], sizes[1:], neurons)]
    if last is not None:
        populations[-1] = Population(names[-1], (sizes[-1],), last)
    connections = [
        Connection(f"c{k}", names[k], names[k + 1], Dense(rng.normal(0.2, 0.5, (sizes[k + 1], sizes[k]))))
        for k in range(len(sizes) - 1)
    ]
    rule = "last" if isinstance(last, LI) else "count"
    return Graph("net", (Input("in", (sizes[0],)),), tuple(populations), tuple(connections), Readout(names[-1], rule),
                 steps=6)  # fmt: skip


def run_split(split: Split, inputs: dict[str, Array]) -> dict[str, Array]:
    rows = dict(inputs)
    for part in (split.before, split.chip, split.after):
        if part is not None:
            rows |= run(part, {i.name: rows[i.name] for i in part.inputs}).spikes
    return rows


@given(st.integers(0, 2**31), st.data())
def test_the_parts_are_the_whole(seed: int, data: st.DataObject) -> None:
    can = Capabilities(("LIF", "CubaLIF", "LI"), resets=("zero", "subtract"), refractory=2, delays=(1, 5))
    graph = random_graph(random.Random(seed), can, wide=12)
    names = [p.name for p in graph.populations]
    host = data.draw(st.lists(st.sampled_from(names), unique=True))
    try:
        split = split_host(graph, host)
    except GraphError:
        return
    inputs = {i.name: (np.random.default_rng(seed).random((5, 2, i.n)) < 0.5).astype(np.uint8) for i in graph.inputs}
    whole, parts = run(graph, inputs).spikes, run_split(split, inputs)
    for name in names:
        assert np.array_equal(whole[name], parts[name]), name
    assert set(split.layers) == set(host)


def test_before_and_after() -> None:
    graph = chain(5, 4, 3, 2, last=LI(full(2, 0.9)))
    split = split_host(graph, ["p0", "p2"])
    assert split.before is not None
    assert split.after is not None
    assert [i.name for i in split.before.inputs] == ["in"]
    assert [i.name for i in split.chip.inputs] == ["p0"]
    assert [p.name for p in split.chip.populations] == ["p1"]
    assert split.chip.readout == Readout("p1", "count")
    assert split.after.readout == Readout("p2", "last")
    assert split.layers == ["p0", "p2"]
    for part in (split.before, split.chip, split.after):
        part.validate()


def test_nothing_on_the_host() -> None:
    graph = chain(5, 4, 3)
    assert split_host(graph, []).chip is graph


@pytest.mark.parametrize(
    ("host", "what"),
    [
        (["p9"], "no layer is called 'p9'"),
        (["p1"], "'p1' lies between layers of the chip"),
        (["p0", "p1", "p2"], "no layer is left"),
    ],
)
def test_wrong_parts(host: list[str], what: str) -> None:
    with pytest.raises(GraphError, match=what):
        split_host(chain(5, 4, 3, 2), host)


def test_the_readout_cannot_come_before() -> None:
    graph = chain(5, 4, 3, 2).with_(readout=Readout("p0", "count"))
    with pytest.raises(GraphError, match="runs before the chip"):
        split_host(graph, ["p0"])


def test_two_layers_cannot_leave() -> None:
    graph = chain(5, 4, 3, 2)
    skip = Connection("s", "p0", "p2", Dense(np.ones((2, 4))))
    with pytest.raises(GraphError, match="2 layers leave the chip"):
        split_host(graph.with_(connections=(*graph.connections, skip)), ["p2"])
