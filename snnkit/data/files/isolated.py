"""Reading HDF5 recordings in a process of its own: libhdf5 and its filters may crash or never end on a damaged file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnkit._isolated.client import BrokenError, Frame, Session
from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.reader import Reader, size_of
from snnkit.errors import DataError, SnnkitError

TASK = "snnkit.data.files.hdf5_task:read"


class IsolatedReader(Reader):
    """An HDF5 file in any known layout, read in another process; the arguments are those of `open_recording`."""

    def __init__(self, path: Path, sample: int | None = None, time_unit: str | None = None) -> None:
        size_of(path)
        self._asked = {"sample": sample, "time_unit": time_unit}
        self._held: tuple[object, list[Frame]] | None = None
        version, frames = _version(path), []
        try:
            with Session(TASK, path, {**self._asked, "events": "few"}) as session:
                for frame in session:
                    frames.append(frame)
            if frames[-1][0] == "finished":
                self._held = version, frames[1:]
        except BrokenError as error:
            if not frames:
                raise broken(str(path), error) from None
        except SnnkitError:
            if not frames:
                raise
        opened = frames[0][1]
        sensor, typical = (tuple(opened[k]) if opened[k] else None for k in ("sensor", "typical"))
        super().__init__(path, opened["label"], sensor)
        self.typical = typical

    def pieces(self) -> Iterator[NDArray[np.void]]:
        held, self._held = self._held, None
        if held is not None and held[0] == _version(self.path):
            yield from self._counted(held[1])
            return
        try:
            with Session(TASK, self.path, {**self._asked, "events": "all"}) as session:
                yield from self._counted(session)
        except BrokenError as error:
            self.tally.damage = f"after {self.tally.events:,} events its HDF5 breaks the library ({error})"

    def _counted(self, frames: Iterable[Frame]) -> Iterator[NDArray[np.void]]:
        for key, value, data in frames:
            if key in ("events", "finished"):
                self.tally.bytes, self.tally.damage = int(value["bytes"]), str(value["damage"])
            if key == "events":
                events = data.view(EVENT_DTYPE)
                self.tally.events += len(events)
                yield events


def broken(place: str, error: BrokenError) -> DataError:
    """The error of a file at which the process ended."""
    return DataError(
        f"{place}: this HDF5 file is damaged (it breaks the HDF5 library: {error})",
        fix="copy or download the recording again",
    )


def _version(path: Path) -> object:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
