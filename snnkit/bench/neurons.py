"""LIF forward + backward: ours, the eager loop and installed peers, beside the memory floor.

The floor is 20 bytes per float32 element (forward: read x, write s; backward: read x and the gradient, write the
gradient of x) at the stream bandwidth measured in the same rounds. Rounds are interleaved (A, B, C, A, B, C, …), so
that a busy machine hits all alike. Every contender computes the same: decay 0.9, threshold 1, arctan surrogate with
α = 2, detached reset, from rest; where a peer cannot, its settings say what differs. Peers run their own default back
end, and once more with all their own defaults (`snnkit.bench.defaults`), which make another neuron.

`THP_MEM_ALLOC_ENABLE=1` in the environment before torch loads gives transparent huge pages, 1.2 to 1.9 times faster for
tensors this large, for everybody; the rows say whether it was on.
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

from snnkit import nn as snn
from snnkit.errors import UsageError
from snnkit.kernels import reference_only, release_memory, warm_up
from snnkit.kernels.layout import TRITON
from snnkit.surrogate import Arctan

DECAY, THRESHOLD, ALPHA = 0.9, 1.0, 2.0
FLOOR_BYTES = 20
FULL_SHAPE = (16, 128, 100_000)
QUICK_SHAPE = (16, 32, 20_000)
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


def _ours(reset: str) -> Layer:
    return snn.LIF(decay=DECAY, threshold=THRESHOLD, reset=reset, surrogate=Arctan(ALPHA))


def _eager(reset: str) -> Layer:
    layer = _ours(reset)

    def run(x: Tensor) -> Tensor:
        with reference_only():
            return layer(x)

    return run


def _spikingjelly(reset: str) -> Layer:
    from spikingjelly.activation_based import neuron, surrogate

    layer = neuron.LIFNode(
        tau=1 / (1 - DECAY),
        decay_input=False,
        v_threshold=THRESHOLD,
        v_reset=0.0 if reset == "zero" else None,
        surrogate_function=surrogate.ATan(ALPHA),
        detach_reset=True,
        step_mode="m",
    )

    def run(x: Tensor) -> Tensor:
        layer.to(x.device).reset()
        return layer(x)

    return run


def _snntorch(reset: str) -> Layer:
    import snntorch
    from snntorch import surrogate

    layer = snntorch.Leaky(
        beta=DECAY,
        threshold=THRESHOLD,
        spike_grad=surrogate.atan(ALPHA),
        reset_mechanism=reset,
        reset_delay=False,
    )

    def run(x: Tensor) -> Tensor:
        v = layer.to(x.device).init_leaky()
        spikes = []
        for x_t in x.unbind(0):
            s, v = layer(x_t, v)
            spikes.append(s)
        return torch.stack(spikes)

    return run


def _norse(reset: str) -> Layer:
    from norse.torch import LIFBoxCell, LIFBoxParameters

    parameters = LIFBoxParameters(
        tau_mem_inv=torch.tensor((1 - DECAY) / 0.001),
        v_th=torch.tensor((1 - DECAY) * THRESHOLD),  # its input is multiplied by 1 − decay
        alpha=torch.tensor(100.0),
    )
    cell = LIFBoxCell(parameters, dt=0.001)

    def run(x: Tensor) -> Tensor:
        state, spikes = None, []
        for x_t in x.unbind(0):
            s, state = cell(x_t, state)
            spikes.append(s)
        return torch.stack(spikes)

    return run


CONTENDERS = (
    Contender("snnkit fused", _ours, fused=True),
    Contender("snnkit eager loop", _eager, memory=14.0),
    Contender("spikingjelly", _spikingjelly, memory=14.0, package="spikingjelly"),
    Contender("snntorch", _snntorch, "fires at v > threshold", memory=14.0, package="snntorch"),
    Contender("norse", _norse, "v > threshold, SuperSpike surrogate", ("zero",), memory=14.0, package="norse"),
)


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


def available_memory() -> float:
    """Bytes that can be had without swapping; infinite where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024.0
    return float("inf")


