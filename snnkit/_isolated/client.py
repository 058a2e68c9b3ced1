"""Sessions: one task each, in servers that are started when they are needed and end with their parent."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit._isolated import ring
from snnkit._isolated.link import FORKS, LENGTHS
from snnkit.errors import DataError, MissingPackageError, NirError, SnnkitError, SystemCallError

SECONDS = 30.0
"""Most time of the processor that a task takes until its next frame."""
PATIENCE = 120.0
"""Longest wait for a frame, s: the system may be slow or the machine busy, which is not the file's fault."""
KEPT = 2
"""Servers that wait for the next task."""
_LONGEST = 1 << 26
_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 27)}
"""Makes glibc keep memory of some megabytes for the next array: new pages from the system cost as much as decoding."""
_KINDS: tuple[type[SnnkitError], ...] = (MissingPackageError, NirError, DataError)

Frame = tuple[str, Any, NDArray[np.uint8]]
"""Its key, its value, its data [bytes]."""


class BrokenError(Exception):
    """The process ended before its task did; the text says how."""


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


class Session:
    """A task under way; close it, or use it with `with`.

    Args:
        task: "module:function".
        path: the file it is about: for messages, and so that the task finds it under the same name.
        asked: what the task is given, as JSON values, with `path` besides.

    Raises:
        SystemCallError: no process can be started.
    """

    def __init__(self, task: str, path: Path, asked: Mapping[str, Any]) -> None:
        folder = "" if path.is_absolute() else os.getcwd()
        self._asked = {**asked, "task": task, "path": str(path), "folder": folder, "seconds": SECONDS}
        self._owner, self._ended, self._sound, self._failed = os.getpid(), False, True, False
        try:
            self._server: Server | None = take()
        except OSError as error:
            raise SystemCallError(
                f"{path}: no process could be started to read it ({error})", fix="end other programs, then try again"
            ) from error
        try:
            with self.checked():
                self._server.begin(self._asked)
        except BrokenError:
            self.close()
            raise

    def receive(self) -> Frame:
        """The next frame; ("exit", …) is the last one.

        Raises:
            BrokenError: the process ended.
            SnnkitError: what the task raised.
        """
        with self.checked():
            key, value, data = self._frame(PATIENCE)
            if key == "exit" and value:
                self._failed = True
                raise BrokenError(_how(int(value)))
            if key == "broken":
                self._failed = True
                raise BrokenError(str(value))
            if key == "error":
                self._failed = True
                kind = next((k for k in _KINDS if k.code == value["code"]), DataError)
                raise kind(str(value["what"]), why=str(value["why"]), fix=str(value["fix"]))
        return key, value, data

    def __iter__(self) -> Iterator[Frame]:
        while not self._ended:
            frame = self.receive()
            if frame[0] != "exit":
                yield frame

    def ask(self, value: Any) -> None:
        """Send a request to the task; it takes them with `Link.ask`."""
        with self.checked():
            if self._server is None:
                raise ValueError("a session that is closed")
            self._server.send(value)

    @contextlib.contextmanager
    def checked(self) -> Iterator[None]:
        """Turns what a process that ended, or that tells nonsense, leads to into `BrokenError`."""
        try:
            yield
        except TimeoutError as error:
            self._sound = False
            raise BrokenError(str(error)) from None
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            self._sound = False
            raise BrokenError(f"its process ended, {type(error).__name__}") from None

    def close(self) -> None:
        """End the task; the server is kept where it is sound."""
        server, self._server = self._server, None
        if server is None:
            return
        if self._owner != os.getpid():  # a forked process: the server is the parent's
            server.process.returncode = 0
        elif (self._ended or (self._sound and self._drained(server))) and (FORKS or not self._failed):
            give_back(server)
        else:
            server.stop()

    def _frame(self, seconds: float, server: Server | None = None) -> Frame:
        server = server or self._server
        if server is None or self._ended or not self._sound:
            raise EOFError
        self._sound = False  # an interrupt leaves it in the middle of a frame
        frame = server.receive(seconds)
        self._sound, self._ended = True, frame[0] == "exit"
        return frame

    def _drained(self, server: Server) -> bool:
        """Whether a task that is broken off comes to its end soon."""
        with contextlib.suppress(OSError, EOFError, ValueError, TypeError):
            server.send(None)
            return any(self._frame(5.0, server)[0] == "exit" for _ in range(4))
        return False

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# --------------------------------------------------------------------------------------------------------------- pool
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


def _how(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    if FORKS and -code == signal.SIGPROF:
        return f"no end within {SECONDS:g} s of work"
    return f"signal {-code}"


def _widen(stream: Any) -> None:
    """A pipe that holds more than 64 KiB saves waiting, where the system has such."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, 1 << 20)
