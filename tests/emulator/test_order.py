"""An order of neurons in which convolutions have long runs: the same spikes, states and counters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import descriptor
from snnkit.emulator import order
from snnkit.emulator.engine import Emulator
from snnkit.emulator.order import channels_last, regrouped
from snnkit.emulator.rows import Lists, build
from snnkit.graph import Connection, Conv, Dense, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF
from snnkit.targets import registry
from snnkit.validation.pipeline import graph_to_chip, write_descriptor

Array = np.ndarray[Any, Any]


def network() -> Graph:
    rng = np.random.default_rng(1)
    one = Conv(rng.integers(-40, 60, (8, 2, 3, 3)) / 64.0, (2, 9, 9), stride=(2, 2), padding=(1, 1, 1, 1))
    two = Conv(rng.integers(-20, 22, (12, 8, 3, 3)) / 32.0, (8, 5, 5), stride=(2, 2), padding=(1, 1, 1, 1))
    head = Dense(rng.integers(-20, 24, (4, 108)) / 32.0)

    def fire(*shape: int) -> Population:
        n = int(np.prod(shape))
        decay, level = np.full(n, 0.5, np.float32), np.full(n, 1, np.float32)
        return Population("_".join(map(str, shape)), shape, LIF(decay, level))

    a, b = fire(8, 5, 5), fire(12, 3, 3)
    out = Population("out", (4,), LI(np.full(4, 0.75, np.float32)))
    return Graph(
        "convs", (Input("in", (2, 9, 9)),), (a, b, out),
        tuple(Connection(f"to_{d}", s, d, w) for s, d, w in
              (("in", a.name, one), (a.name, b.name, two), (b.name, "out", head))),
        Readout("out", "last"), steps=12,
    )  # fmt: skip


def test_the_same_network_in_both_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = registry.get("loihi")
    x = (np.random.default_rng(2).random((12, 6, 162)) < 0.4).astype(np.uint8)
    chip = graph_to_chip(network(), target, {"in": x})
    write_descriptor(tmp_path / "a.snnx", chip, target, {"in": x})
    found = descriptor.load(tmp_path / "a.snnx")
    monkeypatch.setattr("snnkit.targets.loihi.emulate.MOST_ENTRIES", 0)
    before = Emulator(found)
    monkeypatch.undo()
    after = Emulator(found)
    assert any(not np.array_equal(after.chip.placement[k], p) for k, p in before.chip.placement.items())
    sparse = [int((e.chip.rows.index_at >= 0).sum()) for e in (before, after)]  # type: ignore[attr-defined]
    assert sparse[1] == 0 < sparse[0]  # all rows are runs of neighbours now
    one, two = (e.run({"in": x}, probes=("s", "u", "v")) for e in (before, after))
    assert all(s.any() for s in one.spikes.values() if s.shape[2] > 4)
    for what in ("spikes", "u", "v", "counters"):
        for name, trace in getattr(one, what).items():
            assert np.array_equal(trace, getattr(two, what)[name]), (what, name)
    assert np.array_equal(one.scores, two.scores)


@pytest.mark.parametrize("wide", [False, True])
def test_regrouped_lists_hold_the_same_synapses(wide: bool) -> None:
    """Shared lists, several bases, delays, a target that a list names twice, weights of two scales."""
    rng = np.random.default_rng(3)
    n, sources, sizes = 50, 9, [4, 0, 7, 5]
    ptr = np.concatenate([[0], np.cumsum(sizes)])
    scale = np.repeat([0, 0, 9 if wide else 2, 0], sizes)
    lists = Lists(
        ptr, (rng.integers(-15, 15, ptr[-1]) * 2 + 1) << scale, rng.integers(0, 30, ptr[-1]).astype(np.int32),
        rng.integers(0, 3, ptr[-1]).astype(np.int32),
    )  # fmt: skip
    source, list_of, base = rng.integers(0, sources, 14), rng.integers(0, 4, 14), rng.integers(0, 20, 14)
    new = rng.permutation(n)

    def dense(lists: Lists, source: Array, list_of: Array, base: Array, place: Array) -> Array:
        out = np.zeros((sources, 3, n), np.int64)
        for s, k, b in zip(source, list_of, base):
            mine = slice(lists.ptr[k], lists.ptr[k + 1])
            np.add.at(out[s], (lists.delay[mine], place[b + lists.target[mine]]), lists.weight[mine])
        return out

    made = regrouped(lists, source, list_of, base, new, sources)
    assert np.array_equal(dense(*made, np.arange(n)), dense(lists, source, list_of, base, new))
    assert build(*made, sources).weights.dtype == np.int8
    assert (np.diff(made[1]) > 0).all() or wide


def test_layers_without_channels_and_pixels_keep_their_order() -> None:
    from snnkit.descriptor.schema import Layer

    flat = Layer(name="a", shape=(6,), n=6)
    assert channels_last([flat], {"a": np.arange(6)}, 8) is None
    deep = Layer(name="b", shape=(2, 1, 3), n=6)
    assert channels_last([deep], {"b": np.arange(6)}, 8).tolist() == [0, 2, 4, 1, 3, 5, 6, 7]  # type: ignore[union-attr]
    assert channels_last([deep], {"b": np.zeros(6, np.int64)}, 8) is None
    assert order.entries(Lists(np.array([0, 2, 5]), *[np.zeros(5, np.int64)] * 3), np.array([0, 1, 1])) == 8
