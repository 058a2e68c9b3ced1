"""Compiling ahead of the first use."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from snnkit.errors import ParameterError, did_you_mean

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
    from snnkit.kernels.alif.op import alif, alif_backward
    from snnkit.kernels.cubalif.op import cubalif, cubalif_backward
    from snnkit.kernels.li.op import li, li_backward
    from snnkit.kernels.lif.op import lif, lif_backward
    from snnkit.kernels.linear_leak.op import linear_leak, linear_leak_backward

    x = torch.zeros(1, 1, dtype=dtype)
    one = torch.ones(1, dtype=dtype)
    firing = (one, 1, one, 1, True, True, 0, 0, 1.0, 1.0)
    leaking = (one, 1, one, 1, None, 1, False, True, True, 0, 1.0, 1.0)
    jobs: list[tuple[str, Callable[[], object]]] = [
        ("LIF forward", lambda: lif(x, None, None, *firing, False)),
        ("LIF backward", lambda: lif_backward(x, None, x, None, None, *firing, False, False, False)),
        ("LI forward", lambda: li(x, None, one, 1)),
        ("LI backward", lambda: li_backward(x, x, None, one, 1, False, False)),
        ("CubaLIF forward", lambda: cubalif(x, None, None, None, one, 1, *firing, False)),
        (
            "CubaLIF backward",
            lambda: cubalif_backward(x, None, None, x, None, None, None, one, 1, *firing, *[False] * 5),
        ),
        ("ALIF forward", lambda: alif(x, None, None, None, one, 1, one, 1, *firing, False)),
        (
            "ALIF backward",
            lambda: alif_backward(x, None, None, x, None, None, None, one, 1, one, 1, *firing, *[False] * 6),
        ),
        ("LinearLeakIF forward", lambda: linear_leak(x, None, *leaking, False)),
        ("LinearLeakIF backward", lambda: linear_leak_backward(x, None, x, None, *leaking, *[False] * 3)),
    ]
    known = list(dict.fromkeys(name.split()[0] for name, _ in jobs))
    for name in neurons:
        if name not in known:
            raise ParameterError(f"{name!r} has no kernel{did_you_mean(name, known)}", fix="use " + ", ".join(known))
    jobs = [job for job in jobs if job[0].split()[0] in neurons]
    start = time.perf_counter()
    for done, (name, job) in enumerate(jobs):
        if progress is not None:
            progress(name, done, len(jobs))
        job()
    if progress is not None:
        progress("kernels ready", len(jobs), len(jobs))
    return time.perf_counter() - start
