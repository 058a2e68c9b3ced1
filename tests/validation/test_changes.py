"""Proposed changes are enough: with them the check passes, on every chip and for every finding they answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from snnkit.graph.findings import Finding, errors
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLIF
from snnkit.graph.synapses import Dense
from snnkit.targets import registry
from snnkit.validation.changes import EDITS, _largest, propose
from snnkit.validation.pipeline import check_graph

Array = np.ndarray[Any, Any]


def full(n: int, value: float) -> Array:
    return np.full(n, value, np.float32)


def network(
    *, neuron: Any = None, last: Any = None, max_count: int = 1, n_in: int = 20, weight: float = 1.0, delay: int = 0,
    recurrent: int | None = None,
) -> Graph:  # fmt: skip
    """n_in -> 6 -> 3."""
    hidden = neuron or LIF(full(6, 1), full(6, 1))
    out = last or LIF(full(3, 1), full(3, 1))
    rng = np.random.default_rng(0)
    w = rng.choice([-weight, 0, weight], (6, n_in))
    connections = [
        Connection("a", "in", "hidden", Dense(w)),
        Connection("b", "hidden", "out", Dense(rng.choice([-weight, 0, weight], (3, 6))), delay),
    ]
    if recurrent is not None:
        connections.append(Connection("r", "hidden", "hidden", Dense(np.eye(6) * weight), recurrent))
    rule = "last" if isinstance(out, LI) else "count"
    return Graph(
        "net", (Input("in", (n_in,), max_count),), (Population("hidden", (6,), hidden), Population("out", (3,), out)),
        tuple(connections), Readout("out", rule), steps=8,
    )  # fmt: skip


CASES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "counts": ("loihi", {"max_count": 4}, {"INPUT_NOT_BINARY"}),
    "too many": ("spinnaker", {"max_count": 300}, {"INPUT_COUNT"}),
    "subtract": ("loihi", {"neuron": LIF(full(6, 0.5), full(6, 1), "subtract")}, {"SUBTRACT_RESET"}),
    "leak": ("truenorth", {"neuron": LIF(full(6, 0.5), full(6, 1))}, {"DECAY"}),
    "current": ("truenorth", {"neuron": CubaLIF(full(6, 0.5), full(6, 0.5), full(6, 1))}, {"NEURON"}),
    "read-out": ("truenorth", {"last": LI(full(3, 1))}, {"LI_READOUT"}),
    "refractory": ("truenorth", {"neuron": LIF(full(6, 1), full(6, 1), refractory=3)}, {"REFRACTORY"}),
    "long refractory": ("loihi", {"neuron": LIF(full(6, 1), full(6, 1), refractory=90)}, {"REFRACTORY_RANGE"}),
    "threshold": ("spinnaker", {"neuron": LIF(full(6, 1), full(6, -1))}, {"THRESHOLD_RANGE"}),
    "decay": ("loihi", {"neuron": LIF(full(6, 1.5), full(6, 1))}, {"DECAY_RANGE"}),
    "delay": ("loihi", {"delay": 90}, {"DELAY_RANGE"}),
    "fan-in": ("truenorth", {"n_in": 400}, {"FAN_IN"}),
    "loop": ("loihi", {"recurrent": 0}, {"LOOP_TOO_SHORT"}),
    "all": (
        "truenorth",
        {"neuron": LIF(full(6, 0.5), full(6, 0), refractory=1), "last": LI(full(3, 0.5)), "max_count": 9, "n_in": 500},
        {"DECAY", "REFRACTORY", "THRESHOLD_RANGE", "LI_READOUT", "INPUT_NOT_BINARY"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_changes_make_the_check_pass(name: str) -> None:
    chip, what, codes = CASES[name]
    graph, target = network(**what), registry.get(chip)
    found = errors(check_graph(graph, target))
    assert codes <= {f.code for f in found}
    proposal = propose(graph, target)
    assert proposal.fits
    assert codes <= {c.code for c in proposal.changes}
    assert len(set(proposal.changes)) == len(proposal.changes)
    assert all(str(c).startswith(c.where) for c in proposal.changes)


def test_nothing_to_change() -> None:
    proposal = propose(network(), registry.get("truenorth"))
    assert proposal.fits
    assert not proposal.changes


def test_no_remedy() -> None:
    graph = network()
    wrong = network(weight=float("nan"))
    proposal = propose(wrong, registry.get("loihi"))
    assert not proposal.fits
    assert {f.code for f in proposal.left} == {"WEIGHT_NOT_FINITE"}
    assert not proposal.changes
    assert propose(graph, registry.get("loihi"), findings=[Finding("UNHEARD_OF", "in", "odd")]).left


def test_an_edit_that_changes_nothing_ends_the_search() -> None:
    """Findings about nodes that do not exist, or that are right already, are no reason to loop."""
    for code, edit in EDITS.items():
        assert edit(network(), Finding(code, "nowhere", "odd", needed=2, available=2)) is None
        assert edit(network(), Finding(code, "hidden", "odd", needed=1, available=1)) is None


@given(st.integers(1, 3), st.integers(1, 6), st.integers(0, 2**31))
def test_the_largest_weights_stay(parts: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = [rng.integers(-3, 4, (4, 5)) for _ in range(parts)]
    kept = _largest([sp.csr_matrix(d) for d in dense], most)
    whole, cut = np.hstack(dense), sp.hstack(kept).toarray()
    assert [k.shape for k in kept] == [d.shape for d in dense]
    for row, left in zip(whole, cut):
        order = sorted(np.flatnonzero(row), key=lambda j: (-abs(row[j]), j))[:most]
        want = np.zeros_like(row)
        want[order] = row[order]
        assert np.array_equal(left, want)
