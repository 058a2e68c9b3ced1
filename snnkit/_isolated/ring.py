"""Shared memory between a session and its task, so that data do not go through a pipe.

It has no name and no file: the system frees it with the two processes, however they end. It is sealed, so that neither
can take it away below the other. Systems without such memory (all but Linux) use the pipe.
"""

from __future__ import annotations

import contextlib
import mmap
import os

SLOT = 13 << 18
"""Most bytes of a frame's data: 2¹⁸ events of 13 bytes."""
SLOTS = 3
"""One that is filled, one that is read, one between them."""


def create() -> int | None:
    """A file descriptor of the memory; None where the system has none."""
    if not hasattr(os, "memfd_create"):
        return None
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        descriptor = os.memfd_create("snnkit", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, SLOT * SLOTS)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
    return None


def map_slots(descriptor: int, write: bool) -> list[memoryview]:
    """The slots; the descriptor may be closed afterwards."""
    access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
    whole = memoryview(mmap.mmap(descriptor, SLOT * SLOTS, access=access))
    return [whole[k * SLOT : (k + 1) * SLOT] for k in range(SLOTS)]
