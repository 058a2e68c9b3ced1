"""Run as a program, it interprets the Triton kernels on CPU tensors and compares them with the reference.

`python -m kernels.interpreted` in the folder of the tests prints, as JSON, what went wrong in each case and how often
each kernel was launched. It is a process of its own, because Triton looks at TRITON_INTERPRET when a kernel is defined.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.kernels import layout

from .covering import pairwise
from .options import OPTIONS, ROOMS, assert_same, build, everything, input_for, name_of, random_state

SIZES = ((5, 3), (9, 3), (8, 4), (2, 1), (3, 2))
"""(T, B) in turn: within a chunk and over several, whole and not, with widths that are multiples of 4 and are not."""

launched: Counter[str] = Counter()


def install() -> None:
    """Make the operators' CPU implementations those of the GPU, low precision included."""
    from snnkit.kernels import on_gpu, recurrence

    library = torch.library.Library("snnkit", "IMPL")
    for name in ROOMS.values():
        op = importlib.import_module(f"snnkit.kernels.{name}.op")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # replacing an implementation is what this is about
            library.impl(name, partial(on_gpu.forward, op.RECURRENCE), "CPU", allow_override=True)
            library.impl(f"{name}_backward", partial(on_gpu.backward, op.RECURRENCE), "CPU", allow_override=True)
    recurrence.prepare = _prepare
    on_gpu.launch = _counting(on_gpu.launch)
    globals()["_library"] = library  # it takes its implementations with it


def _counting(launch: Callable[..., None]) -> Callable[..., None]:
    def count(kernel: Any, *args: Any, **constants: Any) -> None:
        folder = kernel.fn.__module__.split(".")[-2]
        launched[f"{folder}.{kernel.fn.__name__}"] += 1
        launch(kernel, *args, **constants)

    return count


def _prepare(x: Tensor, low: bool) -> tuple[Tensor, Any]:
    flat, order = layout.prepare(x, low)
    return flat.to(x.dtype).contiguous(), order


def cases() -> Iterator[tuple[str, str, dict[str, Any], tuple[int, int]]]:
    """(name, neuron, options, sizes): every pair of options of every neuron."""
    for neuron, options in OPTIONS.items():
        for k, case in enumerate(pairwise(options)):
            size = SIZES[k % len(SIZES)]
            yield f"{neuron}-{name_of(case)}-{size[0]}x{size[1]}", neuron, case, size


def check(neuron: str, case: dict[str, Any], size: tuple[int, int]) -> None:
    """Spikes and states bit for bit, gradients to 1e-6 (1e-12 in float64)."""
    layer, x = build(neuron, case), input_for(case, *size)
    state = random_state(layer, x) if case["state"] == "given" else None
    assert_same(layer, x, state, 1e-12 if x.dtype == torch.float64 else 1e-6)


def check_edges(neuron: str) -> None:
    """At the threshold, just below it, subnormal, huge, infinite and not a number: as the reference, gradients too."""
    below = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()
    values = [1.0, below, 1e-42, -1e-42, 3e38, math.inf, -math.inf, math.nan, -0.0, 0.5]
    x = torch.tensor(values).repeat(5, 1, 1)
    for reset in ("zero", "subtract") if neuron != "LI" else ("",):
        options: dict[str, Any] = {} if neuron == "LI" else {"reset": reset, "learn_threshold": True, "shape": (10,)}
        layer = getattr(snn, neuron)(**options)
        with layout.reference_only():
            expected, gradients = everything(layer, x, None)
        found, found_gradients = everything(layer, x, None)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        for a, b in zip(found_gradients, gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6, equal_nan=True)


def main() -> None:
    """Every case and what it said, and how often each kernel was launched."""
    install()
    results = {}
    jobs: list[tuple[str, Callable[[], None]]] = [(name, partial(check, *rest)) for name, *rest in cases()]
    jobs += [(f"{neuron}-edges", partial(check_edges, neuron)) for neuron in ROOMS]
    for name, job in jobs:
        try:
            job()
            results[name] = ""
        except Exception:
            results[name] = traceback.format_exc()
    print(json.dumps({"cases": results, "launched": launched}))


if __name__ == "__main__":
    main()
