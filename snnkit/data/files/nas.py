"""Address-event files without a header, as of the neuromorphic auditory sensor (NAS): only with `format="nas"`.

A record is a big-endian address of 16 bits and a time of 32 bits in ticks of 0.2 µs. Addresses are 2 · channel + sign:
x is the channel, y is 0, and an even address is ON (pyNAVIS's convention for ON/OFF recordings). The time wraps after
14 min 19 s of ticks; it is rounded down to whole µs. Source: github jpdominguez/pyNAVIS, its file formats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.dat import WrappingClock
from snnkit.data.files.decoder import Decoder

RECORD_BYTES = 6
TICKS_PER_US = 5
_RECORD = np.dtype([("address", ">u2"), ("time", ">u4")])


class NasDecoder(Decoder):
    """Records → events, in pieces of any size."""

    word_bytes = RECORD_BYTES

    def __init__(self) -> None:
        super().__init__()
        self._clock = WrappingClock(32)

    def _decode(self, raw: NDArray[np.uint8]) -> NDArray[np.void]:
        record = raw.view(_RECORD)
        address = record["address"].astype(np.uint16)
        out = np.empty(len(record), EVENT_DTYPE)
        out["t"] = self._clock.extend(record["time"]) // TICKS_PER_US
        out["x"], out["y"], out["p"] = address >> 1, 0, 1 - (address & 1)
        return out
