"""`trainer.precision: auto` and `model.memory_format: auto`: what a probe finds fastest for this network here.

bfloat16 and channels-last convolutions are much faster on some processors and slower on others, and so for networks. A
few steps of the network itself, on random frames of the data's shape, are timed once; the choice is printed, and kept
in `run.json` and, for the next run of the same network on this machine, in the cache folder, so that equal runs train
alike. A resumed run takes what its `run.json` says. Validation, evaluation, export and every published accuracy are
float32 with channels first in any case.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import itertools
import json
import platform
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit import __version__, _io, _numba
from snnkit.data.batch import Input

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
MemoryFormat = Literal["channels_first", "channels_last"]

GAIN = {"bf16-mixed": 1.15, "channels_last": 1.05}
"""How many times faster each has to be: less is within what a busy machine makes of equal times."""

ROUNDS = 4
SECONDS = 8.0
"""The probe stops after so many rounds, or after the round in which it has taken so long."""

SAMPLES = {"cpu": 16, "cuda": 256}
"""Of a batch at most."""


class Choice(NamedTuple):
    """What a run trains with."""

    precision: Precision
    memory_format: MemoryFormat
    why: str
    """In words, with the times; empty where nothing was chosen."""


def choose(
    precision: str,
    memory_format: str,
    device: str,
    net: torch.nn.Module,
    shapes: Sequence[Sequence[int]],
    steps: int,
    batch: int,
    processes: int = 1,
    fixed: str = "",
) -> Choice:
    """The settings themselves, or where they are "auto" the fastest ones for this network.

    Args:
        precision, memory_format: as in `TrainerSettings` and `SpikingClassifier`.
        device: "cpu" or "cuda".
        net: the network; it is copied, and random numbers are left as they are. Where its copy cannot make a step,
            the choice is float32, channels first.
        shapes: of one step of each input. steps, batch: T and B.
        processes: that train together. They have to agree, so that several take no times: channels first, and float32
            on CPUs.
        fixed: why "auto" is float32, channels first, whatever is faster; empty where it is not.

    A GPU's precision is bfloat16 where it computes in that; only the format is timed there.
    """
    given = (precision, memory_format)
    if "auto" not in given:
        return Choice(*given, "")  # type: ignore[arg-type]
    plain = ("32-true" if precision == "auto" else precision, "channels_first" if given[1] == "auto" else given[1])
    if fixed:
        return Choice(*plain, fixed)  # type: ignore[arg-type]
    precisions, known = (("32-true", "bf16-mixed") if precision == "auto" else (precision,)), ""
    if device == "cuda" and precision == "auto":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
        plain = ("bf16-mixed" if has else "32-true", plain[1])
        precisions, known = plain[:1], "the GPU computes in bfloat16" if has else "the GPU has no bfloat16"
    if processes > 1:
        return Choice(*plain, known or "several processes train")  # type: ignore[arg-type]
    formats = ("channels_first", "channels_last") if memory_format == "auto" else (memory_format,)
    if memory_format == "auto" and not _has_formats(net):
        formats = ("channels_first",)
    options = list(itertools.product(precisions, formats))
    if len(options) == 1:
        return Choice(*options[0], known or "no layer has two formats")  # type: ignore[arg-type]
    samples = min(batch, SAMPLES[device])
    try:
        times = dict(zip(options, _kept(options, net, shapes, steps, samples, device)))
    except Exception as error:  # whatever a network of the user's does; where it cannot train, training says so
        lines = str(error).strip().splitlines() or [""]
        return Choice(*plain, f"no time was taken, {type(error).__name__}: {lines[0]}")  # type: ignore[arg-type]
    told = ", ".join(f"{seconds * 1e3:.1f} ms with {name} {form}" for (name, form), seconds in times.items())
    why = f"a training step of {samples} samples takes {told}"
    return Choice(*_fastest(times), f"{known}; {why}" if known else why)  # type: ignore[arg-type]


def tell(choice: Choice) -> None:
    """Print what was chosen, and why."""
    if choice.why:
        print(f"precision auto: {choice.precision}, {choice.memory_format} ({choice.why})", file=sys.stderr)


def in_format(x: Input, memory_format: str) -> Input:
    """Frames [T, B, C, H, W] with their channels last in memory where that is wanted; anything else as it is.

    The convolutions pass the order on from layer to layer.
    """
    if memory_format != "channels_last":
        return x
    if isinstance(x, tuple):
        return tuple(_channels_last(each) for each in x)
    return _channels_last(x)


def _channels_last(x: Tensor) -> Tensor:
    if x.dim() != 5:
        return x
    return x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2])


def _has_formats(net: torch.nn.Module) -> bool:
    return any(isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)) for m in net.modules())


def _fastest(times: dict[tuple[str, str], float]) -> tuple[str, str]:
    """The fastest options, where each is faster than the plain one by its gain."""
    best: dict[str, tuple[str, str]] = {}
    for option, seconds in times.items():  # channels first comes first
        name, form = option
        old = best.get(name)
        if old is None or times[old] > GAIN.get(form, 1.0) * seconds:
            best[name] = option
    single, low = best.get("32-true"), best.get("bf16-mixed")
    if single is not None and low is not None:
        return low if times[single] > GAIN["bf16-mixed"] * times[low] else single
    return next(iter(best.values()))


def folder() -> Path:
    """Where the times of earlier probes are kept."""
    return _numba.base_folder() / "probes"


def _kept(
    options: list[tuple[str, str]],
    net: torch.nn.Module,
    shapes: Sequence[Sequence[int]],
    steps: int,
    batch: int,
    device: str,
) -> list[float]:
    """Seconds of a step by each option, as measured now, or for the same network here before."""
    asked = [options, str(net), [list(shape) for shape in shapes], steps, batch]
    here = [__version__, torch.__version__, torch.get_num_threads(), _processor()]
    if device == "cuda":
        here.append(torch.cuda.get_device_name())
    key = hashlib.sha256(json.dumps([asked, here]).encode()).hexdigest()[:24]
    file = folder() / f"{key}.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if len(found) == len(options) and all(isinstance(v, float) and v > 0 for v in found):
            return list(found)
    except (OSError, ValueError, TypeError):
        pass
    times = measure(options, net, shapes, steps, batch, device)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _io.write_json(file, times)
    except OSError:
        pass  # a cache that cannot be written costs the next run a probe
    return times


@functools.cache
def _processor() -> str:
    """The processor's model, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))


