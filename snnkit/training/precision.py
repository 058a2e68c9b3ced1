"""`trainer.precision: auto`: bfloat16 where a probe finds it faster on this machine.

The choice is made once for a run, printed, and kept in `run.json`; a resumed run takes the one kept there. Validation,
evaluation, export and every published accuracy are float32 in any case.
"""

from __future__ import annotations

import functools
import sys
import time
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from snnkit import nn as snn

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

GAIN = 1.15
"""How many times faster bfloat16 has to be: less is within what a busy machine makes of equal times."""

ROUNDS = 5


class Choice(NamedTuple):
    """What a run trains with."""

    precision: Precision
    why: str
    """In words, with the times; empty where nothing was chosen."""


def choose(precision: str, device: str, processes: int = 1) -> Choice:
    """The precision itself, or for "auto" the faster one.

    Args:
        precision: as `TrainerSettings.precision`.
        device: "cpu" or "cuda".
        processes: that train together. They have to agree, so that on CPUs several stay with float32.
    """
    if precision != "auto":
        return Choice(precision, "")  # type: ignore[arg-type]
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Choice("bf16-mixed", "the GPU computes in bfloat16")
        return Choice("32-true", "the GPU has no bfloat16")
    if processes > 1:
        return Choice("32-true", "several processes on CPUs")
    single, low = _probe()
    times = f"a training step of a small network takes {single * 1e3:.1f} ms in float32, {low * 1e3:.1f} in bfloat16"
    return Choice("bf16-mixed" if single > GAIN * low else "32-true", times)


def tell(choice: Choice) -> None:
    """Print what was chosen, and why."""
    if choice.why:
        print(f"precision auto: {choice.precision} ({choice.why})", file=sys.stderr)


@functools.cache
def _probe() -> tuple[float, float]:
    """Seconds of a training step of a small convolutional network on the CPU, in float32 and under bfloat16."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.inference_mode(False):
        torch.manual_seed(0)
        layers: list[torch.nn.Module] = []
        for channels in (2, 32):
            layers += [snn.Conv2d(channels, 32, 3, padding=1, bias=False), snn.BatchNorm(32), snn.LIF()]
            layers += [snn.AvgPool2d(2)]
        model = snn.Sequential(*layers)
        x = (torch.rand(8, 4, 2, 32, 32) < 0.1).float()
        best = [float("inf"), float("inf")]
        for k in range(ROUNDS + 1):
            for low in (False, True):
                start = time.perf_counter()
                _step(model, x, low)
                if k:  # the first one compiles
                    best[low] = min(best[low], time.perf_counter() - start)
    return best[0], best[1]


def _step(model: torch.nn.Module, x: Tensor, low: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        out: Any = model(x)
    out.float().square().mean().backward()
    model.zero_grad(set_to_none=True)
