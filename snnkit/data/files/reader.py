"""What opens a file of one format: its sensor, its label, and the events in pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from snnkit.data.files.decoder import Decoder, Tally
from snnkit.errors import DataError

BLOCK = 1 << 20
"""Bytes that are read and decoded at once: the memory that `iter` needs does not depend on the file's size."""


class Reader(ABC):
    """One pass over a file.

    Attributes:
        label: the format in words.
        sensor_size: (width, height) that the file states, or None.
        typical: a sensor size to assume where the file states none and all events fit it.
        notes: what is unusual about the file, in words.
        tally: what was read so far.
        bytes: the file's size.
    """

    def __init__(self, path: Path, label: str, sensor_size: tuple[int, int] | None = None) -> None:
        self.path, self.label, self.sensor_size = path, label, sensor_size
        self.typical: tuple[int, int] | None = None
        self.notes: list[str] = []
        self.tally = Tally()
        self.bytes = size_of(path)

    @abstractmethod
    def pieces(self) -> Iterator[NDArray[np.void]]:
        """The events in order of the file, in pieces of any size."""


class BytesReader(Reader):
    """A header and a stream of bytes for a decoder.

    Args:
        path: the file.
        start: where the stream begins.
        decoder: makes the decoder of one pass.
        label, sensor_size: as in `Reader`.
    """

    def __init__(
        self,
        path: Path,
        start: int,
        decoder: Callable[[], Decoder],
        label: str,
        sensor_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(path, label, sensor_size)
        self.start, self._decoder = start, decoder

    def pieces(self) -> Iterator[NDArray[np.void]]:
        decoder = self._decoder()
        self.tally = decoder.tally
        try:
            with open(self.path, "rb") as file:
                file.seek(self.start)
                while data := file.read(BLOCK):
                    events = decoder.feed(data)
                    if len(events):
                        yield events
        except OSError as error:
            unreadable(self.path, error)


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of a file; raises `DataError` where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        unreadable(path, error)


def size_of(path: Path) -> int:
    """Bytes of a file; raises `DataError` where it cannot be read."""
    try:
        return path.stat().st_size
    except OSError as error:
        unreadable(path, error)


def unreadable(path: Path, error: OSError) -> NoReturn:
    """Raise the `DataError` of a file that the operating system refuses."""
    raise DataError(
        f"{path}: cannot be read ({error.strerror or error})", fix="check the path and its permissions"
    ) from error
