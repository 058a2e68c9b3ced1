"""`read`, `iterate`, `open_recording`, `recognise`: any recording, whatever its format."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EventStream
from snnkit.data.files import formats
from snnkit.data.files.recording import CHUNK, Recording, RecordingWarning
from snnkit.errors import DataError


def recognise(path: str | os.PathLike[str]) -> str:
    """The name of a file's format (a key of `FORMATS`), by its first bytes before its ending.

    Raises:
        DataError: it cannot be read, is empty, or of no known format; the message says what it looks like.
    """
    return formats.recognise(Path(path))[0]


def open_recording(
    path: str | os.PathLike[str],
    *,
    sensor_size: tuple[int, int] | None = None,
    format: str | None = None,
    sample: int | None = None,
    columns: str | None = None,
    time_unit: str | None = None,
) -> Recording:
    """Open a recording: its format, label and sensor are known at once, its events come with `chunks` or `read`.

    Args:
        path: the file.
        sensor_size: (width, height); None: what the file states, else the smallest that holds all events.
        format: the format's name; None: recognised.
        sample: of an HDF5 file in the layout of SHD: which recording.
        columns: of text without header: the order of the columns, such as "xytp", `_` for one to pass over.
        time_unit: of text, NPZ and HDF5: "ns", "us", "ms" or "s"; None: µs for whole numbers, s for fractions.

    Raises:
        DataError: the file cannot be read, is empty, damaged at its head, or of no known format.
    """
    file = Path(path)
    notes: list[str] = []
    if format is None:
        format, notes = formats.recognise(file)
    elif file.is_dir():
        raise DataError(f"{file} is a folder, not a recording", fix="name a file in it")
    options = {"sensor_size": sensor_size, "sample": sample, "columns": columns, "time_unit": time_unit}
    recording = Recording(file, format, formats.opener(file, format, options), sensor_size)
    recording.remarks += notes
    return recording


def read(
    path: str | os.PathLike[str],
    *,
    sensor_size: tuple[int, int] | None = None,
    format: str | None = None,
    order: str = "check",
    partial: bool = False,
    sample: int | None = None,
    columns: str | None = None,
    time_unit: str | None = None,
) -> EventStream:
    """Read a whole recording.

    Args:
        path: the file.
        sensor_size, format, sample, columns, time_unit: as in `open_recording`.
        order: "check": time that runs back is an error that names the event; "sort": the events are sorted by time.
        partial: a damaged or cut file gives the events before the damage; otherwise it is an error.

    Returns:
        The events with the sensor's size.

    Raises:
        DataError: the file cannot be read, is empty, damaged or of no known format, has events outside the sensor, or
            its time runs back.

    Warns:
        RecordingWarning: what was left out, guessed or mended.
    """
    recording = open_recording(
        path, sensor_size=sensor_size, format=format, sample=sample, columns=columns, time_unit=time_unit
    )
    stream = recording.read(order=order, partial=partial)
    _warn(recording, 3)
    return stream


def iterate(
    path: str | os.PathLike[str],
    chunk: int = CHUNK,
    *,
    sensor_size: tuple[int, int] | None = None,
    format: str | None = None,
    order: str = "check",
    partial: bool = False,
    sample: int | None = None,
    columns: str | None = None,
    time_unit: str | None = None,
) -> Iterator[NDArray[np.void]]:
    """The events of a recording in arrays of `chunk` events (the last one shorter), in memory that does not grow.

    Args:
        path: the file.
        chunk: events of an array.
        sensor_size, format, sample, columns, time_unit: as in `open_recording`.
        order: "check": time that runs back is an error; "keep": it is let through.
        partial: as in `read`. What is wrong is known only when it is reached: chunks before it were given out then.

    Raises:
        DataError: as in `read`.

    Warns:
        RecordingWarning: at the end, what was left out or guessed.
    """
    recording = open_recording(
        path, sensor_size=sensor_size, format=format, sample=sample, columns=columns, time_unit=time_unit
    )
    return _with_warnings(recording, chunk, order, partial)


def _with_warnings(recording: Recording, chunk: int, order: str, partial: bool) -> Iterator[NDArray[np.void]]:
    yield from recording.chunks(chunk, order=order, partial=partial)
    _warn(recording, 3)


def _warn(recording: Recording, level: int) -> None:
    for note in recording.notes:
        warnings.warn(f"{recording.path}: {note}", RecordingWarning, stacklevel=level)
