"""Write recordings: EVT 2, HDF5 (DSEC layout), CSV, NPZ and ATIS .bin, in pieces and atomically."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnkit import _io
from snnkit.data.events import EventStream
from snnkit.data.files.formats import FORMATS
from snnkit.errors import DataError, ParameterError, did_you_mean

WRITABLE = tuple(n for n, f in FORMATS.items() if f.writes)


class Writer(ABC):
    """Takes events in order of time, in pieces. Class attribute `loses`: what a reader of the file cannot know."""

    loses: ClassVar[str] = ""

    def __init__(self, sensor_size: tuple[int, int]) -> None:
        self.sensor_size = sensor_size
        self.events = 0

    def add(self, events: NDArray[np.void]) -> None:
        """Write the next events [n] of `EVENT_DTYPE`."""
        if len(events):
            self._add(events)
            self.events += len(events)

    @abstractmethod
    def _add(self, events: NDArray[np.void]) -> None: ...

    def close(self) -> None:  # noqa: B027  not every writer has something left to do
        """Write what comes last."""


class _Evt2(Writer):
    def __init__(self, file: IO[bytes], sensor_size: tuple[int, int], source: str) -> None:
        from snnkit.data.files.evt2 import HIGH_BITS, LOW_BITS, SIDE, Evt2Encoder

        super().__init__(sensor_size)
        width, height = sensor_size
        if width > SIDE or height > SIDE:
            raise DataError(f"{source}: a {width}x{height} sensor does not fit EVT 2", fix="write HDF5 or NPZ")
        self._file, self._source, self._range = file, source, 1 << (HIGH_BITS + LOW_BITS)
        self._encoder = Evt2Encoder(source)
        lines = ("evt 2.0", f"format EVT2;height={height};width={width}", f"geometry {width}x{height}", "end")
        file.write("".join(f"% {line}\n" for line in lines).encode())

    def _add(self, events: NDArray[np.void]) -> None:
        if not self.events and int(events["t"][0]) >= self._range:
            raise DataError(
                f"{self._source}: the first time is {int(events['t'][0])} us",
                why="the clock of EVT 2 has 34 bits, 4 h 46 min",
                fix="shift the times so that they start near 0 (snnkit convert --from-zero)",
            )
        self._file.write(self._encoder.feed(events))


class _Csv(Writer):
    loses = "the sensor's size"

    def __init__(self, file: IO[bytes], sensor_size: tuple[int, int], source: str) -> None:
        super().__init__(sensor_size)
        self._file = file
        file.write(b"t,x,y,p\n")

    def _add(self, events: NDArray[np.void]) -> None:
        self._file.write(b"".join([b"%d,%d,%d,%d\n" % e for e in events.tolist()]))


class _Hdf5(Writer):
    """DSEC layout and filter (Blosc; h5py needs hdf5plugin). Times from 2^32 µs on count from `t_offset`, as there."""

    LONGEST_INDEX = 10_000_000

    def __init__(self, path: Path, sensor_size: tuple[int, int], source: str) -> None:
        import h5py
        import hdf5plugin

        super().__init__(sensor_size)
        pack = hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE)
        self._file = h5py.File(path, "w", track_order=False)
        self._offset = 0
        self._marks: list[NDArray[np.int64]] = []
        self._next_ms = 0
        events = self._file.create_group("events")
        types = {"t": "<i8", "x": "<u2", "y": "<u2", "p": "u1"}
        self._sets: dict[str, Any] = {
            c: events.create_dataset(c, (0,), d, chunks=(1 << 16,), maxshape=(None,), **pack) for c, d in types.items()
        }
        self._file.attrs["width"], self._file.attrs["height"] = sensor_size

    def _add(self, events: NDArray[np.void]) -> None:
        first, last = int(events["t"][0]), int(events["t"][-1])
        if not self.events and (first >= 1 << 32 or first < 0):
            self._offset = first // 1000 * 1000
        end = self.events + len(events)
        for column, data in self._sets.items():
            data.resize((end,))
            data[self.events : end] = events[column] - self._offset if column == "t" else events[column]
        top = (last - self._offset) // 1000
        if top <= self.LONGEST_INDEX:
            ms = np.arange(self._next_ms, top + 1) * 1000 + self._offset
            self._marks.append(self.events + np.searchsorted(events["t"], ms))
        self._next_ms = max(self._next_ms, top + 1)

    def close(self) -> None:
        self._file["t_offset"] = np.int64(self._offset)
        if self._next_ms <= self.LONGEST_INDEX:
            index = np.concatenate([*self._marks, np.empty(0, np.int64)]).astype("<u8")
            self._file.create_dataset("ms_to_idx", data=index)
        self._file.close()


class _Whole(Writer):
    """Formats that are written at once: the events are kept."""

    def __init__(self, path: Path, sensor_size: tuple[int, int], source: str, format: str) -> None:
        super().__init__(sensor_size)
        self._path, self._source, self._format = path, source, format
        self._parts: list[NDArray[np.void]] = []

    def _add(self, events: NDArray[np.void]) -> None:
        self._parts.append(events)

    def close(self) -> None:
        from snnkit.data.events import EVENT_DTYPE

        events = np.concatenate([np.empty(0, EVENT_DTYPE), *self._parts])
        stream = EventStream(events, self.sensor_size, self._source)
        if self._format == "npz":
            from snnkit.data.files.npz import encode_npz

            self._path.write_bytes(encode_npz(stream))
        else:
            from snnkit.data.files.atis import encode_atis

            self._path.write_bytes(encode_atis(stream))


LOSES = {"csv": _Csv.loses, "atis": "the sensor's size"}
"""What a format does not keep."""


def format_of(path: str | os.PathLike[str], format: str | None = None) -> str:
    """The format to write: given, or by the ending.

    Raises:
        ParameterError: it cannot be written, or the ending says nothing.
    """
    can = ", ".join(f"{n} ({'/'.join(FORMATS[n].endings)})" for n in WRITABLE)
    if format is None:
        ending = Path(path).suffix.lower()
        found = [n for n, f in FORMATS.items() if ending in f.endings and f.writes]
        if not found:
            raise ParameterError(
                f"nothing is known to write with the ending {ending or '(none)'}", fix=f"give one of {can}"
            )
        return found[0]
    if format not in WRITABLE:
        hint = did_you_mean(format, WRITABLE) if format not in FORMATS else " (it can only be read)"
        raise ParameterError(f"no format {format!r} to write{hint}", fix=f"give one of {can}")
    return format


@contextmanager
def create(
    path: str | os.PathLike[str], sensor_size: tuple[int, int], *, format: str | None = None
) -> Iterator[Writer]:
    """A writer of a new file that appears, whole, when the block ends; on any error there is none.

    Args:
        path: the file; replaced if it is there.
        sensor_size: (width, height).
        format: "evt2", "hdf5", "csv", "npz" or "atis"; None: by the ending.

    Raises:
        ParameterError: the format cannot be written. DataError: it cannot hold the events.
    """
    name, source = format_of(path, format), str(path)
    with _io.atomic_path(path) as temp:
        if name == "hdf5":
            writer: Writer = _Hdf5(temp, sensor_size, source)
            try:
                yield writer
            finally:
                writer.close()
        elif name in ("npz", "atis"):
            writer = _Whole(temp, sensor_size, source, name)
            yield writer
            writer.close()
        else:
            with open(temp, "wb") as file:
                writer = (_Evt2 if name == "evt2" else _Csv)(file, sensor_size, source)
                yield writer
                writer.close()


def write(path: str | os.PathLike[str], stream: EventStream, format: str | None = None) -> None:
    """Write a recording atomically.

    Args:
        path: the file; replaced if it is there.
        stream: the events and the sensor's size.
        format: "evt2", "hdf5", "csv", "npz" or "atis"; None: by the ending.

    Raises:
        ParameterError: the format cannot be written. DataError: it cannot hold the events.
    """
    with create(path, stream.sensor_size, format=format) as writer:
        for first in range(0, len(stream), PIECE):
            writer.add(stream.events[first : first + PIECE])


PIECE = 1 << 18
"""Events written at once."""
