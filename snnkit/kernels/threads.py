"""Kernels on several threads: blocks are handed out to them, and nothing depends on who computes which.

The kernels are serial and release the interpreter lock, so any threads run them side by side; against a compiled
parallel loop this compiles in half the time. Where torch computes with OpenMP, they are torch's own threads (`team`):
others would be woken beside them, often on a processor where one of them still waits for work. Otherwise, and in a
forked process, which has none of its parent's threads, they are those of a pool of Python's.
"""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch

SCRATCH = 1 << 16
"""Elements of a block over all its steps at most, so that its recomputed history stays in the second-level cache."""

BLOCK_RANGE = (256, 512)
"""Fewest and most elements of a block. All rows of a short block stay in the first-level cache, and the row asked for
ahead (`prefetch`) arrives in time; below the fewest, the work per row no longer covers its set-up."""

SHARES = 4
"""Portions per thread, so that a thread that is held up leaves its later portions to others."""

WORTH = 1 << 19
"""Fewest element-steps for which a second thread pays: it takes a tenth of a millisecond to come and go."""


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_pools: dict[int, ThreadPoolExecutor] = {}


def _pool(threads: int) -> ThreadPoolExecutor:
    key = os.getpid()  # a forked child has the parent's pool object but none of its threads
    pool = _pools.get(key)
    if pool is None or pool._max_workers < threads:
        pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="snnkit-kernel")
        _pools.clear()
        _pools[key] = pool
    return pool


_Work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@cache
def _openmp() -> tuple[Any, Any] | None:
    """How the OpenMP library that torch itself has loaded starts a team and ends it; None where it cannot."""
    try:
        library = ctypes.CDLL(torch._C.__file__)
        start, end = library.GOMP_parallel_start, library.GOMP_parallel_end
    except (AttributeError, OSError, TypeError):
        return None
    start.argtypes, start.restype = (_Work, ctypes.c_void_p, ctypes.c_uint), None
    end.argtypes, end.restype = (), None
    return start, end


def _is_fork() -> bool:
    """Whether this process is a fork that runs no other program; False where the system does not say."""
    forked = 0x40  # PF_FORKNOEXEC of Linux's include/linux/sched.h
    try:
        flags = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[6]
        return bool(int(flags) & forked)
    except (OSError, ValueError, IndexError):
        return False


_OWN = None if _is_fork() else os.getpid()
"""The process whose OpenMP threads can be used: a fork has none of its parent's, and waits for them for ever."""


def team(work: Callable[[], None], threads: int) -> bool:
    """work() on `threads` of torch's OpenMP threads at once, the caller's among them; whether that is possible here.

    What one of them raises is raised when all have ended. A thread that gets no processor holds the others up, as in
    torch's own operators.

    Source: GOMP_parallel_start(fn, data, num_threads) and GOMP_parallel_end() of the GNU OpenMP library's interface for
    compilers, which LLVM's and Intel's library has too.
    """
    openmp = _openmp() if os.getpid() == _OWN else None
    if openmp is None:
        return False
    start, end = openmp
    raised: list[BaseException] = []
    turn = itertools.count(1)

    def other(_: Any) -> None:
        try:
            if next(turn) < threads:
                work()
        except BaseException as error:  # C code is above: nothing may pass through it
            raised.append(error)

    callback, size = _Work(other), torch.get_num_threads()  # one of another size would end some of torch's threads
    try:
        # A signal's exception is raised when a call has ended, so there is none between `try` and `start`. It would be
        # lost in a callback, which the caller's part is not.
        start(callback, None, size)
        work()
    finally:
        end()
    if raised:
        raise raised[0]
    return True


def block_size(steps: int, width: int, threads: int) -> int:
    """Elements per block. It decides the speed and no value."""
    fewest, most = BLOCK_RANGE
    size = min(most, SCRATCH // max(steps, 1), -(-width // (threads * SHARES)))
    return max(fewest, 1 << max(size, 1).bit_length() - 1)


def run_blocks(kernel: Callable[..., None], steps: int, width: int, *args: Any, block: int | None = None) -> None:
    """kernel(first, last, block, *args) for portions that together cover all blocks of `width` elements.

    Uses as many threads as torch does, no more than there are processors, and one for little work. `block` where the
    kernel wants blocks of a size of its own.
    """
    threads = min(torch.get_num_threads(), _processors()) if steps * width >= WORTH else 1
    if block is None:
        block = block_size(steps, width, threads)
    blocks = -(-width // block)
    threads = min(threads, blocks)
    if threads <= 1:
        kernel(0, blocks, block, *args)
        return
    portions = min(blocks, threads * SHARES)
    bounds = [blocks * k // portions for k in range(portions + 1)]
    turn = itertools.count()  # next() on it is atomic

    def work() -> None:
        while (k := next(turn)) < portions:
            kernel(bounds[k], bounds[k + 1], block, *args)

    if team(work, threads):
        return
    others = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        for other in others:
            if not other.cancel():  # one that has not begun has nothing left to do
                other.result()
