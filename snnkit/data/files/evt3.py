"""Prophesee EVT 3.0: little-endian words of 16 bits; each states only what changed, so the decoder keeps a state.

ADDR_Y (0x0): y (10..0). ADDR_X (0x2): one event at x (10..0), polarity (11). VECT_BASE_X (0x3): x and polarity for the
vectors that follow. VECT_12 (0x4), VECT_8 (0x5): a mask whose bit k says that pixel base + k fired; base then moves on
by 12 or 8. TIME_LOW (0x6), TIME_HIGH (0x8): 12 bits each of a clock of 24 bits in µs, which wraps every 16.8 s.
CONTINUED_4 (0x7), EXT_TRIGGER (0xA), OTHERS (0xE) and CONTINUED_12 (0xF) are no events.

A new TIME_HIGH sets the low bits to 0 until its TIME_LOW comes; one that repeats the last leaves them. A step down of
TIME_HIGH by half its range or more is a wrap. Source: docs.prophesee.ai, "EVT 3.0 Format".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnkit import _numba
from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.decoder import Decoder, trimmed

_numba.configure()

from numba import njit  # noqa: E402

_PIXELS = 12


@njit(**_numba.OPTIONS)
def _words_to_events(words, start, state, out):  # type: ignore[no-untyped-def]
    """From word `start` on until `out` is full. Returns (next word, number of events).

    state int64 [9]: (high or -1, wraps, low, y or -1, base x or -1, polarity of vectors, unplaced, other, unknown).
    """
    high, wraps, low, y, base, p = state[0], state[1], state[2], state[3], state[4], state[5]
    t = (wraps << 24) | (high << 12) | low
    n, room = 0, out.shape[0] - 12
    i = start
    while i < words.shape[0] and n <= room:
        w = np.int64(words[i])
        i += 1
        kind = w >> 12
        if kind == 2:
            if high < 0 or y < 0:
                state[6] += 1
                continue
            e = out[n]
            e["t"] = t
            e["x"] = w & 2047
            e["y"] = y
            e["p"] = (w >> 11) & 1
            n += 1
        elif kind == 6:
            low = w & 4095
            t = (wraps << 24) | (high << 12) | low
        elif kind == 0:
            y = w & 2047
        elif kind == 4 or kind == 5:
            width = 12 if kind == 4 else 8
            mask = w & ((1 << width) - 1)
            if high < 0 or y < 0 or base < 0 or base > 2047:
                while mask:
                    state[6] += mask & 1
                    mask >>= 1
            else:
                x = base
                while mask:
                    if mask & 1:
                        e = out[n]
                        e["t"] = t
                        e["x"] = x
                        e["y"] = y
                        e["p"] = p
                        n += 1
                    mask >>= 1
                    x += 1
            if base >= 0:
                base += width
        elif kind == 3:
            base = w & 2047
            p = (w >> 11) & 1
        elif kind == 8:
            new = w & 4095
            if high - new >= 2048:
                wraps += 1
            if new != high:
                low = 0
            high = new
            t = (wraps << 24) | (high << 12) | low
        elif kind == 7 or kind == 0xA or kind == 0xE or kind == 0xF:
            state[7] += 1
        else:
            state[8] += 1
    state[0], state[1], state[2], state[3], state[4], state[5] = high, wraps, low, y, base, p
    return i, n


class Evt3Decoder(Decoder):
    """EVT 3.0 words (without the file's header) → events, in pieces of any size."""

    word_bytes = 2

    def __init__(self) -> None:
        super().__init__()
        self._state = np.array([-1, 0, 0, -1, -1, 0, 0, 0, 0], np.int64)

    def _decode(self, raw: NDArray[np.uint8]) -> NDArray[np.void]:
        words = raw.view("<u2")
        parts, at = [], 0
        while at < len(words):
            out = np.empty(len(words) - at + _PIXELS, EVENT_DTYPE)
            at, n = _words_to_events(words, at, self._state, out)
            parts.append(trimmed(out, n))
        self.tally.unplaced, self.tally.other, self.tally.unknown = (int(v) for v in self._state[6:])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