def measure(
    options: Sequence[tuple[str, str]],
    net: torch.nn.Module,
    shapes: Sequence[Sequence[int]],
    steps: int,
    batch: int,
    device: str = "cpu",
) -> list[float]:
    """Seconds of a training step of a copy of the network, by each option (precision, memory format)."""
    best = [float("inf")] * len(options)
    with _own_random_numbers(device), torch.enable_grad(), torch.inference_mode(False):
        torch.manual_seed(0)
        net = copy.deepcopy(net).train().to(device)
        x = tuple((torch.rand(steps, batch, *shape) < 0.1).float().to(device) for shape in shapes)
        begin = time.perf_counter()
        for k in range(ROUNDS + 1):
            for n, (precision, form) in enumerate(options):
                inputs = in_format(x, form)
                _wait(device)
                start = time.perf_counter()
                _step(net, inputs, precision, device)
                _wait(device)
                if k:  # the first one compiles
                    best[n] = min(best[n], time.perf_counter() - start)
            if k == 0:
                begin = time.perf_counter()
            elif time.perf_counter() - begin > SECONDS:
                break
    return best


@contextlib.contextmanager
def _own_random_numbers(device: str) -> Iterator[None]:
    """Whatever draws random numbers within it, those behind it are as without."""
    python, old = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[] if device == "cpu" else [torch.cuda.current_device()]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(old)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _step(net: torch.nn.Module, x: Any, precision: str, device: str) -> None:
    low = torch.float16 if precision == "16-mixed" else torch.bfloat16
    with torch.autocast(device, low, enabled=precision != "32-true"):
        out: Any = net(*x)
    if out.requires_grad:  # not where all layers are frozen
        out.float().square().mean().backward()
    net.zero_grad(set_to_none=True)
