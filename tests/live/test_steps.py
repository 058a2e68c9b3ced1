"""Events to steps: equal to `to_frames`, whatever the chunks; late events, jumps, silence, marks."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data import EventStream, to_frames
from snnkit.data.events import EVENT_DTYPE
from snnkit.errors import ParameterError
from snnkit.live import Chunk, Stepper
from snnkit.live.settings import as_dt

Array = np.ndarray[Any, Any]
SIZE = (7, 5)


def make(times: list[int], seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"], events["p"] = times, rng.integers(0, 2, len(times))
    events["x"], events["y"] = rng.integers(0, SIZE[0], len(times)), rng.integers(0, SIZE[1], len(times))
    return events


def drain(stepper: Stepper, limit: int = 3) -> list[Any]:
    out = []
    while (closed := stepper.take(limit)) is not None:
        out.append(closed)
    return out


def all_steps(stepper: Stepper, chunks: list[Array], limit: int = 3) -> tuple[Array, list[int]]:
    closed = []
    for k, events in enumerate(chunks):
        stepper.push(Chunk(events, k + 1))
        closed += drain(stepper, limit)
    stepper.finish()
    closed += drain(stepper, limit)
    first = [c.first + i for c in closed for i in range(len(c.frames))]
    return np.concatenate([c.frames for c in closed]) if closed else np.zeros((0, 2 * 35), np.uint8), first


@given(
    times=st.lists(st.integers(0, 999), min_size=1, max_size=60).map(sorted),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    steps=st.integers(1, 40),
    binary=st.booleans(),
    grid=st.sampled_from([None, 3]),
    depth=st.integers(1, 9),
)
def test_equal_to_the_frames_of_a_recording(
    times: list[int], cuts: list[int], steps: int, binary: bool, grid: int | None, depth: int
) -> None:
    events = make(times)
    expected = to_frames(EventStream(events, SIZE), T=steps, binary=binary, duration_us=1000, grid=grid)
    stepper = Stepper(SIZE, Fraction(1000, steps), grid=grid, binary=binary, start=0, depth=depth)
    edges = [0, *sorted(min(c, len(times)) for c in cuts), len(times)]
    frames, first = all_steps(stepper, [events[a:b] for a, b in itertools.pairwise(edges)])
    assert first == list(range(len(first)))
    assert np.array_equal(frames, expected.reshape(steps, -1)[: len(frames)])
    assert not expected.reshape(steps, -1)[len(frames) :].any()
    assert (stepper.placed, stepper.late, stepper.outside, stepper.waiting) == (len(times), 0, 0, 0)


@given(
    times=st.lists(st.integers(0, 300), min_size=1, max_size=50),
    cuts=st.lists(st.integers(0, 50), max_size=6),
    hold=st.integers(0, 100),
    gap=st.sampled_from([40, 10_000]),
    limit=st.integers(1, 8),
)
def test_what_is_late_does_not_depend_on_the_chunks(
    times: list[int], cuts: list[int], hold: int, gap: int, limit: int
) -> None:
    events = make(times)
    edges = [0, *sorted(min(c, len(times)) for c in cuts), len(times)]
    found = []
    for pieces in (
        [events],
        [events[a:b] for a, b in itertools.pairwise(edges)],
        [events[k : k + 1] for k in range(len(events))],
    ):
        stepper = Stepper(SIZE, Fraction(10), hold=hold, gap=gap, depth=4)
        frames, first = all_steps(stepper, pieces, limit)
        assert stepper.placed + stepper.late == len(times)
        found.append((frames.tobytes(), first, stepper.late, stepper.jumps))
    assert found[0] == found[1] == found[2]


def test_late_by_a_plain_model() -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 5000, 2000)) + rng.integers(-80, 80, 2000)
    for hold in (0, 30, 160):
        stepper = Stepper(SIZE, Fraction(10), hold=hold)
        all_steps(stepper, [make(times.tolist())])
        edge, newest, late = (int(times[0]) - hold) // 10, int(times[0]), 0
        for t in times.tolist():
            if t // 10 < edge:
                late += 1
                continue
            newest = max(newest, t)
            edge = max(edge, (newest - hold) // 10)
        assert stepper.late == late
        assert (late == 0) == (hold == 160)


def test_counts_and_places_outside() -> None:
    events = make([0] * 300)
    events["x"] = events["y"] = events["p"] = 1
    events["x"][:10], events["y"][10:15], events["p"][15:17] = 7, 5, 2
    stepper = Stepper(SIZE, Fraction(10), binary=False, most=200)
    frames, _ = all_steps(stepper, [events])
    assert (stepper.outside, stepper.placed, stepper.clipped) == (17, 283, 83)
    assert frames.sum() == frames[0, 35 + 7 + 1] == 200


def test_events_and_arrivals_of_each_step() -> None:
    stepper = Stepper(SIZE, Fraction(10))
    stepper.push(Chunk(make([5, 6, 17]), 100))
    stepper.push(Chunk(make([18, 41]), 200))
    (closed,) = drain(stepper, 9)
    assert closed.events.tolist() == [2, 2, 0, 0]
    assert closed.arrival.tolist() == [100, 100, 0, 0]


def test_a_jump_starts_anew() -> None:
    stepper = Stepper(SIZE, Fraction(10), gap=1000)
    stepper.push(Chunk(make([5, 15, 9_000_000, 9_000_005, 20, 31]), 1))
    stepper.finish()
    found = [(c.first, len(c.frames), c.restart, c.events.tolist()) for c in drain(stepper)]
    assert found == [
        (0, 2, False, [1, 1]), (0, 0, True, []), (900_000, 1, False, [2]), (0, 0, True, []), (2, 1, False, [1])
    ]  # fmt: skip
    stepper.finish()
    assert [c.events.tolist() for c in drain(stepper)] == [[1]]
    assert (stepper.jumps, stepper.placed, stepper.late) == (2, 6, 0)


def test_marks_close_steps() -> None:
    marked = Stepper(SIZE, Fraction(10), start=0)
    marked.push(Chunk(make([]), 1, mark=25))
    assert marked.closable == 2
    marked.push(Chunk(make([]), 10**12, silent=True))  # not in real time: our clock says nothing
    assert marked.closable == 2


def test_long_silence_is_made_of_silent_steps() -> None:
    stepper = Stepper(SIZE, Fraction(10), depth=4)
    stepper.push(Chunk(make([0, 9_995]), 1))
    closed = drain(stepper, 100)
    assert sum(len(c.frames) for c in closed) == 999
    assert max(len(c.frames) for c in closed) == 4
    assert sum(int(c.frames.sum()) for c in closed) == 1


def test_wrong_use() -> None:
    for options in ({"hold": -1}, {"gap": 0}, {"lateness": -1}):
        with pytest.raises(ParameterError, match="give lengths"):
            Stepper(SIZE, Fraction(10), **options)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="a step of 0"):
        Stepper(SIZE, Fraction(0))
    for bad in ("x", "0", "-5", "nan", "1e99", "1/0"):
        with pytest.raises(ParameterError, match="a step of"):
            as_dt(bad)
    assert as_dt("0.1") == Fraction(1, 10)
    assert as_dt(1000) == 1000
