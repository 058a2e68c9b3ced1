"""AEDAT 3.1 (cAER): packets of typed events, little-endian.

A packet has a header of 28 bytes: type (16 bits), source (16), size of an event, offset of its time, overflow of the
time (how often 31 bits of µs were over), capacity, number of events, number of valid ones (32 each). An event of the
polarity type (1) is a word and a time of 31 bits: valid (bit 0), polarity (1), y (16..2), x (31..17). All other types,
such as frames and inertial samples, are passed over. Source: docs.inivation.com, "AEDAT 3.1".
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.aedat import Header
from snnkit.data.files.decoder import Decoder, trimmed

PACKET_BYTES = 28
POLARITY, EVENT_BYTES = 1, 8
TYPES = 64
"""Types known are 0 to 13; a number far beyond is no type."""
SIZES = {
    "DVS128": (128, 128),
    "DAVIS240A": (240, 180),
    "DAVIS240B": (240, 180),
    "DAVIS240C": (240, 180),
    "DAVIS128": (128, 128),
    "DAVIS346A": (346, 260),
    "DAVIS346B": (346, 260),
    "DAVIS346": (346, 260),
    "DAVIS640": (640, 480),
    "DVXPLORER": (640, 480),
}


class Aedat3Decoder(Decoder):
    """Packets (without the file's header) → events of the first source that sends any, in pieces of any size."""

    word_bytes = 1

    def __init__(self) -> None:
        super().__init__()
        self._kept = b""  # an unfinished packet header or event
        self._skip = 0  # bytes of a packet that is passed over
        self._events = 0  # events still to come in the packet at hand
        self._overflow = 0
        self._source: int | None = None
        self._spare = 0  # bytes of unused capacity after the packet's events

    def _decode(self, raw: NDArray[np.uint8]) -> NDArray[np.void]:
        data = self._kept + raw.tobytes()
        at = count = 0
        out = np.empty(len(data) // EVENT_BYTES, EVENT_DTYPE)
        while True:
            if self.tally.damage:
                self.tally.lost += len(data) - at
                at = len(data)
                break
            if self._skip:
                step = min(self._skip, len(data) - at)
                at, self._skip = at + step, self._skip - step
                if self._skip:
                    break
            elif self._events:
                n = min(self._events, (len(data) - at) // EVENT_BYTES)
                if not n:
                    break
                count += self._polarity(np.frombuffer(data, "<u4", 2 * n, at), out[count : count + n])
                at, self._events = at + n * EVENT_BYTES, self._events - n
                if not self._events:
                    self._skip, self._spare = self._spare, 0
            elif len(data) - at >= PACKET_BYTES:
                self._open(data[at : at + PACKET_BYTES])
                at += 0 if self.tally.damage else PACKET_BYTES
            else:
                break
        self._kept = data[at:]
        return trimmed(out, count)

    def feed(self, data: bytes | bytearray | memoryview) -> NDArray[np.void]:
        events = super().feed(data)
        self.tally.left_over = len(self._kept)
        self.tally.missing = max(self._skip + self._events * EVENT_BYTES + self._spare - len(self._kept), 0)
        return events

    def drop_rest(self) -> int:
        dropped, self._kept, self.tally.left_over, self.tally.missing = len(self._kept), b"", 0, 0
        self._skip = self._events = self._spare = 0
        return dropped

    def _open(self, head: bytes) -> None:
        kind, source = np.frombuffer(head, "<i2", 2).tolist()
        size, _, overflow, capacity, number, valid = np.frombuffer(head, "<i4", 6, 4).tolist()
        polarity = kind == POLARITY
        if not (0 <= kind < TYPES and size > 0 and 0 <= valid <= number <= capacity and overflow >= 0):
            fault = f"type {kind}, events of {size} bytes, {valid} of {number} of {capacity} valid"
        elif polarity and size != EVENT_BYTES:
            fault = f"polarity events of {size} bytes, not {EVENT_BYTES}"
        else:
            if polarity and self._source is None:
                self._source = source
            if polarity and source == self._source:
                self._events, self._overflow = number, overflow
                self._spare = (capacity - number) * size
            else:
                self.tally.other += number
                self._skip = capacity * size
            if polarity and not number:
                self._skip, self._spare = self._spare, 0
            return
        self.tally.damage = f"the packet header after {self.tally.events:,} events is damaged ({fault})"

    def _polarity(self, words: NDArray[np.uint32], out: NDArray[np.void]) -> int:
        word, time = np.ascontiguousarray(words[0::2]), words[1::2]
        valid = (word & 1) != 0
        if not valid.all():
            self.tally.unplaced += int((~valid).sum())
            word, time = word[valid], time[valid]
            out = out[: len(word)]
        out["t"] = time & np.uint32(0x7FFFFFFF)
        if self._overflow:
            out["t"] += self._overflow << 31
        out["x"], out["y"], out["p"] = word >> 17, (word >> 2) & 0x7FFF, (word >> 1) & 1
        return len(word)


def size_of(header: Header) -> tuple[int, int] | None:
    """The sensor size of the device that a line `Source N:` names; None where it is not known."""
    for line in header.lines:
        found = re.match(r"Source \d+:\s*(\S+)", line)
        if found:
            return SIZES.get(found[1].upper())
    return None
