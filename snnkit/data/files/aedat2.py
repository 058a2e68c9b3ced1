"""AEDAT 2.0 (jAER): records of 8 bytes, big-endian: an address and a time, 32 bits each, in µs.

What an address means depends on the chip, which the header line `AEChip:` names.
- DVS128: y (14..8), x (7..1, counted from the right edge), bit 0 = 0 for ON; bit 15 marks external events.
- DAVIS: bit 31 = 0 for events; y (30..22), x (21..12, counted from the right edge), bit 11 = 1 for ON; bit 10 marks
  external events. With bit 31 the record is a sample of a frame or of the inertial sensor.

Rows stay as the file numbers them; jAER draws row 0 at the bottom. The time wraps after 71 min 35 s.
Sources: docs.inivation.com, "AEDAT 2.0"; jAER's DVS128 and DAVIS event extractors (github SensorsINI/jaer).
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.aedat import Header
from snnkit.data.files.dat import WrappingClock
from snnkit.data.files.decoder import Decoder

RECORD_BYTES = 8
DVS128 = (128, 128)
DAVIS_SIZES = {"240": (240, 180), "346": (346, 260), "640": (640, 480), "208": (208, 192)}


class Aedat2Decoder(Decoder):
    """Records (without the header) → events, in pieces of any size.

    Args:
        sensor_size: (width, height); x is counted from the right edge.
        davis: addresses of a DAVIS, not of a DVS128.
    """

    word_bytes = RECORD_BYTES

    def __init__(self, sensor_size: tuple[int, int] = DVS128, davis: bool = False) -> None:
        super().__init__()
        self.width, self.davis = sensor_size[0], davis
        self._clock = WrappingClock(32)

    def _decode(self, raw: NDArray[np.uint8]) -> NDArray[np.void]:
        record = raw.view(">u4").reshape(-1, 2)
        address = record[:, 0].astype(np.uint32)
        other = (address & (0x80000400 if self.davis else 0xFFFF8000)) != 0
        t = self._clock.extend(record[:, 1])
        if other.any():
            self.tally.other += int(other.sum())
            address, t = address[~other], t[~other]
        if self.davis:
            x, y, p = (address >> 12) & 0x3FF, (address >> 22) & 0x1FF, (address >> 11) & 1
        else:
            x, y, p = (address >> 1) & 0x7F, (address >> 8) & 0x7F, 1 - (address & 1)
        inside = x < self.width
        if not inside.all():
            self.tally.unplaced += int((~inside).sum())
            t, x, y, p = t[inside], x[inside], y[inside], p[inside]
        out = np.empty(len(t), EVENT_DTYPE)
        out["t"], out["x"], out["y"], out["p"] = t, self.width - 1 - x, y, p
        return out


def chip_of(header: Header) -> tuple[str, tuple[int, int]] | None:
    """(name, sensor size) of the chip that the header names; None where it names none that is known."""
    said = (header.value("AEChip") or "").rsplit(".", 1)[-1]
    if re.match(r"(?i)(tmpdiff128|dvs128)", said):
        return said, DVS128
    found = re.match(r"(?i)davis(\d{3})", said)
    return (said, DAVIS_SIZES[found[1]]) if found and found[1] in DAVIS_SIZES else None
