"""From events as they come to steps of fixed length, in order and without a gap."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.errors import ParameterError
from snnkit.live.sources import Chunk, no_events

FRAMES_BYTES = 1 << 26
"""Most memory of the frames of open steps."""


@dataclass(frozen=True)
class Closed:
    """Some closed steps, from step `first` on: frames uint8 [k, 2·H·W], events int64 [k] of each, and arrival int64 [k]
    of each step's first event in ns (0: none). `restart`: no steps; the clock jumped, and the network begins anew."""

    first: int
    frames: NDArray[np.uint8]
    events: NDArray[np.int64]
    arrival: NDArray[np.int64]
    restart: bool = False


class Stepper:
    """Collects events in steps; step k holds the times [k·dt, (k + 1)·dt) of the sensor's clock.

    A step closes when an event arrives that is `hold` µs past its end, or a mark of time says that none will come any
    more, or a live source is silent: then time goes on behind the newest event as fast as ours, less `idle` µs. Events
    for closed steps are late: they are counted and change nothing. What is late does not depend on how the events were
    cut into chunks. A jump of the clock by more than `gap` µs closes all steps and starts anew.

    Args:
        sensor_size: (width, height).
        dt: length of a step in µs.
        grid: events are counted in grid × grid cells; None: pixels.
        binary: cells are 0 or 1; otherwise counts up to `most`, the rest is counted in `clipped`.
        hold: µs by which events may be out of order.
        idle: µs of silence after which steps close by our clock (`Chunk.silent`); None: never.
        gap: µs, see above.
        start: time in µs at which the first step starts (rounded down to a step); None: the step of the first event,
            less `hold`.
        depth: steps that can be open at a time.

    Attributes:
        outside, late, clipped, placed: events so far. jumps: of the clock.

    Raises:
        ParameterError: a length that is not positive, or one below 0.
    """

    def __init__(
        self,
        sensor_size: tuple[int, int],
        dt: Fraction,
        *,
        grid: int | None = None,
        binary: bool = True,
        most: int = 255,
        hold: int = 0,
        idle: int | None = None,
        gap: int = 10_000_000,
        start: int | None = None,
        depth: int = 64,
    ) -> None:
        if dt <= 0:
            raise ParameterError(f"a step of {float(dt):g} us", fix="give a positive length")
        if hold < 0 or gap <= 0 or (idle is not None and idle < 0):
            raise ParameterError(
                f"hold {hold} us, idle {idle} us, gap {gap} us", fix="give lengths from 0 on; gap above 0"
            )
        from snnkit.live import scatter

        self._kernel = scatter
        self.dt, self._num, self._den = dt, dt.numerator, dt.denominator
        self.hold, self.idle = hold, idle
        self._gap = max(self.step_of(gap), self.step_of(hold) + 1)  # the first event is never a jump
        width, height = sensor_size
        cells = 2 * (width * height if grid is None else grid * grid)
        held = self.step_of(hold) + 2
        self.depth = max(min(depth, FRAMES_BYTES // cells), held)
        self._frames = np.zeros((self.depth, cells), np.uint8)
        self._counts = np.zeros(self.depth, np.int64)
        self._first = np.zeros(self.depth, np.int64)
        self._state = np.zeros(7, np.int64)
        self._state[scatter.OPEN] = scatter.UNSET
        if start is not None:
            self._state[[scatter.OPEN, scatter.EDGE]] = self.step_of(start)
            self._state[scatter.NEWEST] = start
        self._shape = (width, height, grid or 0, binary, most)
        self._pending: deque[Chunk] = deque()
        self._at = self._heard = self.jumps = 0
        self._jumped = False
        self.push(Chunk(no_events(), 0))  # compiles the kernel

    def step_of(self, t: int) -> int:
        """The step that holds time t in µs."""
        return t * self._den // self._num

    def end_of(self, step: int) -> float:
        """When a step ends, in µs of the sensor's clock."""
        return float((step + 1) * self.dt)

    def __getattr__(self, name: str) -> int:
        if name in ("outside", "late", "clipped", "placed"):
            return int(self._state[getattr(self._kernel, name.upper())])
        raise AttributeError(name)

    @property
    def waiting(self) -> int:
        """Events that were pushed and are not placed yet."""
        return sum(len(c.events) for c in self._pending) - self._at

    @property
    def closable(self) -> int:
        """Steps that `take` can give now."""
        k = self._kernel
        return 0 if self._state[k.OPEN] == k.UNSET else int(self._state[k.EDGE] - self._state[k.OPEN])

    @property
    def ready(self) -> bool:
        """Whether `take` gives something now."""
        return self._jumped or self.closable > 0

    def push(self, chunk: Chunk) -> None:
        """More events."""
        if len(chunk.events):
            self._heard = chunk.arrival
        if not (chunk.events.flags.writeable and chunk.events.flags.c_contiguous):  # one compilation serves all
            chunk = replace(chunk, events=chunk.events.copy())
        self._pending.append(chunk)
        self._fill()

    def _fill(self) -> None:
        k = self._kernel
        while self._pending and not self._jumped:
            chunk = self._pending[0]
            width, height, grid, binary, most = self._shape
            self._at, why = k.scatter(
                chunk.events, self._at, chunk.arrival, self._state, self._frames, self._counts, self._first, self._num,
                self._den, width, height, grid, binary, most, self.hold, self._gap,
            )  # fmt: skip
            if why == k.FULL:
                return
            if why == k.JUMP:
                self._jumped = True
                self._close(self.step_of(int(self._state[k.NEWEST])) + 1)
                return
            if chunk.mark is not None:
                self._close(self.step_of(chunk.mark))
            if chunk.silent:
                self._silence(chunk.arrival)
            self._pending.popleft()
            self._at = 0

    def _close(self, edge: int) -> None:
        k = self._kernel
        if self._state[k.OPEN] != k.UNSET:
            self._state[k.EDGE] = max(int(self._state[k.EDGE]), edge)

    def _silence(self, now: int) -> None:
        k = self._kernel
        if self.idle is not None and self._heard:
            self._close(self.step_of(int(self._state[k.NEWEST]) + (now - self._heard) // 1000 - self.idle))

    def finish(self) -> None:
        """No event will come any more: close the steps that have begun."""
        k = self._kernel
        if self._state[k.OPEN] != k.UNSET and not self._jumped:
            self._close(self.step_of(int(self._state[k.NEWEST])) + 1)

    def take(self, limit: int) -> Closed | None:
        """At most `limit` closed steps, oldest first; None where none is closed."""
        k = self._kernel
        n = min(self.closable, limit, self.depth)
        if n == 0:
            if not self._jumped:
                return None
            self._jumped = False
            self.jumps += 1
            self._state[k.OPEN] = k.UNSET
            self._fill()
            none = np.zeros(0, np.int64)
            return Closed(0, self._frames[:0], none, none, restart=True)
        first = int(self._state[k.OPEN])
        rows = (first + np.arange(n)) % self.depth
        closed = Closed(first, self._frames[rows], self._counts[rows], self._first[rows])
        self._frames[rows] = 0
        self._counts[rows] = 0
        self._first[rows] = 0
        self._state[k.OPEN] += n
        self._fill()
        return closed


def as_dt(value: Any) -> Fraction:
    """A length in µs as a fraction: numbers as they are written, so that 0.1 is a tenth.

    Raises:
        ParameterError: not a positive number.
    """
    try:
        dt = Fraction(str(value)).limit_denominator(10**6)
    except (ValueError, ZeroDivisionError):
        raise ParameterError(f"a step of {value!r} us", fix="give a length in microseconds") from None
    if not 0 < dt <= 10**12:
        raise ParameterError(f"a step of {value} us", fix="give a positive length in microseconds")
    return dt
