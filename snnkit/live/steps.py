"""From events as they come to steps of fixed length, in order and without a gap."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from snnkit.errors import ParameterError
from snnkit.live.clock import PATIENCE_NS, Delays, SensorClock
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
    more. In silence of an input in real time, when nothing has come for `lateness` µs, it closes when the sensor's
    clock (`clock.SensorClock`) is `lateness` past its end: then steps go on without events too. As long as events come,
    only they close steps. Events for closed steps are late: they are counted and change nothing. What is late depends
    on times and arrivals only (`Chunk.arrival`, `Chunk.latest`), not on how often silence was told or, without
    `lateness`, on how events were cut into chunks.

    A jump of the sensor's clock closes all steps and starts anew: by more than `gap` µs at once; or, with `lateness`,
    when nothing came for `clock.PATIENCE_NS` but events that were late by more than that, as from a sensor that stood
    still or began again.

    Args:
        sensor_size: (width, height).
        dt: length of a step in µs.
        grid: events are counted in grid × grid cells; None: pixels.
        binary: cells are 0 or 1; otherwise counts up to `most`, the rest is counted in `clipped`.
        hold: µs by which events may be out of order.
        lateness: µs of silence, and after the end of a step, at which it closes by the clocks; None: never.
        most_lateness: it grows to so many µs for a sender that gathers events longer (`clock.Delays`); None: it stays.
        speed: of an input that comes in time, see `SensorClock`; None: as fast as it is taken.
        gap: µs, see above.
        start: time in µs at which the first step starts (rounded down to a step); None: the step of the first event,
            less `hold`.
        depth: steps that can be open at a time.

    Attributes:
        outside, late, clipped, placed: events so far. jumps: of the clock.
        skipped_steps, skipped: steps that were passed over, and the events in them (of those placed).

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
        lateness: int | None = None,
        most_lateness: int | None = None,
        speed: float | None = None,
        gap: int = 10_000_000,
        start: int | None = None,
        depth: int = 64,
    ) -> None:
        if dt <= 0:
            raise ParameterError(f"a step of {float(dt):g} us", fix="give a positive length")
        if hold < 0 or gap <= 0 or (lateness is not None and lateness < 0):
            raise ParameterError(
                f"hold {hold} us, lateness {lateness} us, gap {gap} us", fix="give lengths from 0 on; gap above 0"
            )
        from snnkit.live import scatter

        self._kernel = scatter
        self.dt, self._num, self._den = dt, dt.numerator, dt.denominator
        self.hold, self._lateness = hold, lateness
        self._delays = None if lateness is None or most_lateness is None else Delays(lateness, most_lateness)
        self._clock = SensorClock(speed or 1.0)
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
        self._at = self.jumps = self.skipped_steps = self.skipped = 0
        self._in_time = 0
        self._late_since: int | None = None
        self._heard_at: int | None = None
        self._until: int | None = None
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

    @property
    def lateness(self) -> int | None:
        """µs after the end of a step at which it closes by the clocks now."""
        return self._lateness if self._delays is None else self._delays.us

    def due(self, now: int) -> int | None:
        """The first step that is not over, by the clocks, at `now` ns of ours (less `lateness`); None: not known."""
        time = self._clock.time(now)
        return None if time is None else self.step_of(time - (self.lateness or 0))

    def behind(self, now: int) -> int:
        """How many steps are over at `now` ns and were not taken yet, wherever their events may wait."""
        due, first = self.due(now), int(self._state[self._kernel.OPEN])
        return 0 if due is None or first == self._kernel.UNSET else max(due - max(first, self._until or first), 0)

    def skip(self, step: int) -> None:
        """Pass over the steps before `step`: those that are not taken yet are counted and never given."""
        self._until = step

    def push(self, chunk: Chunk) -> None:
        """More events."""
        if not (chunk.events.flags.writeable and chunk.events.flags.c_contiguous):  # one compilation serves all
            chunk = replace(chunk, events=chunk.events.copy())
        self._pending.append(chunk)
        self._fill()

    def _fill(self) -> None:
        k = self._kernel
        while self._pending and not self._jumped:
            chunk = self._pending[0]
            if not self._at:
                self._close_by_clock(chunk.arrival)
            width, height, grid, binary, most = self._shape
            placed = int(self._state[k.PLACED])
            self._at, why = k.scatter(
                chunk.events, self._at, chunk.arrival, self._state, self._frames, self._counts, self._first, self._num,
                self._den, width, height, grid, binary, most, self.hold, self._gap,
            )  # fmt: skip
            self._in_time += int(self._state[k.PLACED]) - placed
            if why == k.FULL:
                return
            if why == k.JUMP:
                self._jump()
                return
            if chunk.mark is not None:
                self._close(self.step_of(chunk.mark))
            self._pending.popleft()
            self._at = 0
            self._hear(chunk)

    def _close(self, edge: int) -> None:
        k = self._kernel
        if self._state[k.OPEN] != k.UNSET:
            self._state[k.EDGE] = max(int(self._state[k.EDGE]), edge)

    def _close_by_clock(self, now: int) -> None:
        lateness, heard = self.lateness, self._heard_at
        if lateness is None or heard is None or now - heard < lateness * 1000:
            return
        if (due := self.due(now)) is not None:
            self._close(due)

    def _jump(self) -> None:
        self._jumped = True
        self._until = self._late_since = None
        self._close(self.step_of(int(self._state[self._kernel.NEWEST])) + 1)

    def _hear(self, chunk: Chunk) -> None:
        """What the clocks learn from a chunk that was placed."""
        in_time, self._in_time = self._in_time, 0
        if not len(chunk.events) and chunk.mark is None:
            return
        last = chunk.arrival if chunk.latest is None else chunk.latest
        silence = 0 if self._heard_at is None else chunk.arrival - self._heard_at
        self._heard_at = last if self._heard_at is None else max(last, self._heard_at)
        if not len(chunk.events):
            self._clock.heard(int(chunk.mark or 0), last)
            return
        newest = int(chunk.events["t"][-1])
        self._clock.heard(newest if chunk.mark is None else chunk.mark, last)
        if self._delays is not None and (here := self._clock.time(chunk.arrival)) is not None:
            over = int(self.end_of(self.step_of(int(chunk.events["t"][0]))))
            self._delays.heard(here - over, silence // 1000, chunk.arrival)
        set_back = (int(self._state[self._kernel.EDGE]) - self.step_of(newest)) * self.dt * 1000 > PATIENCE_NS
        if in_time or not set_back or self.lateness is None:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = chunk.arrival
        elif chunk.arrival - self._late_since > PATIENCE_NS:
            self._jump()

    def finish(self) -> None:
        """No event will come any more: close the steps that have begun."""
        k = self._kernel
        if self._state[k.OPEN] != k.UNSET and not self._jumped:
            self._close(self.step_of(int(self._state[k.NEWEST])) + 1)

    def take(self, limit: int) -> Closed | None:
        """At most `limit` closed steps, oldest first; None where none is closed."""
        k = self._kernel
        if self._until is not None:
            self._pass_over()
        n = min(self.closable, limit, self.depth)
        if n == 0:
            if not self._jumped:
                return None
            self._jumped = False
            self.jumps += 1
            self._state[k.OPEN] = k.UNSET
            self._clock.forget()
            self._fill()
            none = np.zeros(0, np.int64)
            return Closed(0, self._frames[:0], none, none, restart=True)
        first, rows = self._next(n)
        closed = Closed(first, self._frames[rows], self._counts[rows], self._first[rows])
        self._free(n, rows)
        return closed

    def _next(self, n: int) -> tuple[int, NDArray[np.int64]]:
        """The number of the oldest open step, and the rows of n steps from it on."""
        first = int(self._state[self._kernel.OPEN])
        return first, (first + np.arange(n)) % self.depth

    def _free(self, n: int, rows: NDArray[np.int64]) -> None:
        self._frames[rows] = 0
        self._counts[rows] = 0
        self._first[rows] = 0
        self._state[self._kernel.OPEN] += n
        self._fill()

    def _pass_over(self) -> None:
        while (until := self._until) is not None:
            left = until - int(self._state[self._kernel.OPEN])
            if left <= 0 or not (n := min(self.closable, left)):
                self._until = None if left <= 0 else until
                return
            _, rows = self._next(min(n, self.depth))
            self.skipped_steps += n
            self.skipped += int(self._counts[rows].sum())
            if n > self.depth:  # those beyond hold nothing
                self._state[self._kernel.OPEN] += n - self.depth
            self._free(min(n, self.depth), rows)
