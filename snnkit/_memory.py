"""Keeps freed memory in the process: for large tensors a page fault per page costs more than computing them.

glibc gives every block above 32 MiB back to the system when it is freed, so that each step of a training run faults its
activations in again. With mmap switched off for malloc and no trimming, freed blocks are reused.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD = 64 << 20


def keep_freed_memory() -> bool:
    """Tell glibc to reuse large freed blocks; True if it did. `SNNKIT_KEEP_MEMORY=0` switches it off."""
    if not sys.platform.startswith("linux") or os.environ.get("SNNKIT_KEEP_MEMORY") == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, _TOP_PAD))
    return all(mallopt(key, value) == 1 for key, value in settings)
