"""Prophesee EVT 2.0: little-endian words of 32 bits; 4 bits say what a word is.

CD_OFF (0x0), CD_ON (0x1): 6 low bits of the time (27..22), x (21..11), y (10..0). EVT_TIME_HIGH (0x8): the 28 bits of
the time above those six, in force for what follows. EXT_TRIGGER (0xA), OTHERS (0xE) and CONTINUED (0xF) are no events.
The clock has 34 bits of µs, so it wraps after 4 h 46 min: a step down by half its range or more is a wrap, a smaller
one is time that runs back. Source: docs.prophesee.ai, "EVT 2.0 Format".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnkit import _numba
from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.decoder import Decoder, trimmed
from snnkit.errors import DataError

_numba.configure()

from numba import njit  # noqa: E402

CD_OFF, CD_ON, TIME_HIGH, EXT_TRIGGER, OTHERS, CONTINUED = 0x0, 0x1, 0x8, 0xA, 0xE, 0xF
LOW_BITS, HIGH_BITS, SIDE_BITS = 6, 28, 11
SIDE = 1 << SIDE_BITS
"""Pixels per side that a word can name."""
LONGEST_GAP = 1 << 42
"""Longest pause between two events that is written, in µs (51 days): each 2 h 23 min of it takes a word."""

_HALF = 1 << (HIGH_BITS - 1)


@njit(**_numba.OPTIONS)
def _words_to_events(words, state, out):  # type: ignore[no-untyped-def]
    """state int64 [5]: (high or -1, wraps, unplaced, other, unknown); returns the number of events."""
    high, wraps = state[0], state[1]
    base = (wraps << 34) | (high << 6)
    n = 0
    for i in range(words.shape[0]):
        w = np.int64(words[i])
        kind = w >> 28
        if kind <= 1:
            if high < 0:
                state[2] += 1
                continue
            e = out[n]
            e["t"] = base | ((w >> 22) & 63)
            e["x"] = (w >> 11) & 2047
            e["y"] = w & 2047
            e["p"] = kind
            n += 1
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
    return n


class Evt2Decoder(Decoder):
    """EVT 2.0 words (without the file's header) → events, in pieces of any size."""

    word_bytes = 4

    def __init__(self) -> None:
        super().__init__()
        self._state = np.array([-1, 0, 0, 0, 0], np.int64)

    def _decode(self, raw: NDArray[np.uint8]) -> NDArray[np.void]:
        words = raw.view("<u4")
        out = np.empty(len(words), EVENT_DTYPE)
        n = _words_to_events(words, self._state, out)
        self.tally.unplaced, self.tally.other, self.tally.unknown = (int(v) for v in self._state[2:])
        return trimmed(out, n)


class Evt2Encoder:
    """Events → EVT 2.0 words, in pieces; the clock goes on from one piece to the next.

    A word of time goes out where the high bits change, and at the start of every piece, so that a receiver that missed
    some of them knows the time again. Times from 2^34 µs on are written modulo 2^34, with enough words of time for a
    decoder to follow; what a decoder cannot know is how often the clock had wrapped before the first event.
    """

    def __init__(self, source: str = "events") -> None:
        self.source = source
        self._last: int | None = None

    def feed(self, events: NDArray[np.void]) -> bytes:
        """The words of the next events [n] of `EVENT_DTYPE`, in order of time.

        Raises:
            DataError: a negative time, time that runs back, a pause of more than 51 days, or a pixel from 2048 on.
        """
        if not len(events):
            return b""
        t, x, y = events["t"], events["x"], events["y"]
        if int(x.max()) >= SIDE or int(y.max()) >= SIDE:
            raise DataError(
                f"{self.source}: pixel (x={int(x.max())}, y={int(y.max())}) does not fit EVT 2",
                why=f"a word has {SIDE_BITS} bits for each coordinate",
                fix="write HDF5 or NPZ, or crop the recording",
            )
        first = int(t[0])
        last = first if self._last is None else self._last
        if first < 0 or first < last or (t[1:] < t[:-1]).any():
            raise DataError(
                f"{self.source}: times are negative or run back (first {first} us)",
                fix="sort the events by t, and shift them so that they start at 0 or later",
            )
        high = t >> LOW_BITS
        step = np.diff(high, prepend=last >> LOW_BITS)
        if int(step.max()) > LONGEST_GAP >> LOW_BITS:
            i = int(step.argmax())
            raise DataError(
                f"{self.source}: a pause of {int(step[i]) * 64 / 3.6e9:.0f} hours before event {i}",
                why="the clock of EVT 2 wraps every 4.8 hours, and every wrap has to be written",
                fix="check the times, or cut the recording there",
            )
        before = -(-step // _HALF)  # words of time before each event
        before[0] = max(int(before[0]), 1)
        at = np.arange(len(t)) + np.cumsum(before)
        words = np.empty(len(t) + int(before.sum()), np.uint32)
        words[at] = (
            (events["p"].astype(np.uint32) << 28)
            | ((t & 63).astype(np.uint32) << 22)
            | (x.astype(np.uint32) << SIDE_BITS)
            | y
        )
        clock = before > 0
        words[at[clock] - 1] = _time_word(high[clock])
        for i in np.flatnonzero(
            before > 1
        ).tolist():  # long pauses: steps that a decoder can tell from time running back
            k = int(before[i])
            words[at[i] - k : at[i] - 1] = _time_word(high[i] - step[i] + _HALF * np.arange(1, k))
        self._last = int(t[-1])
        return words.astype("<u4", copy=False).tobytes()


def _time_word(high: NDArray[np.int64]) -> NDArray[np.uint32]:
    return ((high & ((1 << HIGH_BITS) - 1)) | (TIME_HIGH << 28)).astype(np.uint32)


def encode_evt2(events: NDArray[np.void], source: str = "events") -> bytes:
    """The EVT 2.0 words of events [n] of `EVENT_DTYPE`, without a header; see `Evt2Encoder.feed` for the errors."""
    return Evt2Encoder(source).feed(events)
