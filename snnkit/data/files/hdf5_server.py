"""The process in which HDF5 files are read: `python -m snnkit.data.files.hdf5_server`; `isolated` is its other side.

The server opens no file itself: for each line of JSON it forks a child, which reads one file within limits of time and
memory and ends. So what a file does to the memory of the library ends with it, and a file costs some milliseconds, not
the start of a process. Server and child answer in frames:

    16 bytes   length of the header, length of the data
    header     JSON with one key: opened, events, finished, error; or exit, the last one, from the server
    data       the events of a frame of events

Without fork (Windows) the server reads the file itself, and is ended after a damaged one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.files.reader import Reader
from snnkit.errors import SnnkitError

MEMORY = 2**33
"""Most address space of the process, bytes."""
PIECE = 1 << 18
"""Most events of a frame."""
FORKS = hasattr(os, "fork")
LENGTHS = struct.Struct("<QQ")


def _answer(asked: dict[str, Any], write: Callable[..., None]) -> None:
    """Read one file, and write its frames."""
    from snnkit.data.files import hdf5

    if asked["folder"]:
        os.chdir(asked["folder"])
    path = Path(asked["path"])
    try:
        reader: Reader
        if hdf5.is_shd(path):
            reader = hdf5.ShdReader(path, asked["sample"])
        else:
            reader = hdf5.Hdf5Reader(path, asked["time_unit"])
        write({"opened": {"label": reader.label, "sensor": reader.sensor_size, "typical": reader.typical}})
        few = asked["events"] == "few"
        if few and getattr(reader, "count", 0) > PIECE:
            return
        for piece in reader.pieces():
            if few and reader.tally.events + len(piece) > PIECE:
                return
            for first in range(0, len(piece), PIECE):
                write({"events": _tally(reader)}, piece[first : first + PIECE])
        write({"finished": _tally(reader)})
    except SnnkitError as error:
        write({"error": error.to_dict()})
    except MemoryError:
        write({"error": hdf5.damaged(path, ValueError("it claims more memory than there is")).to_dict()})


def _tally(reader: Reader) -> dict[str, Any]:
    return {"bytes": reader.tally.bytes, "damage": reader.tally.damage}


def _main() -> None:
    """The server: one session after another until its standard input ends."""
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints must not get among the frames
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import resource

        for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
            resource.setrlimit(kind, (most, most))
    except (ImportError, ValueError, OSError):  # not on every system
        pass
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  once for all children
    from snnkit.data.files import hdf5  # noqa: F401

    for line in sys.stdin.buffer:
        asked = json.loads(line)
        seconds = int(np.ceil(asked["seconds"])) if FORKS else 0

        def write(header: dict[str, Any], events: NDArray[np.void] | None = None, seconds: int = seconds) -> None:
            if seconds:
                signal.alarm(0)  # a reader may take its time with what it has
            text = json.dumps(header).encode()
            data = memoryview(b"") if events is None else np.ascontiguousarray(events).view(np.uint8).data
            for rest in (memoryview(LENGTHS.pack(len(text), len(data)) + text), data):
                while len(rest):
                    rest = rest[os.write(out, rest) :]
            if seconds:
                signal.alarm(seconds)

        code = 0
        if not FORKS:
            _answer(asked, write)
        elif pid := os.fork():
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        else:
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
                signal.alarm(seconds)
                _answer(asked, write)
                os._exit(0)
            finally:
                os._exit(1)
        write({"exit": code}, seconds=0)


if __name__ == "__main__":
    _main()
