"""One pass over events: their ranges, and the first that breaks a rule."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OUTSIDE, POLARITY, BACK = 1, 2, 3
_FAR = int(np.iinfo(np.int64).max)


class Fault(NamedTuple):
    """An event that breaks a rule: which of the piece, and which rule (`OUTSIDE`, `POLARITY`, `BACK`)."""

    at: int
    rule: int


class Scan:
    """Ranges of a recording that comes in pieces.

    Args:
        sensor_size: (width, height) that bounds the coordinates; None for none.
        in_order: time that runs back is a fault; otherwise it is counted.

    Attributes:
        events, on: how many there were, and how many of them ON.
        last: time of the last one.
        x_range, y_range, t_range: smallest and largest column, row and time.
        steps_back: how often time ran back.
    """

    def __init__(self, sensor_size: tuple[int, int] | None = None, in_order: bool = True) -> None:
        self.sensor_size, self.in_order = sensor_size, in_order
        self.events = 0
        self.last = -_FAR
        self.x_range = self.y_range = self.t_range = (_FAR, -_FAR)
        self.on = 0
        self.steps_back = 0

    def add(self, events: NDArray[np.void]) -> Fault | None:
        """Take in the next piece; on a fault nothing of it is taken in."""
        if not len(events):
            return None
        t, x, y, p = (events[c] for c in "txyp")
        xs, ys = (int(x.min()), int(x.max())), (int(y.min()), int(y.max()))
        width, height = self.sensor_size or (_FAR, _FAR)
        falls = t[1:] < t[:-1]
        back = int(np.count_nonzero(falls)) + int(int(t[0]) < self.last)
        if xs[1] >= width or ys[1] >= height or int(p.max()) > 1 or (back and self.in_order):
            return self._first_fault(x, y, p, np.concatenate(([int(t[0]) < self.last], falls)), width, height)
        ts = (int(t[0]), int(t[-1])) if not back else (int(t.min()), int(t.max()))
        self.x_range, self.y_range, self.t_range = (
            (min(old[0], new[0]), max(old[1], new[1]))
            for old, new in ((self.x_range, xs), (self.y_range, ys), (self.t_range, ts))
        )
        self.events += len(events)
        self.last = int(t[-1])
        self.on += int(np.count_nonzero(p))
        self.steps_back += back
        return None

    def _first_fault(
        self,
        x: NDArray[np.uint16],
        y: NDArray[np.uint16],
        p: NDArray[np.uint8],
        falls: NDArray[np.bool_],
        width: int,
        height: int,
    ) -> Fault:
        outside, polarity = (x >= width) | (y >= height), p > 1
        bad = outside | polarity | (falls & self.in_order)
        at = int(bad.argmax())
        return Fault(at, OUTSIDE if outside[at] else POLARITY if polarity[at] else BACK)

    def smallest_sensor(self, typical: tuple[int, int] | None = None) -> tuple[int, int]:
        """`typical` where all events fit it, else the smallest sensor that holds them."""
        width, height = self.x_range[1] + 1, self.y_range[1] + 1
        if typical and width <= typical[0] and height <= typical[1]:
            return typical
        return max(width, 1), max(height, 1)
