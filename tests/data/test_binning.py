from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.data import EVENT_DTYPE, EventStream, to_frames
from snnkit.errors import DataError, ParameterError

event_lists = st.lists(
    st.tuples(st.integers(-50, 2000), st.integers(0, 4), st.integers(0, 2), st.integers(0, 1)), max_size=60
)


def stream(events) -> EventStream:
    rows = sorted(events, key=lambda e: e[0])
    t, x, y, p = zip(*rows) if rows else ([], [], [], [])
    return EventStream.from_columns(np.array(t, int), np.array(x, int), np.array(y, int), np.array(p, int), (5, 3))


def plainly(s: EventStream, T, by, window):
    """The definition, event by event."""
    frames = np.zeros((T, 2, 3, 5))
    n = len(s)
    for i, (t, x, y, p) in enumerate(s.events.tolist()):
        if by == "count":
            k = i * T // n
        elif window is None:
            first, last = int(s.t[0]), int(s.t[-1])
            k = (t - first) * T // (last - first + 1)
        else:
            k = min(max(t * T // window, 0), T - 1)
        frames[k, p, y, x] += 1
    return frames


@given(
    event_lists, st.integers(1, 12), st.sampled_from(["time", "count"]), st.sampled_from([None, 1, 7, 999, 1500, 5000])
)
def test_no_event_is_lost_and_each_is_where_the_definition_puts_it(events, T, by, window):
    s = stream(events)
    counts = to_frames(s, T=T, by=by, duration_us=window)
    assert counts.shape == (T, 2, 3, 5)
    assert counts.dtype == np.float32
    assert counts.sum() == len(s)
    assert np.array_equal(counts, plainly(s, T, by, window))
    assert np.array_equal(to_frames(s, T=T, by=by, duration_us=window, binary=True), counts > 0)
    assert np.array_equal(to_frames(s.events, (5, 3), T=T, by=by, duration_us=window), counts)


def test_the_last_event_counts():
    s = EventStream.from_columns([0, 50, 100], [0, 1, 2], [0, 0, 0], [1, 1, 1], (5, 3))
    assert to_frames(s, T=2)[1].sum() == 1 + 0  # t = 100 alone lies in [50.5, 101)
    assert to_frames(s, T=2)[1, 1, 0, 2] == 1
    assert to_frames(s, T=2, duration_us=60)[1, 1, 0, 2] == 1  # beyond the window: in the last bin


def test_channels_are_off_then_on():
    s = EventStream.from_columns([0, 1, 2], [4, 4, 3], [2, 2, 1], [0, 0, 1], (5, 3))
    frames = to_frames(s, T=1)
    assert frames[0, 0, 2, 4] == 2
    assert frames[0, 1, 1, 3] == 1


def test_bins_by_count_are_even():
    s = EventStream.from_columns(np.arange(10) ** 2, [0] * 10, [0] * 10, [0] * 10, (5, 3))
    assert to_frames(s, T=4, by="count").sum((1, 2, 3)).tolist() == [3, 2, 3, 2]


def test_large_times_do_not_overflow():
    t = np.array([1_631_717_221_674_515, 1_631_717_224_374_502])
    s = EventStream.from_columns(t, [0, 1], [0, 0], [0, 1], (5, 3))
    assert to_frames(s, T=10).sum((1, 2, 3)).tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_wrong_use_is_refused():
    s = stream([(0, 0, 0, 0)])
    with pytest.raises(ParameterError, match="T is 0"):
        to_frames(s, T=0)
    with pytest.raises(ParameterError, match="'tme'"):
        to_frames(s, by="tme")
    with pytest.raises(ParameterError, match="window"):
        to_frames(s, duration_us=0)
    with pytest.raises(DataError, match="sensor_size"):
        to_frames(s.events)
    with pytest.raises(DataError, match="5x3"):
        to_frames(s, (34, 34))
    outside = np.zeros(1, EVENT_DTYPE)
    outside["x"] = 5
    with pytest.raises(DataError, match="outside the 5x3"):
        to_frames(outside, (5, 3))


@pytest.mark.parametrize("grid", [1, 4, 11, 34, 50])
def test_coarser_cells_lose_no_event(grid: int) -> None:
    """Pixel x is in cell ⌊x · grid / width⌋: equal parts of the sensor where the width allows, and every event once."""
    from snnkit.data.frame_settings import FrameSettings

    rng = np.random.default_rng(grid)
    n = 500
    events = np.zeros(n, [("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.int8)])
    events["t"], events["p"] = np.sort(rng.integers(0, 1000, n)), rng.integers(0, 2, n)
    events["x"], events["y"] = rng.integers(0, 34, n), rng.integers(0, 34, n)
    coarse = to_frames(events, (34, 34), T=4, grid=grid)
    assert coarse.shape == (4, 2, grid, grid)
    assert coarse.sum() == n
    expected = np.zeros((2, grid, grid))
    for e in events:
        expected[e["p"], int(e["y"]) * grid // 34, int(e["x"]) * grid // 34] += 1
    np.testing.assert_array_equal(coarse.sum(0), expected)
    settings = FrameSettings(T=4, grid=grid)
    assert settings.shape((2, 34, 34)) == (2, grid, grid)
    assert FrameSettings.from_description(settings.describe(0)) == settings
    with pytest.raises(ParameterError, match="grid is 0"):
        FrameSettings(grid=0)
    with pytest.raises(ParameterError, match="grid is 0"):
        to_frames(events, (34, 34), grid=0)
