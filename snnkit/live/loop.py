"""The live loop: one thread reads and decodes, the calling thread computes and answers."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from snnkit.errors import ParameterError, UsageError
from snnkit.live.latency import Latency
from snnkit.live.network import Facts, Network
from snnkit.live.opening import check_sensor
from snnkit.live.queue import EventQueue, Policy
from snnkit.live.sources import WAIT, Source
from snnkit.live.steps import Closed, Stepper
from snnkit.live.summary import Summary

Reset = Literal["window", "none"]
RESETS: tuple[Reset, ...] = ("window", "none")
SWITCH_INTERVAL = 5e-4
"""Seconds after which Python hands its lock from one thread to the other; its own 5 ms would show in the latency."""


@dataclass(frozen=True)
class LiveSettings:
    """How a network runs live.

    Args:
        dt: length of a step in µs; None: as in training.
        window: steps that an answer looks back on; None: as many as a sample of the training data had.
        reset: "window": after every window the network goes back to rest, as between samples in training, and the
            answer at step k looks back on k steps of it. "none": the network runs on, and the answer looks back on the
            latest `window` steps.
        every: an answer is given every so many steps, and at the end of a window; None: `window`.
        queue: events that have room between the two threads.
        policy: of the queue; None: "block" for recordings, "drop-oldest" for what comes live.
        chunk: most steps that the network computes in one call, when it has fallen behind. Neurons and chips do not
            notice; the last bits of torch's sums may depend on it (1: always one step).
        hold: µs by which events may be out of order.
        idle: µs of silence after which steps of a live source close by our clock; more than the sender waits between
            packets, or its next events will be late.
        gap: µs; a larger jump of the sensor's clock starts the network anew.
        start: µs of the sensor's clock at which the first step starts; None: with the first event's step.
        seconds: end after so long. quiet: end when nothing has come for so long. None: do not.

    Raises:
        ParameterError: a value out of range.
    """

    dt: Fraction | None = None
    window: int | None = None
    reset: Reset = "window"
    every: int | None = None
    queue: int = 1 << 18
    policy: Policy | None = None
    chunk: int = 32
    hold: int = 0
    idle: int = 20_000
    gap: int = 10_000_000
    start: int | None = None
    seconds: float | None = None
    quiet: float | None = None

    def __post_init__(self) -> None:
        if self.reset not in RESETS:
            raise ParameterError(f"reset is {self.reset!r}", fix="'window' or 'none'")
        for name in ("window", "every", "chunk"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"{name} is {value}", fix="give at least 1 step")
        for name in ("seconds", "quiet"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ParameterError(f"{name} is {value}", fix="give a positive time")


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        step: the latest step that it knows. time_us: the end of that step on the sensor's clock.
        looks_back: how many steps it was read over. whole: whether that is a whole window.
        answer, label: the class. scores: of all classes.
        events: of the steps since the answer before. late, dropped: so far. latency_ms: of this step; None: it had no
            events.
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
    latency_ms: float | None


class Show(Protocol):
    """Who sees the answers."""

    def frames(self, frames: NDArray[np.uint8]) -> None:
        """Frames [k, 2·H·W] on their way into the network."""
        ...

    def answer(self, answer: Answer) -> None:
        """An answer."""
        ...


class _Reader:
    """Feeds closed steps to the network and reads the answers over windows."""

    def __init__(
        self, network: Network, stepper: Stepper, queue: EventQueue, settings: LiveSettings, show: Show | None
    ):
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
            self.finish()
            self._anew()
            return
        if self._show is not None:
            self._show.frames(closed.frames)
        at, k = 0, len(closed.frames)
        while at < k:
            n = min(k - at, self.window - self._fed) if self._cut else k - at
            steps = range(closed.first + at, closed.first + at + n)
            mine = slice(at, at + n)
            self._waiting.extend(zip(steps, closed.events[mine].tolist(), closed.arrival[mine].tolist()))
            begin = time.perf_counter_ns()
            rows = self._net.feed(self._coded(closed.frames[mine], steps.start))
            self.busy += time.perf_counter_ns() - begin
            self._fed += n
            self.steps += n
            self._take(rows)
            if self._cut and self._fed == self.window:
                self.finish()
                self._anew()
            at += n

    def finish(self) -> None:
        """The input has ended: what is under way, and an answer for the last step if it had none."""
        if self._fed:
            begin = time.perf_counter_ns()
            rows = self._net.flush()
            self.busy += time.perf_counter_ns() - begin
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
            self.latency.add(time.perf_counter_ns() - np.array(arrivals, np.int64))

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
                    (time.perf_counter_ns() - arrival) / 1e6 if arrival else None,
                )
            )  # fmt: skip
        self._events = 0
        self._last = None


class _Decoding(threading.Thread):
    """Reads a source into a queue."""

    def __init__(self, source: Source, queue: EventQueue, stop: threading.Event) -> None:
        super().__init__(name="snnkit-decode", daemon=True)
        self._source, self._queue, self._halt = source, queue, stop
        self.events = 0
        self.first = self.latest = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for chunk in self._source.chunks(self._halt):
                if len(chunk.events):
                    self.latest = time.perf_counter_ns()
                    self.first = self.first or self.latest
                self.events += len(chunk.events)
                self._queue.put(chunk)
        except BaseException as error:  # told to the thread that computes
            self.error = error
        finally:
            self._queue.close()


def run(
    network: Network,
    source: Source,
    settings: LiveSettings | None = None,
    show: Show | None = None,
    stop: threading.Event | None = None,
) -> Summary:
    """Run a network on what comes from a source, until it ends or `stop` is set; what waits then is still computed.

    Args:
        network: see `open_network`.
        source: see `open_source`; closed at the end.
        settings: see `LiveSettings`.
        show: sees every answer.
        stop: ends the run when set, from any thread or a signal handler.

    Returns:
        Counts and latencies. What was answered for the same events at the same times is the same in every run: it does
        not depend on how events were cut into chunks, or on how fast they were computed, unless some were dropped,
        or steps closed by our clock (`idle`).

    Raises:
        UsageError: the source's sensor is another one; no step length is known. Whatever the source raises.
    """
    settings = settings or LiveSettings()
    stop = stop or threading.Event()
    try:
        check_sensor(source, network.facts.sensor_size)
        dt = settings.dt or network.facts.dt
        if dt is None:
            raise UsageError(
                "the network's steps had no fixed length in training",
                why="they held equal numbers of events, or equal parts of each recording",
                fix="give the length of a step: --dt MICROSECONDS",
            )
        queue = EventQueue(settings.queue, settings.policy or ("drop-oldest" if source.live else "block"))
        frames = network.facts.frames
        stepper = Stepper(
            network.facts.sensor_size, dt, grid=frames.grid, binary=bool(frames.binary) and frames.encoding is None,
            most=255 if frames.encoding is not None else network.most, hold=settings.hold,
            idle=settings.idle if source.live else None, gap=settings.gap, start=settings.start,
            depth=settings.chunk + 2,
        )  # fmt: skip
        reader = _Reader(network, stepper, queue, settings, show)
        network.prepare(settings.chunk)
        decoding = _Decoding(source, queue, stop)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        begin = time.perf_counter_ns()
        try:
            decoding.start()
            _compute(reader, stepper, queue, decoding, settings, stop, begin)
        finally:
            sys.setswitchinterval(interval)
            stop.set()
            queue.close()
            decoding.join()
        end = time.perf_counter_ns()
    finally:
        source.close()
    if decoding.error is not None:
        raise decoding.error
    return _summary(
        network, source, settings, stepper, reader, queue, decoding, (end - (decoding.first or begin)) / 1e9
    )


def _compute(
    reader: _Reader, stepper: Stepper, queue: EventQueue, decoding: _Decoding, settings: LiveSettings,
    stop: threading.Event, begin: int,
) -> None:  # fmt: skip
    while not queue.done:
        now = time.perf_counter_ns()
        if settings.seconds is not None and now - begin > settings.seconds * 1e9:
            stop.set()
        if settings.quiet is not None and decoding.latest and now - decoding.latest > settings.quiet * 1e9:
            stop.set()
        chunk = None if stepper.waiting else queue.get(0 if stepper.ready else WAIT)
        while chunk is not None:
            stepper.push(chunk)
            # when behind, gather as many steps as one call may take
            chunk = queue.get(0) if stepper.closable < settings.chunk and not stepper.waiting else None
        closed = stepper.take(settings.chunk)
        if closed is not None:
            reader.feed(closed)
    while stepper.waiting or stepper.ready:
        closed = stepper.take(settings.chunk)
        if closed is not None:
            reader.feed(closed)
    stepper.finish()
    while (closed := stepper.take(settings.chunk)) is not None:
        reader.feed(closed)
    reader.finish()


def _summary(
    network: Network, source: Source, settings: LiveSettings, stepper: Stepper, reader: _Reader, queue: EventQueue,
    decoding: _Decoding, seconds: float,
) -> Summary:  # fmt: skip
    bad = source.malformed
    details = {
        "outside_the_sensor": stepper.outside,
        "unknown_or_unplaced_words": bad.words,
        "malformed_packets": bad.packets,
        "packets_lost_by_the_system": bad.lost_packets,
        "words_of_other_kinds": bad.other_words,
        "clock_jumps": stepper.jumps,
        "counts_above_the_largest": stepper.clipped,
        "packets": getattr(source, "packets", 0),
    }
    return Summary(
        network=network.facts.name,
        input=source.name,
        dt_us=float(stepper.dt),
        window=reader.window,
        reset=settings.reset,
        seconds=seconds,
        steps=reader.steps,
        answers=reader.answers,
        received=decoding.events + bad.words,
        processed=stepper.placed,
        dropped=queue.dropped,
        late=stepper.late,
        malformed=stepper.outside + bad.words,
        details=details,
        queue={"capacity": queue.capacity, "policy": queue.policy, "highest": queue.highest},
        latency_ms=reader.latency.to_dict(),
        busy=reader.busy / 1e9 / seconds if seconds > 0 else 0.0,
        chosen=dict(sorted(reader.chosen.items())),
        counters=dict(network.counters()),
    )
