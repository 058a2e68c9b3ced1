"""The process in which tasks run: `python -m snnkit._isolated.server [DESCRIPTOR]`; `client` is its other side.

The server does no task itself: for each line of JSON that names one it forks a child, which works within limits of time
and memory and ends. So what a file does to the memory of a library ends with it, and a file costs some milliseconds,
not the start of a process. Server and child answer in frames on standard output:

    16 bytes   length of the header, length of the data
    header     JSON [key, value]; the keys error, broken and exit (the last frame, from the server) are ours
    data       only where there is no shared memory (DESCRIPTOR); else the slots of `ring` hold them in turn, and an
               empty line to the child frees one

The child gets requests as lines of JSON. Without fork (Windows) the server does the task itself, and is ended after one
that failed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
from typing import Any

from snnkit._isolated import ring
from snnkit._isolated.link import FORKS, Link
from snnkit.errors import SnnkitError

MEMORY = 2**33
"""Most address space of the process, bytes."""


def _perform(asked: dict[str, Any], link: Link) -> None:
    module, function = asked["task"].split(":")
    if asked["folder"]:
        os.chdir(asked["folder"])
    try:
        getattr(importlib.import_module(module), function)(asked, link)
    except SnnkitError as error:
        link.send("error", error.to_dict())
    except MemoryError:
        link.send("broken", "it claims more memory than there is")


def _main() -> None:
    """The server: one session after another until its standard input ends."""
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints must not get among the frames
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    slots = ring.map_slots(int(sys.argv[1]), write=True) if len(sys.argv) > 1 else []
    try:
        import resource

        for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
            resource.setrlimit(kind, (most, most))
    except (ImportError, ValueError, OSError):  # not on every system
        pass
    lines = sys.stdin.buffer
    while line := lines.readline():
        asked = json.loads(line) if line.strip() else None
        if not isinstance(asked, dict):
            continue  # meant for a child that has ended
        with contextlib.suppress(ImportError):  # once for all children; the child says it if it fails
            importlib.import_module(asked["task"].split(":")[0])
        code = 0
        if not FORKS:
            _perform(asked, Link(out, lines, slots, None))
        elif pid := os.fork():
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        else:
            try:
                signal.signal(signal.SIGPROF, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
                _perform(asked, Link(out, lines, slots, asked["seconds"]))
                os._exit(0)
            finally:
                os._exit(1)
        Link(out, lines, [], None).send("exit", code)


if __name__ == "__main__":
    _main()
