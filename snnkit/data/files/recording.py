"""A recording on disk: what it is, and its events in checked chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE, EventStream
from snnkit.data.files.reader import Reader
from snnkit.data.files.scan import BACK, OUTSIDE, Fault, Scan
from snnkit.errors import DataError, ParameterError

ORDERS = ("check", "keep", "sort")
CHUNK = 1 << 20
"""Events of a chunk where nothing else is asked for (13 MB)."""

_MOST_GROWTH = 64
"""An array of events grows at most so many times at once; what is not used of it takes no memory."""
_ROOM = 1024
_SOUND = "the first {:,} events are sound; partial=True (on the command line --partial) gives them"


class RecordingWarning(UserWarning):
    """Something about a recording that does not keep it from being read."""


class Recording:
    """An opened recording; `snnkit.data.files.open_recording` makes it.

    Args:
        path: the file.
        format: its format's name.
        opener: makes a reader for one pass.
        sensor_size: (width, height); None: what the file states.

    Attributes:
        scan: ranges and counts of the last pass.
        remarks: what was noticed about the file before it was opened.
    """

    def __init__(
        self, path: Path, format: str, opener: Callable[[], Reader], sensor_size: tuple[int, int] | None = None
    ) -> None:
        self.path, self.format, self._opener = path, format, opener
        self._reader = opener()
        self._read = False
        self._given = sensor_size
        self._more: list[str] = []
        self.remarks: list[str] = []
        self.scan = Scan()

    @property
    def label(self) -> str:
        """The format in words, such as "Prophesee EVT2.1, legacy endianness"."""
        return self._reader.label

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return self._reader.bytes

    @property
    def bytes_read(self) -> int:
        """Bytes read in the pass under way."""
        return self._reader.tally.bytes

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """(width, height): given, or stated by the file, or after a whole pass the smallest that holds all events."""
        known = self._given or self._reader.sensor_size
        if known is None and self.scan.events:
            return self.scan.smallest_sensor(self._reader.typical)
        return known

    @property
    def others(self) -> int:
        """Records of other kinds that were passed over: frames, inertial samples, triggers."""
        return self._reader.tally.other

    @property
    def notes(self) -> list[str]:
        """What is unusual about the file and what was left out of it, in words."""
        return [*self.remarks, *self._reader.notes, *self._reader.tally.notes(), *self._more]

    def chunks(
        self, chunk: int | None = CHUNK, *, order: str = "check", partial: bool = False
    ) -> Iterator[NDArray[np.void]]:
        """The events, checked, in arrays of `chunk` events (the last one shorter); None: in pieces as they come.

        Args:
            chunk: events of an array.
            order: "check": time that runs back is an error; "keep": it is counted.
            partial: a damaged or cut file gives what comes before the damage, and a note; otherwise it is an error.

        Raises:
            DataError: the file is damaged, empty, has events outside the sensor, or its time runs back.
        """
        if chunk is not None and chunk < 1:
            raise ParameterError(f"a chunk of {chunk} events", fix="give at least 1")
        if order not in ("check", "keep"):
            raise ParameterError(f"order {order!r} in chunks", fix="give 'check' or 'keep'; read() can sort")
        pieces = self._checked(order == "check", partial)
        return pieces if chunk is None else _rechunk(pieces, chunk)

    def read(self, *, order: str = "check", partial: bool = False) -> EventStream:
        """All events as an `EventStream`; order="sort" sorts them by time (stable) where it runs back."""
        if order not in ORDERS:
            raise ParameterError(f"order {order!r}", fix="give 'check' or 'sort'")
        if order == "keep":
            raise ParameterError("an EventStream is in order of time", fix="sort, or take chunks(order='keep')")
        events = self._joined(self.chunks(None, order="keep" if order == "sort" else "check", partial=partial))
        if self.scan.steps_back:
            events = events[np.argsort(events["t"], kind="stable")]
            self._more.append(f"time ran back {self.scan.steps_back:,} times; the events were sorted")
        size = self.sensor_size
        assert size is not None
        return EventStream._of_checked(events, size, str(self.path))

    def _joined(self, pieces: Iterator[NDArray[np.void]]) -> NDArray[np.void]:
        """All pieces in one array, as large as the share of the file that is read lets expect."""
        whole, n = next(pieces), 0
        for piece in pieces:
            n = n or len(whole)
            needed = n + len(piece)
            if needed > len(whole):
                share = max(self.bytes_read / max(self.bytes, 1), 1 / _MOST_GROWTH)
                larger = np.empty(int(needed / min(share, 1.0) * 1.02) + _ROOM, EVENT_DTYPE)
                _copy(whole[:n], larger)
                whole = larger
            _copy(piece, whole[n:needed])
            n = needed
        if len(whole) > n > 0:
            whole.resize(n, refcheck=False)  # gives the rest back in place
        return whole

    def _checked(self, in_order: bool, partial: bool) -> Iterator[NDArray[np.void]]:
        if self._read:
            self._reader = self._opener()
        self._read, self._more = True, []
        tally = self._reader.tally
        size = self._given or self._reader.sensor_size
        self.scan = scan = Scan(size, in_order)
        for piece in self._reader.pieces():
            tally = self._reader.tally
            fault = scan.add(piece)
            if fault is not None:
                if fault.rule == BACK:
                    self._time_runs_back(piece, fault)
                what = self._fault(piece, fault, size)
                if not (partial and scan.events + fault.at):
                    raise what
                piece = piece[: fault.at]
                scan.add(piece)
                self._more.append(f"damaged: {what.what.split(': ', 1)[-1]}; what follows was not read")
                if len(piece):
                    yield piece
                return
            yield piece
        tally = self._reader.tally
        faults = tally.faults()
        if not scan.events:
            raise self._nothing(faults)
        word = tally.unknown * 4 * self._word_bytes()
        if word > tally.bytes:
            faults.append(f"{tally.unknown:,} words are of no type that the format defines")
        if faults and not partial:
            raise DataError(
                f"{self.path}: damaged or cut off: {'; '.join(faults)}",
                why=_SOUND.format(scan.events),
                fix="copy or download the recording again, or take the part that is sound",
            )
        self._more += faults

    def _word_bytes(self) -> int:
        return {"evt2": 4, "evt21": 8, "evt3": 2}.get(self.format, 0)

    def _fault(self, piece: NDArray[np.void], fault: Fault, size: tuple[int, int] | None) -> DataError:
        e, index = piece[fault.at], self.scan.events + fault.at
        if fault.rule == OUTSIDE:
            assert size is not None
            return DataError(
                f"{self.path}: event {index} lies at (x={int(e['x'])}, y={int(e['y'])}), outside the"
                f" {size[0]}x{size[1]} sensor",
                why="the file is damaged, of another format than it says, or of another sensor. "
                + _SOUND.format(index),
                fix="check the file, or give the sensor_size (width, height) that it was recorded with",
            )
        return DataError(
            f"{self.path}: event {index} has polarity {int(e['p'])}",
            why="polarity is 0 (OFF) or 1 (ON). " + _SOUND.format(index),
            fix="check the file and its columns",
        )

    def _time_runs_back(self, piece: NDArray[np.void], fault: Fault) -> None:
        index = self.scan.events + fault.at
        before = int(piece["t"][fault.at - 1]) if fault.at else self.scan.last
        raise DataError(
            f"{self.path}: time runs back at event {index}, from {before} to {int(piece['t'][fault.at])} us",
            why="the file is damaged, two recordings were joined, or the camera restarted its clock",
            fix="read(…, order='sort') (on the command line --sort) sorts all events by time;"
            " snnkit inspect shows how often it happens",
        )

    def _nothing(self, faults: list[str]) -> DataError:
        tally = self._reader.tally
        said = [*faults, *tally.notes(), *self.remarks, *self._reader.notes]
        if tally.other:
            said.append(f"{tally.other:,} records of other kinds")
        return DataError(
            f"{self.path}: {self.label} without any event" + (f" ({'; '.join(said)})" if said else ""),
            why=f"the file has {self.bytes:,} bytes: nothing was recorded, or it is damaged or of another format",
            fix="check the file; leave empty recordings out",
        )


def _copy(events: NDArray[np.void], to: NDArray[np.void]) -> None:
    """As bytes, which numpy copies many times faster than records."""
    plain = np.ascontiguousarray(events).view(np.uint8)
    to.view(np.uint8)[: len(plain)] = plain


def _together(parts: list[NDArray[np.void]]) -> NDArray[np.void]:
    if len(parts) == 1:
        return parts[0]
    whole, n = np.empty(sum(map(len, parts)), EVENT_DTYPE), 0
    for part in parts:
        _copy(part, whole[n:])
        n += len(part)
    return whole


def _rechunk(pieces: Iterator[NDArray[np.void]], chunk: int) -> Iterator[NDArray[np.void]]:
    held: list[NDArray[np.void]] = []
    count = 0
    for piece in pieces:
        while count + len(piece) >= chunk:
            take = chunk - count
            held.append(piece[:take])
            yield _together(held)
            piece, held, count = piece[take:], [], 0
        if len(piece):
            held.append(piece)
            count += len(piece)
    if held:
        yield _together(held)
