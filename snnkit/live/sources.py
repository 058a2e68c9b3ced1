"""Where events come from: a recording, memory. (Others: `pipe`, `udp`.) A source is read by the thread that decodes."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.errors import ParameterError

PIECE = 1 << 16
"""Most events of a chunk of a recording, and most bytes read from a pipe at a time."""
WAIT = 0.05
"""Seconds after which a source that waits looks whether it should stop."""
TICK = 0.0005
"""Seconds without anything to read after which a live source says that it is silent, so that time goes on."""


@dataclass(frozen=True)
class Chunk:
    """Events as they came.

    Attributes:
        events: [n] of `EVENT_DTYPE`.
        arrival: when the first of them was here, in ns of `time.perf_counter_ns`.
        mark: a time in µs of the sensor's clock up to which nothing more will come; None: unknown.
        silent: no events; what was here before `arrival` was read.
        latest: when the last of them was here; None: as the first.
    """

    events: NDArray[np.void]
    arrival: int
    mark: int | None = None
    silent: bool = False
    latest: int | None = None


@dataclass
class Malformed:
    """What came and was no event.

    Attributes:
        words: words of an unknown type, events before the first word of time, and all words of refused packets.
        packets: refused ones: their length is no whole number of words.
        lost_packets: those the system dropped because its buffer was full, where it says so.
        other_words: triggers and other words that are known and are no events of pixels; not malformed.
    """

    words: int = 0
    packets: int = 0
    lost_packets: int = 0
    other_words: int = 0


class Source(Protocol):
    """Something that gives chunks of events.

    Attributes:
        name: for people. sensor_size: (width, height), None where the source does not know.
        live: events come as they happen, so that silence means that time goes on.
        speed: µs of the sensor's clock in a µs of ours; None: as fast as they are taken.
        malformed: what was no event, so far.
    """

    name: str
    sensor_size: tuple[int, int] | None
    live: bool
    speed: float | None
    malformed: Malformed

    def chunks(self, stop: threading.Event) -> Iterator[Chunk]:
        """The chunks, until the end or until `stop` is set."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


def paced(
    pieces: Iterable[NDArray[np.void]], speed: float, slice_us: int, stop: threading.Event
) -> Iterator[tuple[NDArray[np.void], int, int]]:
    """The events of a recording when they are due: (events of a slice of time, due in ns, end of the slice in µs).

    Slices without events come too. Time that runs back does not wait.
    """
    begin = time.perf_counter_ns()
    origin: int | None = None
    held: list[NDArray[np.void]] = []
    end = 0
    for piece in pieces:
        t = piece["t"]
        at = 0
        if origin is None and len(t):
            origin = int(t[0])
            end = origin + slice_us
        while at < len(t):
            beyond = t[at:] >= end
            cut = at + int(beyond.argmax())
            if not beyond[cut - at]:
                held.append(piece[at:])
                break
            held.append(piece[at:cut])
            at = cut
            assert origin is not None
            due = begin + int((end - origin) * 1000 / speed)
            if not _wait_until(due, stop):
                return
            yield np.concatenate([no_events(), *held]), due, end
            held, end = [], end + slice_us
    if origin is not None:
        due = begin + int((end - origin) * 1000 / speed)
        if held and _wait_until(due, stop):
            yield np.concatenate(held), due, end


def _wait_until(due: int, stop: threading.Event) -> bool:
    while (left := due - time.perf_counter_ns()) > 0 and not stop.is_set():
        if left > 50_000_000:
            stop.wait(WAIT)
        else:
            time.sleep(left / 1e9)
    return not stop.is_set()


class FileSource:
    """A recording of any format that `snnkit.data.files` reads.

    Args:
        path: the file.
        speed: 1 for recorded speed, 2 for twice as fast, …; None: as fast as the rest can take it.
        slice_us: at a speed, how many µs of the recording come at a time.
        options: `format`, `sensor_size`, … of `snnkit.data.files.open_recording`.

    Raises:
        ParameterError: a speed that is not positive. DataError: no recording.
    """

    live = False

    def __init__(
        self, path: str | os.PathLike[str], speed: float | None = None, slice_us: int = 1000, **options: Any
    ) -> None:
        from snnkit.data import files

        if speed is not None and not 0 < speed < 1e9:
            raise ParameterError(f"a speed of {speed:g}", fix="give a positive factor, or none")
        self.name, self.speed, self._slice = str(path), speed, max(int(slice_us), 1)
        self._recording = files.open_recording(path, **options)
        self.sensor_size = self._recording.sensor_size
        self.malformed = Malformed()

    def chunks(self, stop: threading.Event) -> Iterator[Chunk]:
        """See `Source`. At a speed, chunks are marked with the time that has passed."""
        pieces = self._recording.chunks(PIECE, order="keep")
        if self.speed is not None:
            for events, due, mark in paced(pieces, self.speed, self._slice, stop):
                yield Chunk(events, due, mark)
            return
        for piece in pieces:
            if stop.is_set():
                return
            yield Chunk(piece, time.perf_counter_ns())

    def close(self) -> None:
        """Nothing stays open."""


class ArraySource:
    """Events in memory: for tests, benchmarks and programs of one's own. `speed` as of `FileSource`."""

    live = False

    def __init__(
        self, pieces: Iterable[NDArray[np.void]], sensor_size: tuple[int, int] | None = None,
        speed: float | None = None, slice_us: int = 1000,
    ) -> None:  # fmt: skip
        self.name, self.sensor_size, self.speed, self._slice = "events", sensor_size, speed, slice_us
        self._pieces = pieces
        self.malformed = Malformed()

    def chunks(self, stop: threading.Event) -> Iterator[Chunk]:
        """See `Source`."""
        if self.speed is not None:
            for events, due, mark in paced(self._pieces, self.speed, self._slice, stop):
                yield Chunk(events, due, mark)
            return
        for piece in self._pieces:
            if stop.is_set():
                return
            yield Chunk(piece, time.perf_counter_ns())

    def close(self) -> None:
        """Nothing is open."""


def quiet(file: Any, seconds: float) -> Chunk | None:
    """None as soon as there is something to read; after so long without, what says so."""
    if select.select([file], [], [], seconds)[0]:
        return None
    now = time.perf_counter_ns()  # before the look that finds nothing: what came earlier would have been seen
    return None if select.select([file], [], [], 0)[0] else Chunk(no_events(), now, silent=True)


def no_events() -> NDArray[np.void]:
    """An empty array of events."""
    return np.empty(0, EVENT_DTYPE)
