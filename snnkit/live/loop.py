"""The live loop: one thread reads and decodes, the calling thread computes and answers."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction

from snnkit.errors import UsageError
from snnkit.live.answers import Reader, Show
from snnkit.live.network import Network
from snnkit.live.opening import check_sensor
from snnkit.live.queue import EventQueue
from snnkit.live.settings import LiveSettings
from snnkit.live.sources import WAIT, Source
from snnkit.live.steps import Stepper
from snnkit.live.summary import Summary
from snnkit.live.warm import warm_up

SWITCH_INTERVAL = 5e-4
"""Seconds after which Python hands its lock from one thread to the other; its own 5 ms would show in the latency."""


class Loop:
    """What the thread that computes does, turn by turn; `clock`: ns of now, as of the chunks' arrivals.

    Attributes:
        skips: how often steps were skipped. behind: most steps that were over and not computed, of what comes in time.
    """

    def __init__(
        self, network: Network, source: Source, settings: LiveSettings, dt: Fraction, show: Show | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:  # fmt: skip
        self.queue = EventQueue(settings.queue, settings.policy or ("drop-oldest" if source.live else "block"))
        frames = network.facts.frames
        lateness, most = settings.lateness_us() if source.live else (None, None)
        self.stepper = Stepper(
            network.facts.sensor_size, dt, grid=frames.grid, binary=bool(frames.binary) and frames.encoding is None,
            most=255 if frames.encoding is not None else network.most, hold=settings.hold,
            lateness=lateness, most_lateness=most, speed=source.speed, gap=settings.gap, start=settings.start,
            depth=settings.chunk + 2,
        )  # fmt: skip
        self.reader = Reader(network, self.stepper, self.queue, settings, show, clock)
        self._chunk, self._limit, self._clock = settings.chunk, settings.behind, clock
        self._in_time = source.speed is not None
        self.skips = self.behind = 0

    def turn(self, wait: float = WAIT) -> None:
        """Take what waits, at most `wait` seconds for the first of it, and compute a call's steps."""
        stepper, queue = self.stepper, self.queue
        chunk = None if stepper.waiting else queue.get(0 if stepper.ready else wait)
        while chunk is not None:
            stepper.push(chunk)
            # when behind, gather as many steps as one call may take
            chunk = queue.get(0) if stepper.closable < self._chunk and not stepper.waiting else None
        if self._in_time:
            self._look_at_the_clock()
        self._compute()

    def _look_at_the_clock(self) -> None:
        now = self._clock()
        behind = self.stepper.behind(now)
        self.behind = max(self.behind, behind)
        if self._limit is not None and behind > self._limit and (due := self.stepper.due(now)) is not None:
            self.skips += 1
            self.reader.begin_anew()
            self.stepper.skip(due)

    def _compute(self) -> bool:
        closed = self.stepper.take(self._chunk)
        if closed is not None:
            self.reader.feed(closed)
        return closed is not None

    def finish(self) -> None:
        """No chunk will come any more: what waits is computed, and the last answer given."""
        while self.stepper.waiting or self.stepper.ready:
            self._compute()
        self.stepper.finish()
        while self._compute():
            pass
        self.reader.finish()


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
        not depend on how events were cut into chunks, or on how fast they were computed, unless some were dropped or
        skipped, or came live: then it depends on when they came (`lateness`).

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
        if settings.behind is not None and source.speed is None:
            raise UsageError(
                f"nothing can be behind: {source.name} is taken as fast as it can be",
                fix="leave --behind out, or give --speed",
            )
        loop = Loop(network, source, settings, dt, show)
        warm_up(network, settings.chunk)
        decoding = _Decoding(source, loop.queue, stop)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        begin = time.perf_counter_ns()
        try:
            decoding.start()
            _until_it_ends(loop, decoding, settings, stop, begin)
        finally:
            sys.setswitchinterval(interval)
            stop.set()
            loop.queue.close()
            decoding.join()
        end = time.perf_counter_ns()
    finally:
        source.close()
    if decoding.error is not None:
        raise decoding.error
    return _summary(loop, network, source, settings, decoding, (end - (decoding.first or begin)) / 1e9)


def _until_it_ends(loop: Loop, decoding: _Decoding, settings: LiveSettings, stop: threading.Event, begin: int) -> None:
    while not loop.queue.done:
        now = time.perf_counter_ns()
        if settings.seconds is not None and now - begin > settings.seconds * 1e9:
            stop.set()
        if settings.quiet is not None and decoding.latest and now - decoding.latest > settings.quiet * 1e9:
            stop.set()
        loop.turn()
    loop.finish()


def _summary(
    loop: Loop, network: Network, source: Source, settings: LiveSettings, decoding: _Decoding, seconds: float
) -> Summary:
    stepper, reader, queue = loop.stepper, loop.reader, loop.queue
    bad = source.malformed
    details = {
        "outside_the_sensor": stepper.outside,
        "unknown_or_unplaced_words": bad.words,
        "malformed_packets": bad.packets,
        "packets_lost_by_the_system": bad.lost_packets,
        "words_of_other_kinds": bad.other_words,
        "clock_jumps": stepper.jumps,
        "counts_above_the_largest": stepper.clipped,
        "skipped_steps": stepper.skipped_steps,
        "skips": loop.skips,
        "most_steps_behind": loop.behind,
        "us_of_lateness": stepper.lateness or 0,
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
        processed=stepper.placed - stepper.skipped,
        dropped=queue.dropped,
        late=stepper.late,
        skipped=stepper.skipped,
        malformed=stepper.outside + bad.words,
        details=details,
        queue={"capacity": queue.capacity, "policy": queue.policy, "highest": queue.highest},
        latency_ms=reader.latency.to_dict(),
        busy=reader.busy / 1e9 / seconds if seconds > 0 else 0.0,
        chosen=dict(sorted(reader.chosen.items())),
        counters=dict(network.counters()),
    )
