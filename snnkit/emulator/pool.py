"""Samples over threads: compiled code releases the interpreter lock, and no sample touches another."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_CHUNKS_PER_THREAD = 2


def threads() -> int:
    """Threads to use: the processors of this process, or NUMBA_NUM_THREADS.

    Not `numba.get_num_threads()`: it starts numba's thread layer, and with OpenMP that changes how many threads torch
    computes with, so that a training later in the process would give other bits.
    """
    import numba

    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def spread(work: Callable[[int, int], None], n: int) -> None:
    """Call `work(begin, end)` over 0..n in pieces, several at a time; an error is raised after all have ended."""
    count = min(threads(), n)
    if count <= 1:
        work(0, n)
        return
    pieces = min(n, count * _CHUNKS_PER_THREAD)
    edges = [n * k // pieces for k in range(pieces + 1)]
    waiting = list(pairwise(edges))

    def worker() -> None:
        while True:
            try:
                begin, end = waiting.pop()  # atomic
            except IndexError:
                return
            work(begin, end)

    futures = [_pool(os.getpid(), count).submit(worker) for _ in range(count - 1)]
    try:
        worker()
    finally:
        for future in futures:
            future.exception()
    for future in futures:
        future.result()


@cache
def _pool(process: int, count: int) -> ThreadPoolExecutor:
    """One pool per process (a fork must not inherit it) and size."""
    return ThreadPoolExecutor(count, thread_name_prefix="snnkit-emulator")


def writable(raster: Array) -> Array:
    """A raster as kernels take it, contiguous and writable: a copy where it is not, so that one compilation serves."""
    raster = np.ascontiguousarray(raster)
    return raster if raster.flags.writeable else raster.copy()
