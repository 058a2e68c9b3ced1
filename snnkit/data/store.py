"""Decoded recordings as columns: one array per event field for a whole data set, memory-mapped where they lie on disk.

An 34×34 recording costs 7 bytes per event (t uint32, x, y, p uint8); the k-th recording is the slice
`offsets[k]:offsets[k+1]` of each column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE, EventStream
from snnkit.errors import DataError

COLUMNS = ("t", "x", "y", "p")


class Recording(NamedTuple):
    """One decoded recording on its way into a store: its name, its class, and its columns [N] (checked)."""

    name: str
    label: int
    t: NDArray[np.integer]
    x: NDArray[np.integer]
    y: NDArray[np.integer]
    p: NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class EventStore:
    """All recordings of a data set.

    t uint32 [E] µs, x, y uint8 or uint16 [E], p uint8 [E], offsets int64 [R + 1], labels int64 [R], names of the R
    recordings, sensor_size (width, height), digest: SHA-256 over the content (see `ContentHash`), notes: what else was
    kept of the decoding.
    """

    t: NDArray[np.uint32]
    x: NDArray[np.integer]
    y: NDArray[np.integer]
    p: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    sensor_size: tuple[int, int]
    digest: str
    folder: Path | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def columns(
        self, index: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.integer], NDArray[np.integer], NDArray[np.uint8]]:
        """The columns (t, x, y, p) of one recording, views [N]."""
        a, b = self.offsets[index], self.offsets[index + 1]
        return self.t[a:b], self.x[a:b], self.y[a:b], self.p[a:b]

    def stream(self, index: int) -> EventStream:
        """One recording as a checked `EventStream`."""
        t, x, y, p = self.columns(index)
        events = np.empty(len(t), EVENT_DTYPE)
        for name, column in zip(COLUMNS, (t, x, y, p)):
            events[name] = column
        return EventStream(events, self.sensor_size, self.names[index])

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker started by spawn maps the files again instead of being sent the events.
        if self.folder is not None:
            from snnkit.data.cache import open_entry

            return open_entry, (self.folder, False)
        return EventStore, tuple(getattr(self, f) for f in self.__dataclass_fields__)


class ContentHash:
    """The data digest, fed one recording after the other.

    SHA-256 over, for each recording in order: its class and number of events as little-endian int64, then t as
    little-endian uint32, x and y as little-endian uint16, p as uint8. File names, archives and caches do not enter.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, r: Recording) -> None:
        """Add one recording; raises `DataError` for times that a store cannot hold."""
        if len(r.t) and not 0 <= int(r.t[0]) <= int(r.t[-1]) < 1 << 32:
            raise DataError(
                f"{r.name}: times from {int(r.t[0])} to {int(r.t[-1])} us",
                why="recordings of a data set start at 0 or later and are shorter than 2^32 us (71 minutes)",
                fix="shift the times, or cut the recording",
            )
        self._hash.update(np.array([r.label, len(r.t)], "<i8").tobytes())
        for column, dtype in zip((r.t, r.x, r.y, r.p), ("<u4", "<u2", "<u2", "u1")):
            self._hash.update(np.ascontiguousarray(column, dtype).tobytes())

    def hexdigest(self) -> str:
        """The digest so far, hexadecimal."""
        return self._hash.hexdigest()


def coordinate_dtype(sensor_size: tuple[int, int]) -> np.dtype[Any]:
    """The narrowest unsigned type that holds every coordinate of this sensor."""
    return np.dtype("u1") if max(sensor_size) <= 256 else np.dtype("<u2")


def store_in_memory(
    recordings: Iterable[Recording],
    sensor_size: tuple[int, int] | Callable[[], tuple[int, int]],
    notes: Callable[[], dict[str, Any]] = dict,
) -> EventStore:
    """Collect recordings into a store without a file (used where no cache can be written).

    `sensor_size` may be a function; it and `notes` are asked after the last recording.
    """
    digest = ContentHash()

    def hashed() -> Iterator[Recording]:
        for r in recordings:
            digest.update(r)
            yield r

    kept = list(hashed())
    sensor_size = sensor_size() if callable(sensor_size) else sensor_size
    xy = coordinate_dtype(sensor_size)
    dtypes: dict[str, Any] = {"t": np.dtype("<u4"), "x": xy, "y": xy, "p": np.dtype("u1")}
    columns: dict[str, Any] = {
        c: np.concatenate([np.zeros(0, d), *(np.asarray(getattr(r, c)).astype(d) for r in kept)])
        for c, d in dtypes.items()
    }
    return EventStore(
        **columns,
        offsets=np.cumsum([0, *(len(r.t) for r in kept)], dtype=np.int64),
        labels=np.array([r.label for r in kept], np.int64),
        names=tuple(r.name for r in kept),
        sensor_size=sensor_size,
        digest=digest.hexdigest(),
        notes=notes(),
    )
