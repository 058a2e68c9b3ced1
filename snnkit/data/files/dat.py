"""Prophesee DAT: decoded events of 8 bytes behind a header of `%` lines and two bytes (type of event, its size).

An event is a little-endian time of 32 bits in µs and a word. Version 2, N-CARS among it: x (13..0), y (27..14),
polarity (31..28). Versions 0 and 1, older ATIS files: x (8..0), y (16..9), polarity (17). The time wraps after 71 min
35 s: a step down by half its range or more is a wrap. N-CARS files state no sensor size.
Sources: docs.prophesee.ai, "DAT File Format"; github neuromorphic-paris/command_line_tools, dat.hpp (older versions).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.decoder import Decoder
from snnkit.data.files.prophesee import Header

RECORD_BYTES = 8
TRIGGER = 14
"""Type of an external trigger; 0 and 12 are events of pixels."""


class DatDecoder(Decoder):
    """Records (without header and type bytes) → events, in pieces of any size.

    Args:
        version: of the header; 2, or 0 and 1.
    """

    word_bytes = RECORD_BYTES

    def __init__(self, version: int = 2) -> None:
        super().__init__()
        self.version = version
        self._clock = WrappingClock(32)

    def _decode(self, raw: NDArray[np.uint8]) -> NDArray[np.void]:
        record = raw.view("<u4").reshape(-1, 2)
        word = np.ascontiguousarray(record[:, 1])
        out = np.empty(len(word), EVENT_DTYPE)
        out["t"] = self._clock.extend(record[:, 0])
        if self.version >= 2:
            out["x"], out["y"] = word & 0x3FFF, (word >> 14) & 0x3FFF
            polarity = word >> 28
        else:
            out["x"], out["y"] = word & 0x1FF, (word >> 9) & 0xFF
            polarity = word >> 17
        out["p"] = np.minimum(polarity, 255)
        if len(polarity) and int(polarity.max()) > 1:
            bad = polarity > 1
            self.tally.unplaced += int(bad.sum())
            out = out[~bad]
        return out


class WrappingClock:
    """Times of a counter of so many bits → int64 times that go on over its wraps, from one piece to the next."""

    def __init__(self, bits: int) -> None:
        self.range = 1 << bits
        self._last = 0
        self._wraps = 0

    def extend(self, t: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
        """Raw times [n] → times [n]; a step down by half the range or more is a wrap."""
        times = t.astype(np.int64)
        if not len(times):
            return times
        wrapped = np.flatnonzero(np.diff(times, prepend=self._last) <= -(self.range >> 1))
        self._last = int(times[-1])
        if self._wraps:
            times += self.range * self._wraps
        for i in wrapped[:_FEW].tolist():
            times[i:] += self.range
        if len(wrapped) > _FEW:  # a damaged file: one pass for all of them
            step = np.zeros(len(times), np.int64)
            step[wrapped[_FEW:]] = self.range
            times += np.cumsum(step)
        self._wraps += len(wrapped)
        return times


_FEW = 4


def version_of(header: Header, head: bytes) -> int:
    """The version in force; where the lines name none, the one that the first records (after the type bytes) fit.

    Version 1 leaves the upper 14 bits of a word empty; in version 2 that would be events of rows 0 to 15, all OFF.
    """
    said = header.values.get("version", "").strip()
    if said.isdecimal():
        return int(said[:4])
    record = np.frombuffer(head, "<u4", len(head) // RECORD_BYTES * 2).reshape(-1, 2)
    return 1 if len(record) and int(record[:, 1].max()) < 1 << 18 else 2
