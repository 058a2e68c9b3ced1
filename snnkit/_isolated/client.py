"""Sessions: one task each, in a server of `pool`."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from snnkit._isolated import pool
from snnkit._isolated.link import FORKS
from snnkit._isolated.pool import Frame, Server
from snnkit.errors import DataError, MissingPackageError, NirError, SnnkitError, SystemCallError

SECONDS = 30.0
"""Most time of the processor that a task takes until its next frame."""
PATIENCE = 120.0
"""Longest wait for a frame, s: the system may be slow or the machine busy, which is not the file's fault."""
_KINDS: tuple[type[SnnkitError], ...] = (MissingPackageError, NirError, DataError)


class BrokenError(Exception):
    """The process ended before its task did; the text says how."""


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
            self._server: Server | None = pool.take()
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
            pool.give_back(server)
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


def _how(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    if FORKS and -code == signal.SIGPROF:
        return f"no end within {SECONDS:g} s of work"
    return f"signal {-code}"
