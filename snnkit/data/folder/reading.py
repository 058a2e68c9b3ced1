"""One recording of any known format as columns whose time starts at 0, with the sensor size that its file states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnkit.data.files.atis import read_atis
from snnkit.errors import DataError

Columns = tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]
Size = tuple[int, int]


def read_recording(file: Path, sensor_size: Size | None, sort: bool) -> tuple[Columns, Size | None, Size]:
    """(columns, size stated by the file or None, smallest size that holds all events).

    Raises:
        DataError: the file is unreadable, damaged, empty, of no known format, has events outside the sensor, or its
            time runs back.
    """
    if file.suffix.lower() != ".bin":
        raise DataError(f"{file}: no known format of recordings", fix="known: ATIS .bin")
    stream = read_atis(file, sensor_size or (256, 240))
    smallest = (int(stream.x.max()) + 1, int(stream.y.max()) + 1)
    columns = (stream.t - stream.t[0], stream.x, stream.y, stream.p)
    if int(columns[0][-1]) >= 1 << 32:
        raise DataError(
            f"{file}: lasts {int(columns[0][-1]) / 60e6:.0f} minutes",
            why="recordings of a data set are shorter than 2^32 us (71 minutes)",
            fix="cut the recording",
        )
    return columns, None, smallest
