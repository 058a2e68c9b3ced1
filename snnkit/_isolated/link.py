"""The end of a task: sends frames, takes requests, and keeps the time."""

from __future__ import annotations

import json
import os
import signal
import struct
from collections import deque
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from snnkit._isolated import ring

LENGTHS = struct.Struct("<QQ")
"""Before each frame: the bytes of its header and of its data."""
FORKS = hasattr(os, "fork")


class Link:
    """What a task is given to talk through.

    Args:
        out: file descriptor to which frames go.
        lines: where requests come from, and an empty line for each slot that was read.
        slots: shared memory for the data; without it they follow the header.
        seconds: most time of the processor between two calls of `send` and `ask`; then the process ends. None: any.
    """

    def __init__(self, out: int, lines: IO[bytes], slots: list[memoryview], seconds: float | None) -> None:
        self._out, self._lines, self._slots, self._seconds = out, lines, slots, seconds
        self._sent = self._read = 0
        self._requests: deque[Any] = deque()
        self._watch()

    def send(self, key: str, value: Any = None, data: NDArray[Any] | None = None) -> None:
        """A frame: its key, a value (JSON), and the bytes of an array, at most `ring.SLOT`."""
        plain = np.empty(0, np.uint8) if data is None or not data.size else np.ascontiguousarray(data).view(np.uint8)
        text = json.dumps([key, value]).encode()
        parts = [memoryview(LENGTHS.pack(len(text), len(plain)) + text), plain.data]
        if len(plain) and self._slots:
            slot = self.room(len(plain))
            if slot.ctypes.data != plain.ctypes.data:
                slot[:] = plain
            self._sent += 1
            parts.pop()
        for rest in parts:
            while len(rest):
                rest = rest[os.write(self._out, rest) :]
        self._watch()

    def room(self, length: int) -> NDArray[np.uint8]:
        """Where the data of the next frame may be written, so that `send` need not copy them; waits for it."""
        if not self._slots or length > ring.SLOT:
            return np.empty(length, np.uint8)
        while self._sent - self._read >= len(self._slots):
            self._line()
        return np.frombuffer(self._slots[self._sent % len(self._slots)], np.uint8, length)

    def ask(self) -> Any:
        """The next request; None where no more will come."""
        while not self._requests:
            self._line()
        self._watch()
        return self._requests.popleft()

    def _line(self) -> None:
        line = self._lines.readline()
        if not line:
            raise EOFError("the session's process has ended")
        if line == b"\n":
            self._read += 1
        else:
            self._requests.append(json.loads(line))

    def _watch(self) -> None:
        """Count anew. Time of the processor, as a library that never ends takes it; to wait costs none."""
        if self._seconds:
            signal.setitimer(signal.ITIMER_PROF, self._seconds)