def _wait(device: torch.device) -> None:
    """Until the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bandwidth(elements: int, repeats: int = 2, device: str | torch.device = "cpu") -> float:
    """Bytes per second of a + b → c into memory that is already there (12 bytes per element)."""
    device = torch.device(device)
    a, b, c = (torch.ones(elements, device=device) for _ in range(3))
    best = float("inf")
    for _ in range(repeats):
        _wait(device)
        start = time.perf_counter()
        torch.add(a, b, out=c)
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 12 * elements / best


def _on(layer: Layer, device: torch.device) -> Layer:
    return layer.to(device) if isinstance(layer, torch.nn.Module) else layer


def _once(layer: Layer, x: Tensor, gradient: Tensor) -> tuple[float, Tensor]:
    """Seconds of a forward and backward pass, and the spikes."""
    x.grad = None
    _wait(x.device)
    start = time.perf_counter()
    out = layer(x)
    out.backward(gradient)
    _wait(x.device)
    seconds = time.perf_counter() - start
    x.grad = None
    return seconds, out.detach()


def _peak(layer: Layer, x: Tensor, gradient: Tensor) -> float:
    """Peak extra memory of a forward and backward pass in units of x."""
    gc.collect()
    if x.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(x.device)
        held = torch.cuda.memory_allocated(x.device)
        _once(layer, x, gradient)
        return (torch.cuda.max_memory_allocated(x.device) - held) / (x.numel() * x.element_size())
    release_memory()  # what an earlier pass has left with us counts as extra, like any other allocation
    if not _reset_peak():
        return float("nan")
    before = _status("VmRSS")
    _once(layer, x, gradient)
    return (_status("VmHWM") - before) / (x.numel() * x.element_size())


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _compete(
    contenders: Sequence[Contender],
    shape: Sequence[int],
    reset: str,
    rounds: int,
    device: torch.device,
    work: str = WORK,
) -> list[dict[str, Any]]:
    with _seeded():
        x = torch.randn(*shape).mul_(0.6).add_(0.1).to(device)
        gradient = torch.randn(*shape).to(device)
    x.requires_grad_()
    elements = x.numel()
    place = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    where = f"{list(shape)} float32, reset {reset}, {place}"
    if device.type == "cpu" and os.environ.get("THP_MEM_ALLOC_ENABLE") == "1":
        where += ", huge pages"
    layers = {c.name: _on(c.make(reset), device) for c in contenders}
    peaks, differing, first = {}, {}, {}
    reference: Tensor | None = None
    for name, layer in layers.items():  # also compiles and warms up
        first[name], spikes = _once(layer, x, gradient)
        if reference is None:
            reference = spikes.bool()
            differing[name] = 0
        else:
            differing[name] = int((spikes.bool() != reference).sum())
        del spikes
        peaks[name] = _peak(layer, x, gradient)
    del reference
    seconds: dict[str, list[float]] = {name: [] for name in layers}
    streams = []
    for _ in range(rounds):
        streams.append(bandwidth(min(elements, 50_000_000), device=device))
        for name, layer in layers.items():
            gc.collect()
            seconds[name].append(_once(layer, x, gradient)[0])
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
        peak = peaks[contender.name]
        settings = where + (f"; {contender.settings}" if contender.settings else "")
        if device.type == "cuda":
            settings += f"; first call {first[contender.name]:.2f} s"
        rows.append(
            {
                "work": work,
                "impl": contender.name,
                "settings": settings,
                "ms_min": round(min(times) * 1e3, 2),
                "ms_median": round(statistics.median(times) * 1e3, 2),
                "floor_ratio": round(min(times) / floor, 2),
                "peak_ratio": None if peak != peak else round(peak, 2),
                "differing_spikes": differing[contender.name],
            }
        )
    return rows


def run(
    quick: bool = False,
    shape: Sequence[int] | None = None,
    reset: str = "zero",
    rounds: int | None = None,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Measure LIF forward + backward.

    Args:
        quick: a smaller tensor and fewer rounds, under 50 s with compilation.
        shape: [T, B, N] instead of the usual one, (16, 128, 100000) or, quick, (16, 32, 20000).
        reset: `"zero"` or `"subtract"`.
        rounds: interleaved rounds; 5 where None.
        device: "cpu" or "cuda". A GPU without a shape gets the whole table of `snnkit.bench.gpu`.

    Returns:
        Rows with the keys work, impl, settings, ms_min, ms_median, floor_ratio (of the minimum), peak_ratio (peak
        extra memory in units of the input; None where the system does not tell), differing_spikes (against ours).
        Peers come twice, under our settings and under their defaults; on the CPU the last rows are those of a recurrent
        layer (`snnkit.bench.recurrent`) and of a first call, with an empty and with a filled kernel cache. Contenders
        that would not fit into memory run on a tenth of the batch, beside ours on the same.
    """
    from snnkit.bench import first_call, recurrent
    from snnkit.bench.defaults import DEFAULTS

    where = torch.device(device)
    rounds = rounds or (4 if quick else 5)
    if where.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("there is no CUDA device to measure on", fix="leave --device out, or see snnkit doctor")
        if shape is None:
            from snnkit.bench import gpu

            return gpu.table(where, quick, rounds)
    else:
        warm_up(neurons=("LIF",))
    shape = tuple(shape or (QUICK_SHAPE if quick else FULL_SHAPE))
    rows = compete((*CONTENDERS, *DEFAULTS), shape, reset, rounds, where)
    if where.type == "cuda":
        return rows
    return rows + recurrent.run(quick) + first_call.measure(1 if quick else 3)


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
    free = (available_memory() if where.type == "cpu" else torch.cuda.mem_get_info(where)[0]) - 3 * size
    fits = [c for c in contenders if c.memory * size < free]
    rows = _compete(fits, shape, reset, rounds, where, work) if fits else []
    rest = [c for c in contenders if c not in fits]
    if rest:
        smaller = (shape[0], max(1, shape[1] // 10), shape[2])
        rows += _compete([contenders[0], *rest], smaller, reset, rounds, where, work)
    return rows
