"""The emulator from call to call equals one run: layers on the host, gates, read-outs, resets and refusals."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import emulator
from snnkit.errors import ShapeError, UsageError
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLIF
from snnkit.graph.synapses import Dense
from snnkit.targets import registry
from snnkit.validation.pipeline import graph_to_chip, write_descriptor

Array = np.ndarray[Any, Any]
STEPS, BATCH = 9, 3


def full(n: int, value: float) -> Array:
    return np.full(n, value, np.float32)


def network(before: bool, after: bool) -> Graph:
    """Two layers on the chip with a bias, and one for the host before or after them."""
    rng = np.random.default_rng(3)
    shape = [20, *([16] if before else []), 12, 8, *([4] if after else [])]
    names = ["in", *(["code"] if before else []), "hidden", "out", *(["read"] if after else [])]
    populations = []
    for name, n in zip(names[1:], shape[1:]):
        neuron: Any = LIF(full(n, 1), full(n, 2))
        if name == "code":
            neuron = CubaLIF(full(n, 0.3), full(n, 0.8), full(n, 1))
        if name == "read":
            neuron = LI(full(n, 0.9))
        populations.append(Population(name, (n,), neuron, full(n, 0.05) if name == "code" else None))
    weights = [
        rng.normal(0, 0.5, (m, n)) if "code" in (a, b) or b == "read" else rng.choice([-1.0, 0.0, 1.0], (m, n))
        for a, b, n, m in zip(names, names[1:], shape, shape[1:])
    ]
    connections = tuple(Connection(f"to_{b}", a, b, Dense(w)) for a, b, w in zip(names, names[1:], weights))
    readout = Readout("read", "last") if after else Readout("out", "count")
    return Graph("net", (Input("in", (20,), 4 if before else 1),), tuple(populations), connections, readout, STEPS)


@pytest.fixture(scope="module", params=["loihi", "truenorth", "spinnaker"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Array]]:
    """Descriptors with nothing, one layer, and two layers on the host, and counts for them."""
    target = registry.get(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    made = []
    for k, (before, after) in enumerate([(False, False), (True, False), (True, True)]):
        graph = network(before, after)
        host = [*(["code"] if before else []), *(["read"] if after else [])]
        rng = np.random.default_rng(k)
        x = rng.integers(0, 4 if before else 2, (STEPS, BATCH, 20)).astype(np.uint8)
        chip = graph_to_chip(graph, target, {"in": x}, host=host)
        path = folder / f"{k}.snnx"
        write_descriptor(path, chip, target, {"in": x})
        made.append((path, x))
    return made


@settings(max_examples=12)
@given(cuts=st.lists(st.integers(0, STEPS), max_size=4), which=st.integers(0, 2))
def test_pieces_equal_one_run(written: list[tuple[Path, Array]], cuts: list[int], which: int) -> None:
    path, x = written[which]
    chip = emulator.open(path)
    whole = chip.run({"in": x}, probes=("s", "v"))
    stream = chip.stream(BATCH, probes=("s", "v"))
    for _ in range(2):  # a reset leaves nothing behind
        edges = [0, *sorted(cuts), STEPS]
        parts = [stream.feed({"in": x[a:b]}) for a, b in itertools.pairwise(edges)] + [stream.flush()]
        assert [p.first for p in parts] == [*edges[:-1], STEPS]
        assert stream.tick == whole.ticks
        for name in whole.spikes:
            lag = stream.lags[name]
            for got, expected in (("spikes", whole.spikes), ("v", whole.v)):
                trace = np.concatenate([getattr(p, got)[name] for p in parts])
                if name in whole.lags and whole.lags[name] == lag:
                    assert np.array_equal(trace[: STEPS + lag], expected[name][: STEPS + lag])
                else:  # the host's layers, late by the chip's lag
                    assert not trace[:lag].any()
                    assert np.array_equal(trace[lag : lag + STEPS], expected[name][:STEPS])
        for name, total in whole.counters.items():
            assert np.array_equal(sum(p.counters[name] for p in parts), total)
        with pytest.raises(UsageError, match="flushed"):
            stream.feed({"in": x})
        stream.reset()


def test_continuous_equals_one_long_stream(written: list[tuple[Path, Array]]) -> None:
    path, x = written[0]
    chip = emulator.open(path)
    whole = chip.run({"in": x}, continuous=True)
    stream = chip.stream()
    parts = [stream.feed({"in": x[:, b : b + 1]}) for b in range(BATCH)] + [stream.flush()]
    long = np.concatenate([p.spikes["out"] for p in parts])
    for b in range(BATCH):
        assert np.array_equal(long[b * STEPS : b * STEPS + whole.ticks, 0], whole.spikes["out"][:, b])


def test_refusals(written: list[tuple[Path, Array]]) -> None:
    chip = emulator.open(written[0][0])
    with pytest.raises(UsageError, match="batch of 0"):
        chip.stream(0)
    with pytest.raises(ShapeError, match="3 samples"):
        chip.stream(2).feed({"in": written[0][1]})
    with pytest.raises(UsageError, match="no layer is called"):
        chip.stream(probes={"ouut": ("s",)})


def test_a_chip_that_runs_whole_samples_says_so(tmp_path: Path) -> None:
    target = registry.get("brainscales2")
    x = np.random.default_rng(0).integers(0, 2, (STEPS, BATCH, 20)).astype(np.uint8)
    chip = graph_to_chip(network(False, False), target, {"in": x})
    write_descriptor(tmp_path / "a.snnx", chip, target, {"in": x})
    with pytest.raises(UsageError, match="whole samples only"):
        emulator.open(tmp_path / "a.snnx").stream()
