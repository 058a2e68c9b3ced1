from __future__ import annotations

import numpy as np
import pytest

from snnkit.data import EVENT_DTYPE, EventStream
from snnkit.errors import DataError


def columns(**changes):
    values = {"t": [0, 5, 5, 9], "x": [0, 3, 1, 2], "y": [1, 1, 0, 2], "p": [1, 0, 1, 0]}
    return {k: np.array(v) for k, v in {**values, **changes}.items()}


def test_columns_and_fields_agree():
    s = EventStream.from_columns(**columns(), sensor_size=(4, 3))
    assert s.events.dtype == EVENT_DTYPE
    assert s.t.tolist() == [0, 5, 5, 9]
    assert s.x.tolist() == [0, 3, 1, 2]
    assert s.p.tolist() == [1, 0, 1, 0]
    assert (len(s), s.duration_us) == (4, 9)


def test_boolean_polarity_and_empty_streams_are_fine():
    assert EventStream.from_columns([1], [0], [0], np.array([True]), (1, 1)).p.tolist() == [1]
    empty = EventStream.from_columns([], [], [], [], (4, 4))
    assert (len(empty), empty.duration_us) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": [0, 4, 1, 2]}, ["rec.bin", "event 1", "x=4", "4x3", "sensor_size"]),
        ({"y": [1, 1, 0, 3]}, ["rec.bin", "event 3", "y=3"]),
        ({"x": [0, 3, -1, 2]}, ["event 2", "x=-1"]),
        ({"t": [0, 5, 4, 9]}, ["rec.bin", "time runs back at event 2", "from 5 to 4", "sort"]),
        ({"p": [1, 0, -1, 0]}, ["event 2", "polarity -1", "0 (OFF)"]),
        ({"p": [1, 0]}, ["shapes"]),
        ({"t": [0.0, 1.0, 2.0, 3.0]}, ["column t", "float64", "microseconds"]),
        ({"x": np.array([0, 3, 65537, 2])}, ["event 2", "x=65537"]),
    ],
)
def test_bad_columns_name_the_file_the_event_and_the_remedy(changes, words):
    with pytest.raises(DataError) as caught:
        EventStream.from_columns(**columns(**changes), sensor_size=(4, 3), source="rec.bin")
    for word in words:
        assert word in str(caught.value)


def test_a_structured_array_is_checked_too():
    events = np.zeros(2, EVENT_DTYPE)
    events["t"] = [3, 1]
    with pytest.raises(DataError, match="time runs back"):
        EventStream(events, (4, 4))
    with pytest.raises(DataError, match="dtype"):
        EventStream(np.zeros(2), (4, 4))
    with pytest.raises(DataError, match="sensor_size"):
        EventStream(np.zeros(0, EVENT_DTYPE), (0, 4))
