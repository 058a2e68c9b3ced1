"""The bounded queue between the thread that decodes and the thread that computes. Its size counts events."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import Literal

from snnkit.errors import ParameterError, did_you_mean
from snnkit.live.sources import Chunk

Policy = Literal["drop-oldest", "drop-newest", "block"]
POLICIES: tuple[Policy, ...] = ("drop-oldest", "drop-newest", "block")


class EventQueue:
    """Chunks of events, first in, first out; never more than `capacity` events.

    What happens to events that find no room:

    - "drop-oldest": as many of the oldest events leave; of more than `capacity` new ones the last stay.
    - "drop-newest": as many of the new events as have room come in, in their order; the rest is dropped.
    - "block": the thread that puts waits, and nothing is dropped here.

    Marks of time (`Chunk.mark`) are never dropped.

    Args:
        capacity: events that have room.
        policy: see above.

    Attributes:
        dropped: events dropped so far. highest: most events that were ever waiting.

    Raises:
        ParameterError: a capacity below 1, an unknown policy.
    """

    def __init__(self, capacity: int, policy: Policy = "drop-oldest") -> None:
        if capacity < 1:
            raise ParameterError(f"a queue of {capacity} events", fix="give at least 1")
        if policy not in POLICIES:
            raise ParameterError(
                f"no queue policy named {policy!r}{did_you_mean(policy, POLICIES)}", fix=f"one of {', '.join(POLICIES)}"
            )
        self.capacity, self.policy = capacity, policy
        self.dropped = self.highest = 0
        self._chunks: deque[Chunk] = deque()
        self._size = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """Events waiting."""
        return self._size

    @property
    def done(self) -> bool:
        """Whether it was closed and everything was taken."""
        return self._closed and not self._chunks

    def put(self, chunk: Chunk) -> None:
        """Add a chunk. With "block" this waits for room; a closed queue drops what finds none."""
        with self._changed:
            if self.policy == "block":
                self._put_waiting(chunk)
            else:
                self._put_dropping(chunk)
            self._changed.notify_all()

    def _append(self, chunk: Chunk) -> None:
        if not len(chunk.events):
            if chunk.mark is None and not chunk.silent:
                return
            if self._chunks and not len(self._chunks[-1].events):  # what is later says more than what is earlier
                old = self._chunks.pop()
                mark = old.mark if chunk.mark is None else chunk.mark
                chunk = replace(chunk, mark=mark, silent=chunk.silent or old.silent)
        self._chunks.append(chunk)
        self._size += len(chunk.events)
        self.highest = max(self.highest, self._size)

    def _put_waiting(self, chunk: Chunk) -> None:
        events = chunk.events
        while len(events) > self.capacity - self._size and not self._closed:
            room = self.capacity - self._size
            if room:
                self._append(replace(chunk, events=events[:room], mark=None))
                events = events[room:]
                self._changed.notify_all()
            self._changed.wait()
        room = self.capacity - self._size
        self.dropped += max(len(events) - room, 0)
        self._append(replace(chunk, events=events[:room]))

    def _put_dropping(self, chunk: Chunk) -> None:
        events = chunk.events
        if self.policy == "drop-newest":
            room = self.capacity - self._size
            self.dropped += max(len(events) - room, 0)
            self._append(replace(chunk, events=events[:room]))
            return
        if len(events) > self.capacity:
            self.dropped += len(events) - self.capacity
            events = events[len(events) - self.capacity :]
        excess = self._size + len(events) - self.capacity
        self.dropped += max(excess, 0)
        self._size -= max(excess, 0)
        mark = None
        while excess > 0:
            old = self._chunks.popleft()
            gone = min(excess, len(old.events))
            excess -= gone
            if gone < len(old.events):
                self._chunks.appendleft(replace(old, events=old.events[gone:]))
            elif old.mark is not None:
                mark = replace(old, events=old.events[:0])
        if mark is not None:
            self._chunks.appendleft(mark)
        self._append(replace(chunk, events=events))

    def get(self, timeout: float | None = None) -> Chunk | None:
        """The oldest chunk; None after `timeout` seconds without one, or at once where the queue is done."""
        with self._changed:
            if not self._chunks and not self._closed and timeout != 0:
                self._changed.wait_for(lambda: bool(self._chunks) or self._closed, timeout)
            if not self._chunks:
                return None
            chunk = self._chunks.popleft()
            self._size -= len(chunk.events)
            if self.policy == "block":
                self._changed.notify_all()
            return chunk

    def close(self) -> None:
        """Nothing more will come; a thread that waits for room goes on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
