"""Closed steps through a network, and answers over windows of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnkit.live.latency import Latency
from snnkit.live.network import Facts, Network
from snnkit.live.queue import EventQueue
from snnkit.live.settings import LiveSettings
from snnkit.live.steps import Closed, Stepper


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        step: the latest step that it knows. time_us: the end of that step on the sensor's clock.
        looks_back: how many steps it was read over. whole: whether that is a whole window.
        answer, label: the class. scores: of all classes.
        events: of the steps since the answer before. late, dropped, skipped: events so far. latency_ms: of this step;
            None: it had no events.
    """

    step: int
    time_us: float
    looks_back: int
    whole: bool
    answer: int
    label: str
    scores: list[float]
    events: int
    late: int
    dropped: int
    skipped: int
    latency_ms: float | None


class Show(Protocol):
    """Who sees the answers."""

    def frames(self, frames: NDArray[np.uint8]) -> None:
        """Frames [k, 2·H·W] on their way into the network."""
        ...

    def answer(self, answer: Answer) -> None:
        """An answer."""
        ...


class Reader:
    """Feeds closed steps to the network and reads the answers over windows.

    Attributes:
        latency: see `summary.MEASURED`. steps, answers: so far. busy: ns that the network computed.
        chosen: how often each class was the answer at the end of a window.
    """

    def __init__(
        self, network: Network, stepper: Stepper, queue: EventQueue, settings: LiveSettings, show: Show | None,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._net, self._stepper, self._queue, self._show = network, stepper, queue, show
        facts: Facts = network.facts
        self.window = settings.window or facts.frames.T
        self._every = settings.every or self.window
        self._cut, self._facts, self._sub = settings.reset == "window", facts, facts.rows
        self._rows: deque[NDArray[Any]] = deque(maxlen=self.window * self._sub + (0 if self._cut else 1))
        self._held: list[NDArray[Any]] = []
        self._waiting: deque[tuple[int, int, int]] = deque()
        self.latency, self.steps, self.answers, self.busy = Latency(), 0, 0, 0
        self.chosen: dict[str, int] = {}
        self._anew()

    def _anew(self) -> None:
        self._net.reset()
        self._rows.clear()
        self._held.clear()
        self._waiting.clear()
        self._fed = self._known = self._events = 0
        self._last: tuple[int, int] | None = None

    def feed(self, closed: Closed) -> None:
        """More steps."""
        if closed.restart:
            self.begin_anew()
            return
        if self._show is not None:
            self._show.frames(closed.frames)
        at, k = 0, len(closed.frames)
        while at < k:
            n = min(k - at, self.window - self._fed) if self._cut else k - at
            steps = range(closed.first + at, closed.first + at + n)
            mine = slice(at, at + n)
            self._waiting.extend(zip(steps, closed.events[mine].tolist(), closed.arrival[mine].tolist()))
            begin = self._clock()
            rows = self._net.feed(self._coded(closed.frames[mine], steps.start))
            self.busy += self._clock() - begin
            self._fed += n
            self.steps += n
            self._take(rows)
            if self._cut and self._fed == self.window:
                self.begin_anew()
            at += n

    def begin_anew(self) -> None:
        """What comes next has nothing to do with what was: the answer to that, and back to rest."""
        self.finish()
        self._anew()

    def finish(self) -> None:
        """The input has ended: what is under way, and an answer for the last step if it had none."""
        if self._fed:
            begin = self._clock()
            rows = self._net.flush()
            self.busy += self._clock() - begin
            self._take(rows)
            if self._last is not None:
                self._answer(*self._last)

    def _coded(self, frames: NDArray[np.uint8], first: int) -> NDArray[Any]:
        f = self._facts.frames
        if f.encoding is None:
            return frames
        width, height = self._facts.sensor_size if f.grid is None else (f.grid, f.grid)
        shaped = frames.reshape(len(frames), 1, 2, height, width)
        return np.concatenate([f.encode(x, self._facts.seed, 0, first + k) for k, x in enumerate(shaped)])

    def _take(self, rows: NDArray[Any]) -> None:
        arrivals: list[int] = []
        for row in rows:
            self._rows.append(row)
            self._known += 1
            if self._known % self._sub:
                continue
            step, events, arrival = self._waiting.popleft()
            self._events += events
            if arrival:
                arrivals.append(arrival)
            self._last = (step, arrival)
            known = self._known // self._sub
            if known % self._every == 0 or (self._cut and known == self.window):
                self._answer(step, arrival)
        if arrivals:
            self.latency.add(self._clock() - np.array(arrivals, np.int64))

    def _answer(self, step: int, arrival: int) -> None:
        rows = list(self._rows)
        before = None
        if not self._cut and len(rows) == self.window * self._sub + 1:
            before, rows = rows[0], rows[1:]
        scores = self._net.read(np.stack(rows), before)
        k = int(scores.argmax())
        label, whole = self._facts.label(k), len(rows) == self.window * self._sub
        if whole:
            self.chosen[label] = self.chosen.get(label, 0) + 1
        self.answers += 1
        if self._show is not None:
            self._show.answer(
                Answer(
                    step, self._stepper.end_of(step), len(rows) // self._sub, whole, k, label,
                    [float(s) for s in scores], self._events, self._stepper.late, self._queue.dropped,
                    self._stepper.skipped,
                    (self._clock() - arrival) / 1e6 if arrival else None,
                )
            )  # fmt: skip
        self._events = 0
        self._last = None
