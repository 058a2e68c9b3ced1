"""What a benchmark asks of the device it runs on: memory that is free, the copy rate, times with and without the host.

On a GPU a call of a layer returns before its kernels have run. The time that one waits for holds both, what the host
takes to ask for them and the kernels; that of the device alone (`busy`) shows what is left where the host is ahead.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import torch

COPIED = 50_000_000
"""Elements of the copy on a GPU: more than its cache holds."""

CYCLES = 4e9
"""Of a GPU's clock in a second, and more: so long it is kept busy while the host asks for what is measured."""


def available_memory(device: str | torch.device = "cpu") -> float:
    """Bytes that can be had there, on the CPU without swapping; infinite where the system does not say."""
    if torch.device(device).type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024.0
    return float("inf")


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bandwidth(elements: int, repeats: int = 2, device: str | torch.device = "cpu") -> float:
    """Bytes per second of a + b → c into memory that is already there (12 bytes per element), on a GPU of `COPIED`."""
    device = torch.device(device)
    elements = elements if device.type == "cpu" else COPIED
    a, b, c = (torch.ones(elements, device=device) for _ in range(3))
    best = float("inf")
    for _ in range(repeats):
        wait(device)
        start = time.perf_counter()
        torch.add(a, b, out=c)
        wait(device)
        best = min(best, time.perf_counter() - start)
        if device.type == "cuda":
            best = min(best, busy(lambda: torch.add(a, b, out=c), device, best))
    return 12 * elements / best


def busy(run: Callable[[], object], device: torch.device, wall: float) -> float:
    """Seconds that a GPU takes for what `run` asks of it, the host being ahead. It must not wait for the device.

    A GPU's queue is full after about a thousand launches: of more, as of long loops, the host's share is in it.

    Args:
        run: asks for the work.
        device: the GPU.
        wall: seconds that it takes with the host.
    """
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    with torch.cuda.device(device):
        wait(device)
        torch.cuda._sleep(int(2 * wall * CYCLES))
        start.record()
        run()
        end.record()
        wait(device)
    return start.elapsed_time(end) / 1e3
