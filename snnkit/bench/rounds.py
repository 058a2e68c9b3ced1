"""Implementations of one work measured beside each other: interleaved rounds, memory, and the memory floor.

The floor is 20 bytes per float32 element (forward: read x, write s; backward: read x and the gradient, write the
gradient of x) at the stream bandwidth measured in the same rounds. Rounds are interleaved (A, B, C, A, B, C, …), so
that a busy machine hits all alike.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.bench.devices import available_memory, bandwidth, busy, wait
from snnkit.kernels import release_memory
from snnkit.kernels.layout import TRITON

FLOOR_BYTES = 20
WORK = "LIF forward + backward"
Layer = Callable[[Tensor], Tensor]


class Contender(NamedTuple):
    """One implementation."""

    name: str
    make: Callable[[str], Layer]
    """reset → the layer."""
    settings: str = ""
    resets: tuple[str, ...] = ("zero", "subtract")
    memory: float = 3.0
    """Peak extra memory in units of the input, a guess on the safe side."""
    package: str | None = None
    fused: bool = False
    """Ours, which on a GPU needs Triton."""


def _status(field: str) -> float:
    """A field of /proc/self/status in bytes; NaN where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024.0
    return float("nan")


def _reset_peak() -> bool:
    """Start a new peak of resident memory; False where the system has no such thing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _on(layer: Layer, device: torch.device) -> Layer:
    return layer.to(device) if isinstance(layer, torch.nn.Module) else layer


def once(layer: Layer, x: Tensor, gradient: Tensor) -> tuple[float, Tensor]:
    """Seconds of a forward and backward pass, and the spikes."""
    x.grad = None
    wait(x.device)
    start = time.perf_counter()
    out = layer(x)
    out.backward(gradient)
    wait(x.device)
    seconds = time.perf_counter() - start
    x.grad = None
    return seconds, out.detach()


def on_device(layer: Layer, x: Tensor, gradient: Tensor, wall: float) -> str:
    """What to add to the settings on a GPU: what such a pass takes there, the host being ahead."""
    if x.device.type != "cuda":
        return ""
    x.grad = None
    seconds = busy(lambda: layer(x).backward(gradient), x.device, wall)
    x.grad = None
    return f"; {seconds * 1e3:.3f} ms on the device"


def peak(layer: Layer, x: Tensor, gradient: Tensor) -> float:
    """Peak extra memory of a forward and backward pass in units of x."""
    gc.collect()
    return peak_memory(lambda: once(layer, x, gradient), x.device) / (x.numel() * x.element_size())


def peak_memory(run: Callable[[], object], device: str | torch.device = "cpu") -> float:
    """Peak extra bytes of the process while it runs, or of its tensors on a GPU; NaN where the system does not say."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        run()
        return float(torch.cuda.max_memory_allocated(device) - held)
    release_memory()  # what an earlier pass has left with us counts as extra, like any other allocation
    if not _reset_peak():
        return float("nan")
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@contextlib.contextmanager
def without_garbage() -> Iterator[None]:
    """What is alive now is not looked at where garbage is collected, which takes longer than what is measured."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def memory_settings(device: torch.device) -> str:
    """ ", huge pages" and ", short spinning" where torch was loaded with them, as the command line does."""
    if device.type != "cpu":
        return ""
    huge = ", huge pages" if os.environ.get("THP_MEM_ALLOC_ENABLE") == "1" else ""
    return huge + (", short spinning" if os.environ.get("GOMP_SPINCOUNT") == "10000" else "")


def _compete(
    contenders: Sequence[Contender],
    shape: Sequence[int],
    reset: str,
    rounds: int,
    device: torch.device,
    work: str = WORK,
) -> list[dict[str, Any]]:
    generator = torch.Generator(device).manual_seed(0)
    x = torch.randn(*shape, device=device, generator=generator).mul_(0.6).add_(0.1)
    gradient = torch.randn(*shape, device=device, generator=generator)
    x.requires_grad_()
    elements = x.numel()
    place = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    where = f"{list(shape)} float32, reset {reset}, {place}"
    where += memory_settings(device)
    layers = {c.name: _on(c.make(reset), device) for c in contenders}
    peaks, differing, first = {}, {}, {}
    reference: Tensor | None = None
    for name, layer in layers.items():  # also compiles and warms up
        first[name], spikes = once(layer, x, gradient)
        if reference is None:
            reference = spikes.bool()
            differing[name] = 0
        else:
            differing[name] = int((spikes.bool() != reference).sum())
        del spikes
        peaks[name] = peak(layer, x, gradient)
    del reference
    seconds: dict[str, list[float]] = {name: [] for name in layers}
    streams = []
    for _ in range(rounds):
        streams.append(bandwidth(min(elements, 50_000_000), device=device))
        for name, layer in layers.items():
            gc.collect()
            seconds[name].append(once(layer, x, gradient)[0])
    floor = FLOOR_BYTES * elements / max(streams)
    rows: list[dict[str, Any]] = [
        {
            "work": work,
            "impl": "memory floor",
            "settings": f"{where}; {FLOOR_BYTES} B/element at {max(streams) / 1e9:.1f} GB/s",
            "ms_min": round(floor * 1e3, 2),
            "ms_median": round(FLOOR_BYTES * elements / statistics.median(streams) * 1e3, 2),
            "floor_ratio": 1.0,
            "peak_ratio": None,
            "differing_spikes": None,
        }
    ]
    for contender in contenders:
        times = seconds[contender.name]
        extra = peaks[contender.name]
        settings = where + (f"; {contender.settings}" if contender.settings else "")
        if device.type == "cuda":
            settings += f"; first call {first[contender.name]:.2f} s"
            settings += on_device(layers[contender.name], x, gradient, statistics.median(times))
        rows.append(
            {
                "work": work,
                "impl": contender.name,
                "settings": settings,
                "ms_min": round(min(times) * 1e3, 2),
                "ms_median": round(statistics.median(times) * 1e3, 2),
                "floor_ratio": round(min(times) / floor, 2),
                "peak_ratio": None if extra != extra else round(extra, 2),
                "differing_spikes": differing[contender.name],
            }
        )
    return rows


def compete(
    contenders: Sequence[Contender],
    shape: tuple[int, ...],
    reset: str,
    rounds: int,
    where: torch.device,
    work: str = WORK,
) -> list[dict[str, Any]]:
    """The rows of one shape and reset: those contenders that are installed and have that reset."""
    contenders = [
        c
        for c in contenders
        if reset in c.resets and (c.package is None or importlib.util.find_spec(c.package) is not None)
    ]
    if where.type == "cuda" and not TRITON:
        contenders = [c for c in contenders if not c.fused]
    size = 4.0 * shape[0] * shape[1] * shape[2]
    free = available_memory(where) - 3 * size
    fits = [c for c in contenders if c.memory * size < free]
    rest = [c for c in contenders if c not in fits]
    with without_garbage():
        rows = _compete(fits, shape, reset, rounds, where, work) if fits else []
        if rest:
            smaller = (shape[0], max(1, shape[1] // 10), shape[2])
            rows += _compete([contenders[0], *rest], smaller, reset, rounds, where, work)
    return rows
