"""One pass over events: their ranges, and the first that breaks a rule."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit import _numba

_numba.configure()

from numba import njit  # noqa: E402

OUTSIDE, POLARITY, BACK = 1, 2, 3
_FAR = np.iinfo(np.int64).max


@njit(**_numba.OPTIONS)
def _scan(events, width, height, in_order, state):  # type: ignore[no-untyped-def]
    """state int64 [9]: last t, x from, x to, y from, y to, ON, steps back, smallest t, largest t.

    Returns (index, rule) of the first event that breaks a rule, (-1, 0) where none does. width 0: no limit.
    """
    last, x0, x1, y0, y1, on, back, t0, t1 = state
    for i in range(events.shape[0]):
        e = events[i]
        x, y, t = np.int64(e["x"]), np.int64(e["y"]), e["t"]
        if width and (x >= width or y >= height):
            return i, 1
        if e["p"] > 1:
            return i, 2
        if t < last:
            if in_order:
                return i, 3
            back += 1
        last = t
        x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
        t0, t1 = min(t0, t), max(t1, t)
        on += np.int64(e["p"])
    state[:] = (last, x0, x1, y0, y1, on, back, t0, t1)
    return -1, 0


class Fault(NamedTuple):
    """An event that breaks a rule: which of the piece, and which rule (`OUTSIDE`, `POLARITY`, `BACK`)."""

    at: int
    rule: int


class Scan:
    """Ranges of a recording that comes in pieces.

    Args:
        sensor_size: (width, height) that bounds the coordinates; None for none.
        in_order: time that runs back is a fault; otherwise it is counted.
    """

    def __init__(self, sensor_size: tuple[int, int] | None = None, in_order: bool = True) -> None:
        self.sensor_size, self.in_order = sensor_size, in_order
        self.events = 0
        self._state = np.array([-_FAR, _FAR, -1, _FAR, -1, 0, 0, _FAR, -_FAR], np.int64)

    def add(self, events: NDArray[np.void]) -> Fault | None:
        """Take in the next piece; on a fault nothing of it is taken in."""
        width, height = self.sensor_size or (0, 0)
        index, rule = _scan(events, width, height, self.in_order, self._state)
        if index >= 0:
            return Fault(index, rule)
        self.events += len(events)
        return None

    @property
    def last(self) -> int:
        """Time of the last event."""
        return int(self._state[0])

    @property
    def x_range(self) -> tuple[int, int]:
        """Smallest and largest column."""
        return int(self._state[1]), int(self._state[2])

    @property
    def y_range(self) -> tuple[int, int]:
        """Smallest and largest row."""
        return int(self._state[3]), int(self._state[4])

    @property
    def t_range(self) -> tuple[int, int]:
        """Smallest and largest time."""
        return int(self._state[7]), int(self._state[8])

    @property
    def on(self) -> int:
        """Events of polarity ON."""
        return int(self._state[5])

    @property
    def steps_back(self) -> int:
        """How often time ran back."""
        return int(self._state[6])

    def smallest_sensor(self, typical: tuple[int, int] | None = None) -> tuple[int, int]:
        """`typical` where all events fit it, else the smallest sensor that holds them."""
        width, height = self.x_range[1] + 1, self.y_range[1] + 1
        if typical and width <= typical[0] and height <= typical[1]:
            return typical
        return max(width, 1), max(height, 1)
