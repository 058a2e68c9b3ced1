"""One recording of any known format as columns whose time starts at 0, with the sensor size that its file states."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit.data.files import open_recording
from snnkit.errors import DataError

Columns = tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]
Size = tuple[int, int]


class Read(NamedTuple):
    """A recording that was read.

    columns: (t, x, y, p) [N], t from the first event on; stated: the size that the file states, or None; size: the
    stated one, or the smallest that holds all events; notes: what was left out or guessed, in words.
    """

    columns: Columns
    stated: Size | None
    size: Size
    notes: list[str]


def read_recording(file: Path, sensor_size: Size | None = None, sort: bool = False, shift: bool = True) -> Read:
    """Read a recording.

    Args:
        file: of any format that `snnkit.data.files` knows.
        sensor_size: (width, height) that events must lie in; None: what the file states.
        sort: sort the events by time where it runs back, instead of an error.
        shift: count time from the first event, and refuse what a data set cannot hold.

    Raises:
        DataError: the file is unreadable, damaged, empty, of no known format, has events outside the sensor, or its
            time runs back.
    """
    recording = open_recording(file, sensor_size=sensor_size)
    stated = recording.sensor_size
    stream = recording.read(order="sort" if sort else "check")
    if shift and stream.duration_us >= 1 << 32:
        raise DataError(
            f"{file}: lasts {stream.duration_us / 60e6:.0f} minutes",
            why="recordings of a data set are shorter than 2^32 us (71 minutes)",
            fix="cut the recording",
        )
    columns = (stream.t - stream.t[0] if shift else stream.t, stream.x, stream.y, stream.p)
    return Read(columns, None if sensor_size else stated, stream.sensor_size, recording.notes)
