"""Event streams: what an event sensor sends, as one structured array and the size of the sensor.

An event is (t, x, y, p): at time t (microseconds) the pixel in column x, row y saw its brightness rise (p = 1, ON) or
fall (p = 0, OFF) by one threshold. Row 0 is the top row. Events stand in order of time; equal times are allowed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import DataError

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
"""One event: `t` in µs, `x` column, `y` row, `p` polarity (0 = OFF, 1 = ON)."""

POLARITIES = ("OFF", "ON")
"""Names of the two polarities, in the order of a frame's channels."""


def check_columns(
    t: NDArray[np.integer],
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    p: NDArray[np.integer],
    sensor_size: tuple[int, int],
    source: str = "event stream",
) -> None:
    """Raise `DataError` unless the columns are a recording of this sensor.

    Args:
        t, x, y, p: columns of equal length [N], any integer type.
        sensor_size: (width, height) in pixels.
        source: the name of the recording, for the message.
    """
    n = len(t)
    if not (t.shape == x.shape == y.shape == p.shape == (n,)):
        raise DataError(
            f"{source}: the columns t, x, y, p have shapes {t.shape}, {x.shape}, {y.shape}, {p.shape}",
            fix="give four one-dimensional arrays of the same length",
        )
    if n == 0:
        return
    width, height = sensor_size
    if int(x.min()) < 0 or int(y.min()) < 0 or int(x.max()) >= width or int(y.max()) >= height:
        outside = np.flatnonzero((x < 0) | (y < 0) | (x >= width) | (y >= height))
        i = int(outside[0])
        raise DataError(
            f"{source}: event {i} lies at (x={int(x[i])}, y={int(y[i])}), outside the {width}x{height} sensor"
            f" ({len(outside)} of {n} events do)",
            why="the file is damaged, of another format, or of another sensor",
            fix="check the file, or give the sensor_size (width, height) that it was recorded with",
        )
    if int(p.min()) < 0 or int(p.max()) > 1:
        i = int(np.flatnonzero((p < 0) | (p > 1))[0])
        raise DataError(
            f"{source}: event {i} has polarity {int(p[i])}",
            fix="polarity must be 0 (OFF) or 1 (ON); map -1 to 0 before building the stream",
        )
    backward = np.flatnonzero(t[1:] < t[:-1])
    if len(backward):
        i = int(backward[0]) + 1
        raise DataError(
            f"{source}: time runs back at event {i}, from {int(t[i - 1])} to {int(t[i])} us ({len(backward)} times)",
            why="the file is damaged or of another format, or its clock wrapped around",
            fix="check the file; if the order alone is wrong, sort the events by t (stable) before building the stream",
        )


@dataclass(frozen=True, eq=False)
class EventStream:
    """A recording of one event sensor, checked when it is built.

    Args:
        events: structured array [N] of `EVENT_DTYPE`, in order of time.
        sensor_size: (width, height) in pixels.
        source: where it comes from (a file's name); used in messages.

    Raises:
        DataError: an event outside the sensor, time that runs back, a polarity other than 0 and 1.
    """

    events: NDArray[np.void]
    sensor_size: tuple[int, int]
    source: str = "event stream"

    def __post_init__(self) -> None:
        self._check_form()
        check_columns(self.t, self.x, self.y, self.p, self.sensor_size, self.source)

    def _check_form(self) -> None:
        width, height = (int(v) for v in self.sensor_size)
        object.__setattr__(self, "sensor_size", (width, height))
        if not (0 < width <= 65536 and 0 < height <= 65536):
            raise DataError(
                f"{self.source}: sensor_size is ({width}, {height})", fix="give (width, height), each 1 to 65536 pixels"
            )
        if self.events.dtype != EVENT_DTYPE:
            raise DataError(
                f"{self.source}: events have dtype {self.events.dtype}",
                fix=f"use EVENT_DTYPE ({EVENT_DTYPE}), or EventStream.from_columns(t, x, y, p, sensor_size)",
            )

    @classmethod
    def _of_checked(cls, events: NDArray[np.void], sensor_size: tuple[int, int], source: str) -> EventStream:
        """A stream of events that a reader has checked one by one: no second pass over them."""
        stream = object.__new__(cls)
        for name, value in (("events", events), ("sensor_size", sensor_size), ("source", source)):
            object.__setattr__(stream, name, value)
        stream._check_form()
        return stream

    @classmethod
    def from_columns(
        cls,
        t: ArrayLike,
        x: ArrayLike,
        y: ArrayLike,
        p: ArrayLike,
        sensor_size: tuple[int, int],
        source: str = "event stream",
    ) -> EventStream:
        """Build a stream from four integer (p also boolean) arrays [N]; checked before any value is narrowed."""
        columns: list[NDArray[np.integer]] = []
        for name, values in zip("txyp", (t, x, y, p)):
            column = np.asarray(values)
            if column.dtype == np.bool_:
                column = column.astype(np.uint8)
            if column.size == 0:
                column = column.astype(np.int64).reshape(-1)
            if not np.issubdtype(column.dtype, np.integer):
                raise DataError(
                    f"{source}: column {name} has dtype {column.dtype}",
                    fix="event columns are integers; t is in microseconds",
                )
            columns.append(column)
        ct, cx, cy, cp = columns
        check_columns(ct, cx, cy, cp, sensor_size, source)
        events = np.empty(len(columns[0]), EVENT_DTYPE)
        for name, column in zip("txyp", columns):
            events[name] = column
        return cls(events, sensor_size, source)

    @property
    def t(self) -> NDArray[np.int64]:
        """Times in µs, int64 [N]."""
        return self.events["t"]

    @property
    def x(self) -> NDArray[np.uint16]:
        """Columns, uint16 [N]."""
        return self.events["x"]

    @property
    def y(self) -> NDArray[np.uint16]:
        """Rows, uint16 [N]; row 0 is the top."""
        return self.events["y"]

    @property
    def p(self) -> NDArray[np.uint8]:
        """Polarities, uint8 [N]: 0 = OFF, 1 = ON."""
        return self.events["p"]

    @property
    def duration_us(self) -> int:
        """Time from the first to the last event, in µs; 0 for fewer than two events."""
        return int(self.t[-1] - self.t[0]) if len(self.events) else 0

    def __len__(self) -> int:
        return len(self.events)
