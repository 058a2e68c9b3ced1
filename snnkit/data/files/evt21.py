"""Prophesee EVT 2.1: words of 64 bits; one word carries up to 32 neighbouring events of equal time and polarity.

EVT_NEG (0x0), EVT_POS (0x1) in bits 63..60: 6 low bits of the time (59..54), x of the first pixel (53..43), y (42..32)
and a mask (31..0) whose bit k says that pixel x + k fired. EVT_TIME_HIGH (0x8): 28 high bits of the time (59..32).
Time, its wrap and the words that are no events are as in EVT 2.

Two byte orders are in use: a word little-endian as a whole ("little"), or its upper half first, each half
little-endian ("legacy", what the IMX636 sends). Source: docs.prophesee.ai, "EVT 2.1 Format".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnkit import _numba
from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.decoder import Decoder, trimmed

_numba.configure()

from numba import njit  # noqa: E402

ORDERS = ("little", "legacy")
_PIXELS = 32


@njit(**_numba.OPTIONS)
def _words_to_events(halves, upper, start, state, out):  # type: ignore[no-untyped-def]
    """halves uint32 [2N], the upper half of word i at 2i + upper; from word `start` on until `out` is full.

    state int64 [5]: (high or -1, wraps, unplaced, other, unknown). Returns (next word, number of events).
    """
    high, wraps = state[0], state[1]
    base = (wraps << 34) | (high << 6)
    n, room = 0, out.shape[0] - 32
    i, words = start, halves.shape[0] // 2
    while i < words and n <= room:
        w = np.int64(halves[2 * i + upper])
        mask = np.int64(halves[2 * i + 1 - upper])
        i += 1
        kind = w >> 28
        if kind <= 1:
            if high < 0:
                while mask:
                    state[2] += mask & 1
                    mask >>= 1
                continue
            t = base | ((w >> 22) & 63)
            x = (w >> 11) & 2047
            y = w & 2047
            while mask:
                if mask & 1:
                    e = out[n]
                    e["t"] = t
                    e["x"] = x
                    e["y"] = y
                    e["p"] = kind
                    n += 1
                mask >>= 1
                x += 1
        elif kind == 8:
            new = w & 0xFFFFFFF
            if high - new >= (1 << 27):
                wraps += 1
            high = new
            base = (wraps << 34) | (high << 6)
        elif kind == 0xA or kind == 0xE or kind == 0xF:
            state[3] += 1
        else:
            state[4] += 1
    state[0], state[1] = high, wraps
    return i, n


class Evt21Decoder(Decoder):
    """EVT 2.1 words (without the file's header) → events, in pieces of any size.

    Args:
        order: "little" or "legacy"; see the module.
    """

    word_bytes = 8

    def __init__(self, order: str = "little") -> None:
        super().__init__()
        self.order = order
        self._state = np.array([-1, 0, 0, 0, 0], np.int64)

    def _decode(self, raw: NDArray[np.uint8]) -> NDArray[np.void]:
        halves = raw.view("<u4")
        parts, at, words = [], 0, len(halves) // 2
        while at < words:
            out = np.empty(words - at + _PIXELS, EVENT_DTYPE)
            at, n = _words_to_events(halves, int(self.order == "little"), at, self._state, out)
            parts.append(trimmed(out, n))
        self.tally.unplaced, self.tally.other, self.tally.unknown = (int(v) for v in self._state[2:])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def guess_order(head: bytes) -> str:
    """The byte order of a recording whose header does not name it, from its first words.

    Words of time have nothing in their lower half: the order that finds more of those is right.
    """
    halves = np.frombuffer(head, "<u4", len(head) // 8 * 2).reshape(-1, 2)
    clocks = [int(((halves[:, k] >> 28 == 8) & (halves[:, 1 - k] == 0)).sum()) for k in (1, 0)]
    return ORDERS[int(clocks[1] > clocks[0])]
