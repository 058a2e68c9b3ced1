"""Run as a program, it interprets the Triton kernels on CPU tensors and compares them with the reference.

`python -m kernels.interpreted` in the folder of the tests prints, as JSON, what went wrong in each case and how often
each kernel was launched. It is a process of its own, because Triton looks at TRITON_INTERPRET when a kernel is defined.
"""

from __future__ import annotations

import functools
import importlib
import inspect
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

import numba
import numpy as np
import torch
import triton.language as tl
from torch import Tensor
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpretedFunction, InterpreterBuilder, TensorHandle

from snnkit import nn as snn
from snnkit.errors import UsageError
from snnkit.kernels import layout
from snnkit.kernels.lanes import multiply_add

from . import around, channels
from .covering import pairwise
from .options import OPTIONS, ROOMS, assert_same, build, everything, input_for, name_of, random_state

SIZES = ((5, 3), (9, 3), (8, 4), (2, 1), (3, 2))
"""(T, B) in turn: within a chunk and over several, whole and not, with widths that are multiples of 4 and are not."""

launched: Counter[str] = Counter()

DIRECTLY = [False]
"""Whether operators are called past torch's dispatcher, where the way forward leaves something for the one back."""


def install() -> None:
    """Make the operators' CPU implementations those of the GPU, low precision included."""
    from snnkit.kernels import on_gpu, operator, recurrence, tiles
    from snnkit.kernels.norm_lif import channels_on_gpu
    from snnkit.kernels.recurrent import on_gpu as recurrent
    from snnkit.kernels.recurrent.layer import OPERATORS

    library = torch.library.Library("snnkit", "IMPL")
    recurrences = [importlib.import_module(f"snnkit.kernels.{name}.op").RECURRENCE for name in ROOMS.values()]
    replaced = [(r.name, r, on_gpu) for r in recurrences]
    replaced += [(f"recurrent_{o.recurrence.name}", o.recurrence, recurrent) for o in OPERATORS.values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # replacing an implementation is what this is about
        for name, recurrence_, module in replaced:
            library.impl(name, partial(module.forward, recurrence_), "CPU", allow_override=True)
            library.impl(f"{name}_backward", partial(module.backward, recurrence_), "CPU", allow_override=True)
    for recurrence_ in recurrences:
        recurrence_.forward._direct["cpu"] = partial(on_gpu.forward, recurrence_)
        recurrence_.forward._keeping["cpu"] = partial(on_gpu.forward_keeping, recurrence_)
        recurrence_.backward._direct["cpu"] = partial(on_gpu.backward, recurrence_)
    operator._place = lambda tensors: "cpu" if DIRECTLY[0] else ""  # else torch's dispatcher is asked
    recurrence.prepare = _prepare
    tiles.FEW = 100  # so that larger cases have programs of four warps, and fewer of them
    channels_on_gpu.PROGRAMS, channels_on_gpu.ROUNDS = 24, 1  # several programs of several tiles, and not thousands
    InterpretedFunction.run = _counting(InterpretedFunction.run)
    InterpreterBuilder.create_fma = _multiply_add
    interpreter._convert_float = _convert(interpreter._convert_float)
    interpreter._patch_builtin = _patch_builtin
    globals()["_library"] = library  # it takes its implementations with it


def _counting(run: Callable[..., None]) -> Callable[..., None]:
    def count(self: Any, *args: Any, **options: Any) -> None:
        folder = self.fn.__module__.split(".")[-2]
        launched[f"{folder}.{self.fn.__name__}"] += 1
        run(self, *args, **options)

    return count


@functools.cache
def _builtins(package: Any) -> list[str]:
    return [name for name, member in inspect.getmembers(package) if tl.core.is_builtin(member)]


def _patch_builtin(package: Any, *rest: Any) -> None:
    """As the interpreter's own, which lists all members of a package anew at each call: a third of its time."""
    for name in _builtins(package):
        member = getattr(package, name)
        if tl.core.is_builtin(member):
            interpreter._patch_attr(package, name, member, *rest)


def _multiply_add(self: Any, x: Any, y: Any, z: Any) -> TensorHandle:
    """x·y + z rounded once, as a GPU does it; Triton's own interpreter rounds twice."""
    return TensorHandle(_fma(x.data, y.data, z.data), z.dtype.scalar)


def _convert(convert: Callable[..., Any]) -> Callable[..., Any]:
    """float32 to bfloat16 goes to the nearest, ties to even, as on a GPU; Triton's own interpreter cuts off."""

    def converted(values: Any, source: Any, target: Any, rounding: Any) -> Any:
        if (source, target) == (tl.float32, tl.bfloat16):
            low = torch.from_numpy(np.ascontiguousarray(values)).bfloat16()
            return low.view(torch.int16).numpy().view(np.uint16)
        if (source, target) == (tl.bfloat16, tl.float32):
            low = torch.from_numpy(np.ascontiguousarray(values).view(np.int16))
            return low.view(torch.bfloat16).float().numpy()
        return convert(values, source, target, rounding)

    return converted


@numba.vectorize
def _fma(x: Any, y: Any, z: Any) -> Any:
    return multiply_add(x, y, z)


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
    """Spikes and states bit for bit, gradients to 1e-6 (1e-12 in float64); both with and without what is kept."""
    layer, x = build(neuron, case), input_for(case, *size)
    state = random_state(layer, x) if case["state"] == "given" else None
    for directly in (False, True) if neuron != "LI" and size[0] > 2 else (False,):
        DIRECTLY[0] = directly
        try:
            assert_same(layer, x, state, 1e-12 if x.dtype == torch.float64 else 1e-6)
        finally:
            DIRECTLY[0] = False


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


def check_kept() -> None:
    """Of what the way forward leaves: used more than once, for fewer gradients than it was left for, and not for a
    graph of the way back, which has no derivative."""
    layer = snn.LIF(learn_decay=True, learn_threshold=True, shape=(6,))
    x = torch.randn(9, 2, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    DIRECTLY[0] = True
    try:
        out = layer(x)
        (all_of_it, *_) = torch.autograd.grad(out.sum(), [x, *layer.parameters()], retain_graph=True)
        (alone,) = torch.autograd.grad(out.sum(), x, retain_graph=True)
        assert torch.equal(all_of_it, alone)
        (graphed,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        assert torch.equal(all_of_it, graphed)
        try:
            torch.autograd.grad(graphed.sum(), x)
        except UsageError:
            return
        raise AssertionError("a second derivative")
    finally:
        DIRECTLY[0] = False


def _as_on_gpu(job: Callable[..., None], *args: Any) -> None:
    with around.gpu_kernels():
        job(*args)


def main() -> None:
    """Every case and what it said, and how often each kernel was launched."""
    install()
    results = {}
    jobs: list[tuple[str, Callable[[], None]]] = [(name, partial(check, *rest)) for name, *rest in cases()]
    jobs += [(f"{neuron}-edges", partial(check_edges, neuron)) for neuron in ROOMS]
    jobs += [("LIF-kept", check_kept)]
    jobs += [(name, partial(job, *rest)) for name, job, rest in around.cases()]
    jobs += [(name, partial(_as_on_gpu, job, *rest)) for name, job, rest in channels.cases()]
    for name, job in jobs:
        try:
            job()
            results[name] = ""
        except Exception:
            results[name] = traceback.format_exc()
    print(json.dumps({"cases": results, "launched": launched}))


if __name__ == "__main__":
    main()
