"""What every binary decoder shares: bytes in pieces of any size, events out, and a tally of what was no event."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE


@dataclass
class Tally:
    """What a decoder has seen so far.

    Args:
        bytes: bytes fed, those of an unfinished word included.
        events: events given out.
        other: records that are no events of pixels: triggers, frames, inertial samples, markers.
        unknown: words of a type that the format does not define.
        unplaced: events before the first word that states the clock (or the row), and events marked invalid.
        left_over: bytes at the end that are no whole record.
        missing: bytes that the packet at the end still lacks.
        damage: what stopped the decoder, in words; bytes after it were not read.
        lost: bytes after the damage.
    """

    bytes: int = 0
    events: int = 0
    other: int = 0
    unknown: int = 0
    unplaced: int = 0
    left_over: int = 0
    missing: int = 0
    damage: str = ""
    lost: int = 0

    def notes(self) -> list[str]:
        """What a reader of the recording should know, in words; empty where every byte was understood."""
        said = []
        if self.unplaced:
            said.append(f"{self.unplaced:,} events without a time or place (before the first clock word, or invalid)")
        if self.unknown:
            said.append(f"{self.unknown:,} words of a type that the format does not define")
        return said

    def faults(self) -> list[str]:
        """What makes the result a partial one: a damaged packet, an end that is cut off."""
        said = []
        if self.damage:
            said.append(self.damage + (f"; {self.lost:,} bytes from there on were not read" if self.lost else ""))
        if self.left_over:
            said.append(f"{self.left_over:,} bytes at the end are no whole record: the recording is cut off")
        if self.missing:
            said.append(f"the last packet lacks {self.missing:,} bytes: the recording is cut off")
        return said


class Decoder(ABC):
    """Base of the incremental decoders: `feed` bytes as they come, in pieces of any size.

    No bytes are an error here: what is not understood is counted in `tally`, and a decoder that cannot go on says so
    in `tally.damage` and gives out no more. Class attribute `word_bytes`: the size of a word; a piece may end in one.
    """

    word_bytes: ClassVar[int]

    def __init__(self) -> None:
        self.tally = Tally()
        self._rest = b""

    def feed(self, data: bytes | bytearray | memoryview) -> NDArray[np.void]:
        """Decode the next bytes; returns the events [n] of `EVENT_DTYPE` that they complete."""
        self.tally.bytes += len(data)
        if self._rest:
            data = self._rest + bytes(data)
        whole = len(data) - len(data) % self.word_bytes
        self._rest = bytes(data[whole:])
        self.tally.left_over = len(self._rest)
        if not whole:
            return np.empty(0, EVENT_DTYPE)
        events = self._decode(np.frombuffer(data, np.uint8, whole))
        self.tally.events += len(events)
        return events

    def drop_rest(self) -> int:
        """Forget an unfinished word (a datagram was cut); returns how many bytes that were."""
        dropped, self._rest, self.tally.left_over = len(self._rest), b"", 0
        return dropped

    @abstractmethod
    def _decode(self, raw: NDArray[np.uint8]) -> NDArray[np.void]:
        """Events in whole words; updates `tally`, but for `bytes`, `events` and `left_over`."""


def trimmed(out: NDArray[np.void], n: int) -> NDArray[np.void]:
    """The first n entries; a copy where most of the buffer would stay alive unused."""
    return out[:n] if 2 * n >= len(out) else out[:n].copy()
