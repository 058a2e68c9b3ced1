"""Memory for large outputs of the kernels: on huge pages, and kept for the next output when a tensor is freed.

The system hands out fresh memory page by page and zeroes it, which for a tensor of many megabytes takes longer than
computing it. A training step frees and asks for the same sizes again and again, so what it frees is kept here, up to
`limit()` bytes, as torch does on a GPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import weakref
from collections import deque
from functools import cache

import numpy as np
import torch
from torch import Tensor

WORTH = 2 << 20
"""Bytes of a tensor from which on its memory comes from here; smaller ones come from torch's allocator."""

SHARE = 8
"""Freed memory is kept up to this part (an eighth) of the machine's memory."""

_PAGE = 2 << 20  # a huge page on x86-64 and on arm64 with 4 KiB pages

_idle: deque[mmap.mmap] = deque()  # oldest first; only its atomic operations are used, since tensors die in any thread


@cache
def limit() -> int:
    """Bytes of freed memory kept at most: $SNNKIT_KEEP_MIB where set (0 keeps none), else 1/SHARE of the machine's."""
    chosen = os.environ.get("SNNKIT_KEEP_MIB", "")
    if chosen.isdecimal():
        return int(chosen) << 20
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // SHARE
    except (AttributeError, OSError, ValueError):  # no such question on this system
        return 1 << 30


def kept() -> int:
    """Bytes of freed memory kept now."""
    return sum(len(region) for region in list(_idle))


def release_memory() -> int:
    """Give the kept memory back to the system, and what the C library can; returns how many bytes of the kernels' own.
    Tensors in use are not touched."""
    released = 0
    while True:
        try:
            released += len(_idle.popleft())
        except IndexError:
            break
    library = _library()
    if library is not None:
        library.malloc_trim(0)
    return released


@cache
def _library() -> ctypes.CDLL | None:
    """The C library where it is one whose allocator can be told what to keep (glibc)."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version") else None
    except (OSError, TypeError):
        return None


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # of mallopt, in glibc's malloc.h
_MOST = 2**31 - 1  # mallopt takes an int


def keep_freed_memory(keep: bool = True) -> bool:
    """From now on this process keeps what it frees for what it asks for next, up to `limit()` bytes; whether it does.

    Otherwise the C library gives every large tensor back to the system at once, and the next one of the same size is
    handed out and zeroed page by page again. That is for training, whose steps all ask for the same sizes: `fit` calls
    this. With glibc only; elsewhere, and with SNNKIT_KEEP_MIB=0, it does nothing. The process may hold more memory than
    it uses, by what is kept and by gaps in between.

    Args:
        keep: False for what glibc comes to by itself where large tensors are freed.

    Source: mallopt(3), M_MMAP_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    library = _library()
    if library is None or limit() == 0:
        return False
    most = min(limit(), _MOST)
    wanted = (
        {_MMAP_MAX: 0, _TRIM_THRESHOLD: most, _TOP_PAD: min(most, 16 * _PAGE)}
        if keep
        else {_MMAP_MAX: 1 << 16, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 128 << 10}
    )
    done = [library.mallopt(option, value) for option, value in wanted.items()]
    return keep and all(done)


def _give_back(region: mmap.mmap) -> None:
    """Called when the tensor is gone, by whatever thread let it go."""
    _idle.append(region)
    while kept() > limit():
        try:
            _idle.popleft()
        except IndexError:
            return


def _take(size: int) -> mmap.mmap | None:
    """A kept region for `size` bytes that is at most a quarter larger; None where there is none."""
    for _ in range(len(_idle)):
        try:
            region = _idle.popleft()
        except IndexError:
            return None
        if size <= len(region) <= size + size // 4 + _PAGE:
            return region
        _idle.append(region)
    return None


def _fresh(size: int) -> mmap.mmap:
    region = mmap.mmap(-1, -(-size // _PAGE) * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(AttributeError, OSError):  # a wish: a system without huge pages is as good
        region.madvise(mmap.MADV_HUGEPAGE)
    return region


def output_like(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """An uninitialised contiguous tensor of x's shape and, where no other is given, dtype, for a kernel's output."""
    return output(x, *x.shape, dtype=dtype)


def output(x: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """An uninitialised contiguous tensor of that shape and, where no other is given, x's dtype."""
    dtype = dtype or x.dtype
    size = math.prod(shape) * dtype.itemsize
    if size < WORTH or not hasattr(mmap, "MAP_ANONYMOUS"):
        return x.new_empty(shape, dtype=dtype)
    region = _take(size)
    if region is None:
        try:
            region = _fresh(size)
        except OSError:  # no more maps or memory: torch says so in its own words, if it cannot either
            return x.new_empty(shape, dtype=dtype)
    lease = np.frombuffer(region, dtype=np.uint8, count=size)
    weakref.finalize(lease, _give_back, region).atexit = False
    return torch.from_numpy(lease).view(dtype).view(shape)
