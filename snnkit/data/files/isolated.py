"""Reading HDF5 in a process of its own, because libhdf5 and its filters may crash or never end on a damaged file.

This is the side of the reader; `hdf5_server` is the process, and says what the two tell each other. A server is started
at the first file, serves the next ones too, and ends with its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.hdf5_server import FORKS, LENGTHS, PIECE
from snnkit.data.files.reader import Reader, size_of
from snnkit.errors import DataError, MissingPackageError, SnnkitError, SystemCallError

SECONDS = 30.0
"""Longest time until the next piece of a file."""
KEPT = 2
"""Servers that wait for the next file."""
_LONGEST = 1 << 20
_GRACE = 10.0

Frame = tuple[str, Any, NDArray[np.void]]


class _BrokenError(Exception):
    """The child ended before its file did; the text says how."""


class IsolatedReader(Reader):
    """An HDF5 file in any known layout, read in another process; the arguments are those of `open_recording`."""

    def __init__(self, path: Path, sample: int | None = None, time_unit: str | None = None) -> None:
        size_of(path)
        self._asked = {"sample": sample, "time_unit": time_unit}
        self._held: tuple[object, list[Frame]] | None = None
        version, frames = _version(path), []
        try:
            for frame in _session(path, self._asked, "few"):
                frames.append(frame)
            if frames[-1][0] == "finished":
                self._held = version, frames[1:]
        except _BrokenError as error:
            if not frames:
                raise DataError(
                    f"{path}: this HDF5 file is damaged (it breaks the HDF5 library: {error})",
                    fix="copy or download the recording again",
                ) from None
        except SnnkitError:
            if not frames:
                raise
        opened = frames[0][1]
        sensor, typical = (tuple(opened[k]) if opened[k] else None for k in ("sensor", "typical"))
        super().__init__(path, opened["label"], sensor)
        self.typical = typical

    def pieces(self) -> Iterator[NDArray[np.void]]:
        held, self._held = self._held, None
        if held is not None and held[0] == _version(self.path):
            yield from self._counted(held[1])
            return
        try:
            with contextlib.closing(_session(self.path, self._asked, "all")) as frames:
                yield from self._counted(frames)
        except _BrokenError as error:
            self.tally.damage = f"after {self.tally.events:,} events its HDF5 breaks the library ({error})"

    def _counted(self, frames: Iterable[Frame]) -> Iterator[NDArray[np.void]]:
        for key, value, events in frames:
            if key in ("events", "finished"):
                self.tally.bytes, self.tally.damage = int(value["bytes"]), str(value["damage"])
            if key == "events":
                self.tally.events += len(events)
                yield events


def _version(path: Path) -> object:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


# ------------------------------------------------------------------------------------------------------------- parent
class _Server:
    """One process, which answers one session at a time."""

    def __init__(self) -> None:
        package = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH", "")) if p)
        env = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "snnkit.data.files.hdf5_server"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, bufsize=0,
        )  # fmt: skip
        _widen(self.process.stdout)

    def stop(self) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):  # a child that writes to it still then ends, too
            if stream is not None:
                stream.close()
        self.process.wait()

    def send(self, asked: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked).encode() + b"\n")

    def receive(self) -> Frame:
        """The next frame; a server that does not answer is killed, which ends the waiting."""
        timer = threading.Timer(SECONDS + _GRACE, self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            lengths = bytearray(LENGTHS.size)
            self._exactly(lengths)
            header_length, length = LENGTHS.unpack(lengths)
            if header_length > _LONGEST or length > PIECE * EVENT_DTYPE.itemsize or length % EVENT_DTYPE.itemsize:
                raise ValueError("a frame that is too long")
            text = bytearray(header_length)
            self._exactly(text)
            header = json.loads(text)
            events = np.empty(length // EVENT_DTYPE.itemsize, EVENT_DTYPE)
            self._exactly(events.view(np.uint8).data)
        finally:
            timer.cancel()
        ((key, value),) = header.items()
        return key, value, events

    def _exactly(self, out: bytearray | memoryview) -> None:
        rest = memoryview(out)
        while len(rest):
            got = self.process.stdout.readinto(rest)  # type: ignore[union-attr]
            if not got:
                raise EOFError
            rest = rest[got:]


_idle: list[_Server] = []
_lock = threading.Lock()


def _take() -> _Server:
    with _lock:
        while _idle:
            server = _idle.pop()
            if server.process.poll() is None:
                return server
            server.stop()
    return _Server()


def _give_back(server: _Server) -> None:
    with _lock:
        if len(_idle) < KEPT:
            _idle.append(server)
            return
    server.stop()


def _stop_all() -> None:
    while _idle:
        _idle.pop().stop()


def _forget() -> None:
    """In a forked child: the servers are the parent's."""
    global _lock
    _lock = threading.Lock()
    for server in _idle:
        server.process.returncode = 0
    _idle.clear()


atexit.register(_stop_all)
if FORKS:
    os.register_at_fork(after_in_child=_forget)


def _session(path: Path, asked: dict[str, Any], events: str) -> Generator[Frame]:
    """The frames of a file; an error of the child is raised here.

    `events` is "all", or "few" where at most `PIECE` of them are worth sending before they are asked for.
    """
    folder = "" if path.is_absolute() else os.getcwd()
    try:
        server = _take()
    except OSError as error:
        raise SystemCallError(
            f"{path}: no process could be started to read it ({error})", fix="end other programs, then try again"
        ) from error
    ended = failed = False
    try:
        server.send({**asked, "path": str(path), "folder": folder, "events": events, "seconds": SECONDS})
        while True:
            key, value, piece = server.receive()
            if key == "exit":
                ended = True
                if value:
                    failed = True
                    raise _BrokenError(_how(int(value)))
                return
            if key == "error":
                failed = True
                kind: type[SnnkitError] = (
                    MissingPackageError if value["code"] == MissingPackageError.code else DataError
                )
                raise kind(value["what"], why=value["why"], fix=value["fix"])
            yield key, value, piece
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise _BrokenError(f"its process ended, {type(error).__name__}") from None
    finally:
        if (ended or _drained(server)) and (FORKS or not failed):
            _give_back(server)
        else:
            server.stop()


def _drained(server: _Server) -> bool:
    """Whether a session that is broken off comes to its end soon."""
    with contextlib.suppress(OSError, EOFError, ValueError, TypeError):
        return any(server.receive()[0] == "exit" for _ in range(4))
    return False


def _how(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    if FORKS and -code == signal.SIGALRM:
        return f"no answer within {SECONDS:g} s"
    return f"signal {-code}"


def _widen(stream: Any) -> None:
    """A pipe that holds more than 64 KiB saves waiting, where the system has such."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, 1 << 20)
