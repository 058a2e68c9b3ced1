"""What a recurrence declares is what its kernels take: names and order of the arguments, on the CPU and on a GPU."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
import torch

from snnkit.kernels import layout
from snnkit.kernels.compiled import FOLDERS
from snnkit.kernels.recurrence import Recurrence

from .options import ROOMS

RECURRENCES: dict[str, Recurrence[Any, Any]] = {
    name: importlib.import_module(f"snnkit.kernels.{name}.op").RECURRENCE for name in ROOMS.values()
}


def test_every_neuron_can_be_warmed_up() -> None:
    assert FOLDERS == ROOMS


@pytest.mark.parametrize("name", list(RECURRENCES))
def test_arguments_on_the_cpu(name: str) -> None:
    r = RECURRENCES[name]
    kernels = r.kernels("cpu")
    x, out = ("out", "out") if r.from_output else ("x", "s")
    common = [f"{field}0" for field in r.fields]
    common += [part for p in r.parameters + r.fixed for part in (p, f"{p}_repeat")]
    early = [option.name for option in r.options if not option.backward_only]
    ends = [] if r.from_output else [f"{field}_end" for field in r.fields]
    blocks = ["first", "last", "block"]
    assert names(kernels.forward.py_func) == [*blocks, "x", *common, *early, out, *ends]
    grads = [f"grad_{out}", *(f"grad_{s}_end" for s in r.states[: r.ends])]
    found = ["grad_x", *(f"grad_{s}0" for s in r.states), *(f"grad_{p}" for p in r.parameters)]
    assert names(kernels.backward.py_func) == [*blocks, x, *common, *(o.name for o in r.options), *grads, *found]


@pytest.mark.parametrize("name", list(RECURRENCES))
def test_arguments_on_a_gpu(name: str) -> None:
    pytest.importorskip("triton", reason="needs triton, which CUDA builds of torch and the extra [test] bring")
    if not layout.TRITON:
        pytest.skip("needs a newer triton: 3.4")
    r = RECURRENCES[name]
    kernels = r.kernels("gpu")
    x, out = ("out", "out") if r.from_output else ("x", "s")
    common = [f"{field}0_ptr" for field in r.fields]
    common += [part for p in r.parameters + r.fixed for part in (f"{p}_ptr", f"{p}_count", f"{p}_repeat")]
    ends = [] if r.from_output else [f"{field}_ptr" for field in r.fields]
    size = ["groups", "steps"]
    early = [option.name for option in r.options if not option.backward_only and not option.constant]
    rooms = [] if r.from_output else [f"kept_{field}_ptr" for field in r.fields]
    expected = ["x_ptr", *common, f"{out}_ptr", *ends, *rooms, *early, *size]
    assert tensors(kernels.forward) == expected
    grads = [f"grad_{out}_ptr", *(f"grad_{s}_ptr" for s in r.states[: r.ends])]
    found = ["grad_x_ptr", *(f"grad_{s}0_ptr" for s in r.states), *(f"grad_{p}_ptr" for p in r.parameters)]
    numbers = [option.name for option in r.options if not option.constant]
    assert tensors(kernels.backward) == [f"{x}_ptr", *common, *rooms, *grads, *found, *numbers, *size]


@pytest.mark.parametrize("name", list(RECURRENCES))
def test_the_smallest_arguments_fit(name: str) -> None:
    """Those that warming up compiles with; shapes without values are those of what the operators return."""
    r = RECURRENCES[name]
    fakes = r._shapes, r._gradient_shapes
    for operator, fake, args in zip((r.forward, r.backward), fakes, r.smallest(torch.float32)):
        real, expected = operator(*args), fake(*args)
        real, expected = ((t,) if isinstance(t, torch.Tensor) else t for t in (real, expected))
        assert [(t.shape, t.dtype) for t in real] == [(t.shape, t.dtype) for t in expected]


def names(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def tensors(kernel: Any) -> list[str]:
    """Names of a Triton kernel's arguments that are no constants."""
    return [name for name in kernel.arg_names if not name.isupper()]
