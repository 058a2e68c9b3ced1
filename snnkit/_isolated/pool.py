"""The servers: started when they are needed, kept for the next task, ended with their parent."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit._isolated import ring
from snnkit._isolated.link import FORKS, LENGTHS

KEPT = 2
"""Servers that wait for the next task."""
_LONGEST = 1 << 26
_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 27)}
"""Makes glibc keep memory of some megabytes for the next array: new pages from the system cost as much as decoding."""

Frame = tuple[str, Any, NDArray[np.uint8]]
"""Its key, its value, its data [bytes]."""


class Server:
    """One process, which answers one session at a time."""

    def __init__(self) -> None:
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH", "")) if p)
        env = {**_ENVIRONMENT, **os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-P", "-m", "snnkit._isolated.server"]  # nothing from the current folder
        memory = ring.create()
        shared = () if memory is None else (memory,)
        try:
            self.process = subprocess.Popen(
                [*command, *map(str, shared)], pass_fds=shared, env=env, bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self._slots = [] if memory is None else ring.map_slots(memory, write=False)
        finally:
            if memory is not None:
                os.close(memory)
        self._taken = 0
        if not self._slots:
            _widen(self.process.stdout)

    def stop(self) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):  # a child that writes to it still then ends, too
            if stream is not None:
                stream.close()
        self.process.wait()
        self._slots = []

    def begin(self, asked: Mapping[str, Any]) -> None:
        """Ask for a task, whose frames are received from then on."""
        self._taken = 0
        self.send(asked)

    def send(self, value: Any) -> None:
        """A line for the task; None ends its requests."""
        self._write(json.dumps(value).encode() + b"\n")

    def receive(self, seconds: float) -> Frame:
        """The next frame; a server that does not answer in time is killed, which ends the waiting."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            lengths = bytearray(LENGTHS.size)
            self._exactly(lengths)
            header_length, length = LENGTHS.unpack(lengths)
            if header_length > _LONGEST or length > ring.SLOT:
                raise ValueError("a frame that is too long")
            text = bytearray(header_length)
            self._exactly(text)
            key, value = json.loads(text)
            data = np.empty(length, np.uint8)
            if length and self._slots:  # copied before it is looked at, so that it stays what was looked at
                data.data[:] = self._slots[self._taken % len(self._slots)][:length]
                self._taken += 1
                self._write(b"\n")
            else:
                self._exactly(data.data)
        except EOFError:
            if late.is_set():
                raise TimeoutError(f"no answer within {seconds:g} s") from None
            raise
        finally:
            timer.cancel()
        return str(key), value, data

    def _write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)

    def _exactly(self, out: bytearray | memoryview) -> None:
        rest = memoryview(out)
        while len(rest):
            got = self.process.stdout.readinto(rest)  # type: ignore[union-attr]
            if not got:
                raise EOFError
            rest = rest[got:]


_idle: list[Server] = []
_lock = threading.Lock()


def take() -> Server:
    """A server that waits, or a new one."""
    with _lock:
        while _idle:
            server = _idle.pop()
            if server.process.poll() is None:
                return server
            server.stop()
    return Server()


def give_back(server: Server) -> None:
    """Keep a server for the next session."""
    with _lock:
        if len(_idle) < KEPT:
            _idle.append(server)
            return
    server.stop()


def stop_all() -> None:
    """End the servers that wait."""
    while _idle:
        _idle.pop().stop()


def _forget() -> None:
    """In a forked child: the servers are the parent's."""
    global _lock
    _lock = threading.Lock()
    for server in _idle:
        server.process.returncode = 0
    _idle.clear()


atexit.register(stop_all)
if FORKS:
    os.register_at_fork(after_in_child=_forget)


def _widen(stream: Any) -> None:
    """A pipe that holds more than 64 KiB saves waiting, where the system has such."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, 1 << 20)
