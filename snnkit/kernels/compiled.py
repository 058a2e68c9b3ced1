"""Compiling ahead of the first use."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from snnkit.errors import ParameterError, did_you_mean

FOLDERS = {"LIF": "lif", "LI": "li", "CubaLIF": "cubalif", "ALIF": "alif", "LinearLeakIF": "linear_leak"}
"""Where the kernels of each neuron are, in snnkit.kernels."""

USUAL = ("LIF", "LI", "CubaLIF")
"""The neurons of the recipes."""

Progress = Callable[[str, int, int], None]
"""(what is being compiled, how many are done, of how many)."""


def warm_up(
    progress: Progress | None = None, dtype: torch.dtype = torch.float32, neurons: Sequence[str] = USUAL
) -> float:
    """Compile, or load from the cache, the kernels of these neurons, both directions.

    Args:
        progress: called before each kernel and once at the end.
        dtype: float32, or float64 for tests in double precision.
        neurons: of `LIF`, `LI`, `CubaLIF`, `ALIF` and `LinearLeakIF`.

    Returns:
        Seconds spent.

    Raises:
        ParameterError: a neuron that has no kernel.
    """
    for name in neurons:
        if name not in FOLDERS:
            raise ParameterError(
                f"{name!r} has no kernel{did_you_mean(name, list(FOLDERS))}", fix="use " + ", ".join(FOLDERS)
            )
    jobs: list[tuple[str, Callable[[], object]]] = []
    for name in (name for name in FOLDERS if name in neurons):
        recurrence = importlib.import_module(f"snnkit.kernels.{FOLDERS[name]}.op").RECURRENCE
        forward, backward = recurrence.smallest(dtype)
        jobs.append((f"{name} forward", partial(recurrence.forward, *forward)))
        jobs.append((f"{name} backward", partial(recurrence.backward, *backward)))
    start = time.perf_counter()
    for done, (name, job) in enumerate(jobs):
        if progress is not None:
            progress(name, done, len(jobs))
        job()
    if progress is not None:
        progress("kernels ready", len(jobs), len(jobs))
    return time.perf_counter() - start
