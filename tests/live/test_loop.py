"""The live loop: streamed = batch, windows, sliding answers, every event accounted for, faults of the source."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import emulator
from snnkit.bench.live import untrained
from snnkit.data import EventStream, to_frames
from snnkit.errors import DataError, ParameterError, UsageError
from snnkit.live import Chunk, LiveSettings, open_network, run
from snnkit.live.latency import Latency
from snnkit.live.sources import ArraySource, Malformed

sys.path.insert(0, str(Path(__file__).parent))
from networks import SIDE, Recorded, dyadic, events, write

Array = np.ndarray[Any, Any]


class Seen(list[Any]):
    """Keeps every answer."""

    def frames(self, frames: Array) -> None:
        assert frames.dtype == np.uint8

    def answer(self, answer: Any) -> None:
        self.append(answer)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("run") / "run", channels=[3, 4], kernel_size=3)


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("chip") / "net.snnx")


def frames_of(recording: Array, steps: int, side: int) -> Array:
    stream = EventStream(recording, (side, side))
    return to_frames(stream, T=steps, binary=True, duration_us=1000 * steps)


def pieces(recording: Array, size: int) -> list[Array]:
    return [recording[k : k + size] for k in range(0, len(recording), size)]


@pytest.mark.parametrize(("chunk", "size"), [(1, 997), (5, 50), (32, 100_000)])
def test_a_model_streams_as_in_one_batch(trained: Path, chunk: int, size: int) -> None:
    """Rows of every step, bit for bit, for any cut of the events and any number of steps in a call."""
    recording = events(8000, 60_000, 34)
    network = dyadic(trained)
    x = torch.from_numpy(frames_of(recording, 60, 34))[:, None]
    with torch.inference_mode():
        expected = network._model(x)[:, 0].numpy()
    assert np.abs(expected).max() > 0
    recorded = Recorded(network)
    done = run(
        recorded, ArraySource(pieces(recording, size)), LiveSettings(chunk=chunk, reset="none", start=0, window=60)
    )
    (rows,) = recorded.rows()
    assert np.array_equal(rows, expected)
    assert (done.steps, done.processed, done.late, done.dropped) == (60, 8000, 0, 0)


@pytest.mark.parametrize("target", ["loihi", "truenorth", "spinnaker"])
@pytest.mark.parametrize("reset", ["none", "window"])
def test_an_emulator_streams_as_in_one_batch(target: str, reset: Any, tmp_path: Path) -> None:
    rule: Literal["count", "last"] = "count" if target == "truenorth" else "last"
    path = write(tmp_path / "a.snnx", target, convolution=target == "loihi", rule=rule)
    recording = events(3000, 30_000)
    recorded, seen = Recorded(open_network(path)), Seen()
    done = run(recorded, ArraySource(pieces(recording, 70)), LiveSettings(chunk=4, reset=reset, start=0), seen)
    x = frames_of(recording, 30, SIDE).reshape(30, 1, -1).astype(np.uint8)
    chip = emulator.open(path)
    if reset == "window":
        x = x.reshape(5, 6, -1).transpose(1, 0, 2).copy()
    whole = chip.run({"in": x}, probes=("s", "v"))
    trace, lag = (whole.spikes if rule == "count" else whole.v)["out"], whole.lags["out"]
    assert trace.any()
    expected = trace[lag : lag + len(x)].transpose(1, 0, 2)
    assert np.array_equal(np.stack(recorded.rows()), expected)
    if reset == "window":
        assert whole.scores is not None
        assert [a.scores for a in seen] == whole.scores.tolist()
        assert [a.answer for a in seen] == whole.answer.tolist()  # type: ignore[union-attr]
        assert all(a.whole and a.looks_back == 6 for a in seen)
        assert dict(done.counters) == whole.totals()


def test_whole_windows_on_a_chip_that_cannot_stop(tmp_path: Path) -> None:
    path = write(tmp_path / "a.snnx", "brainscales2", convolution=False, rule="count")
    recording, seen = events(400, 12_000), Seen()
    run(open_network(path, whole_windows=True), ArraySource([recording]), LiveSettings(start=0), seen)
    x = frames_of(recording, 12, SIDE).reshape(2, 6, -1).transpose(1, 0, 2).astype(np.uint8)
    whole = emulator.open(path).run({"in": np.ascontiguousarray(x)})
    assert whole.scores is not None
    assert [a.scores for a in seen] == whole.scores.tolist()
    with pytest.raises(UsageError, match="whole samples only"):
        open_network(path)


def test_sliding_answers_of_a_model(trained: Path) -> None:
    """A membrane less what is older than the window = one that began at rest there, fed the same spikes."""
    recording, seen = events(9000, 50_000, 34), Seen()
    network = dyadic(trained)
    recorded = Recorded(network)
    run(recorded, ArraySource([recording]), LiveSettings(reset="none", start=0, window=10, every=7), seen)
    (v,) = recorded.rows()
    decay = network._decay
    assert decay == 1.0
    for a in seen:
        before = v[a.step - 10] if a.step >= 10 else 0
        assert np.allclose(a.scores, v[a.step] - before, atol=1e-4)
        assert a.whole == (a.step >= 9)
    assert [a.step for a in seen] == [*range(6, 50, 7), 49]
    assert sum(a.events for a in seen) == 9000


def test_answers_inside_a_window(chip: Path) -> None:
    seen = Seen()
    run(open_network(chip), ArraySource([events(2000, 12_000)]), LiveSettings(start=0, every=4), seen)
    assert [(a.step, a.looks_back, a.whole) for a in seen] == [
        (3, 4, False), (5, 6, True), (9, 4, False), (11, 6, True)
    ]  # fmt: skip
    assert [a.time_us for a in seen] == [4000, 6000, 10_000, 12_000]
    assert {a.label for a in seen} <= set("abcd")


class Slow:
    """A network that needs a while for every call."""

    def __init__(self, network: Any, seconds: float) -> None:
        self._network, self._seconds = network, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def feed(self, frames: Array) -> Array:
        time.sleep(self._seconds)
        return self._network.feed(frames)


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest", "block"])
def test_overload_is_accounted_for(policy: Any, chip: Path) -> None:
    recording = events(20_000, 40_000)
    done = run(
        Slow(open_network(chip), 0.002), ArraySource(pieces(recording, 300)),
        LiveSettings(start=0, queue=500, policy=policy, chunk=2),
    )  # fmt: skip
    assert done.balanced
    assert done.received == 20_000
    assert (done.dropped == 0) == (policy == "block")
    assert 0 < done.queue["highest"] <= 500
    assert done.latency_ms["count"] > 0


@settings(max_examples=25)
@given(
    bad=st.lists(st.tuples(st.integers(0, 1999), st.sampled_from(["x", "p", "late", "future"])), max_size=30),
    cuts=st.lists(st.integers(0, 2000), max_size=5),
    reset=st.sampled_from(["window", "none"]),
    hold=st.integers(0, 2000),
)
def test_every_event_is_accounted_for(
    chip: Path, bad: list[tuple[int, str]], cuts: list[int], reset: Any, hold: int
) -> None:
    recording = events(2000, 20_000)
    for k, what in bad:
        if what == "x":
            recording["x"][k] = 500
        elif what == "p":
            recording["p"][k] = 2
        else:
            recording["t"][k] = max(recording["t"][k] - 5000, 0) if what == "late" else 1 << 40
    edges = [0, *sorted(cuts), 2000]
    answers, network = [], open_network(chip)
    for parts in ([recording], [recording[a:b] for a, b in itertools.pairwise(edges)]):
        seen = Seen()
        done = run(network, ArraySource(parts), LiveSettings(reset=reset, hold=hold, gap=100_000, every=1), seen)
        assert done.balanced
        assert done.received == 2000
        assert done.processed + done.late + done.malformed == 2000
        assert done.malformed == len({k for k, w in bad if w in "xp"} & set(np.flatnonzero(
            (recording["x"] >= SIDE) | (recording["p"] > 1)).tolist()))  # fmt: skip
        answers.append([(a.step, a.scores, a.events) for a in seen])
    assert answers[0] == answers[1]


class Failing:
    """A source that fails after its first chunk."""

    name, live = "failing", False
    sensor_size: tuple[int, int] | None = None
    speed: float | None = None

    def __init__(self) -> None:
        self.malformed, self.closed = Malformed(), False

    def chunks(self, stop: threading.Event) -> Iterator[Chunk]:
        yield Chunk(events(10, 1000), 1)
        raise DataError("the camera is gone")

    def close(self) -> None:
        self.closed = True


def test_a_source_that_fails(chip: Path) -> None:
    source = Failing()
    with pytest.raises(DataError, match="the camera is gone"):
        run(open_network(chip), source)
    assert source.closed
    assert "snnkit-decode" not in [t.name for t in threading.enumerate()]


def test_a_network_that_fails_ends_the_source(chip: Path) -> None:
    class Broken(Slow):
        def feed(self, frames: Array) -> Array:
            raise RuntimeError("broken")

    endless = ArraySource(events(100, 1000, start=1000 * k) for k in itertools.count())
    with pytest.raises(RuntimeError, match="broken"):
        run(Broken(open_network(chip), 0), endless, LiveSettings(queue=50))
    assert "snnkit-decode" not in [t.name for t in threading.enumerate()]


def test_it_ends_when_asked(chip: Path) -> None:
    def endless() -> Iterator[Array]:
        return (events(100, 1000, start=1000 * k) for k in itertools.count())

    stop = threading.Event()

    class Enough(Seen):
        def answer(self, answer: Any) -> None:
            stop.set()

    done = run(open_network(chip), ArraySource(endless()), show=Enough(), stop=stop)
    assert done.balanced
    assert done.processed > 0
    done = run(open_network(chip), ArraySource(endless()), LiveSettings(seconds=0.2))
    assert done.balanced


def test_wrong_use(chip: Path, trained: Path) -> None:
    with pytest.raises(UsageError, match="640x480 sensor, the network was made for 9x9"):
        run(open_network(chip), ArraySource([], (640, 480)))
    for bad in ({"window": 0}, {"every": 0}, {"chunk": 0}, {"seconds": 0.0}, {"quiet": -1.0}, {"reset": "sometimes"}):
        with pytest.raises(ParameterError):
            LiveSettings(**bad)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="does not exist"):
        open_network(chip.with_name("nett.snnx"))
    with pytest.raises(UsageError, match="--chip is for descriptors"):
        open_network(trained, chip=1)
    with pytest.raises(UsageError, match="no virtual chips"):
        open_network(chip, chip=1)


def test_an_empty_input(chip: Path) -> None:
    done = run(open_network(chip), ArraySource([]))
    assert (done.steps, done.answers, done.received, done.balanced) == (0, 0, 0, True)
    assert done.latency_ms["p99"] is None


@given(st.lists(st.integers(1_000, 10**11), min_size=1, max_size=200))
def test_percentiles(ns: list[int]) -> None:
    """Never too small, and too large by at most 1 %."""
    latency = Latency()
    latency.add(np.array(ns[:3], np.int64))
    latency.add(np.array(ns[3:], np.int64))
    for share in (0.5, 0.9, 0.99, 1.0):
        exact = float(np.quantile(np.array(ns), share, method="inverted_cdf")) / 1e6
        found = latency.percentile(share)
        assert found is not None
        assert exact * 0.999999 <= found <= exact * 1.010001
    assert latency.to_dict()["max"] == max(ns) / 1e6
