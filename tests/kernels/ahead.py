"""Compiling kernels ahead of time, without a GPU: exactly what `tiles.launch` would launch, for a chosen GPU."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
NAMES = {torch.float32: "fp32", torch.float64: "fp64", torch.bfloat16: "bf16", torch.int32: "i32"}


class Launch(NamedTuple):
    """One launch as the host code asked for it."""

    kernel: Any
    grid: tuple[int, ...]
    args: tuple[Any, ...]
    options: dict[str, Any]


class Machine(NamedTuple):
    """What a kernel compiles to."""

    ptx: str
    sass: str
    registers: int
    stack: int
    local: int
    shared: int


def launches(function: Callable[..., Any], *args: Any) -> list[Launch]:
    """What `function(*args)` of a `gpu.py` launches, nothing being run."""
    seen: list[Launch] = []

    def instead(kernel: Any, grid: tuple[int, ...]) -> Callable[..., None]:
        return lambda *given, **options: seen.append(Launch(kernel, grid, given, options))

    with mock.patch.object(triton.runtime.jit.JITFunction, "__getitem__", instead):
        function(*args)
    return seen


def compile_for(launch: Launch, capability: int) -> Machine:
    """The launch compiled for a GPU of that compute capability (80, 90), specialised as Triton's launcher would."""
    options = dict(launch.options)
    given = dict(zip((p.name for p in launch.kernel.params), launch.args))
    signature: dict[str, str] = {}
    constants: dict[str, Any] = {}
    attributes: dict[tuple[int, ...], list[list[Any]]] = {}
    for index, param in enumerate(launch.kernel.params):
        value = options.pop(param.name) if param.name in options else given[param.name]
        if param.is_constexpr or value is None:
            signature[param.name], constants[param.name] = "constexpr", value
        elif isinstance(value, Tensor):
            signature[param.name] = "*" + NAMES[value.dtype]
            if value.data_ptr() % 16 == 0:
                attributes[(index,)] = [["tt.divisibility", 16]]
        else:  # every number has its type written down, and none is specialised on its value
            assert param.annotation_type, param.name
            assert param.do_not_specialize or param.annotation_type.startswith("fp"), param.name
            signature[param.name] = param.annotation_type
    source = ASTSource(fn=launch.kernel, signature=signature, constexprs=constants, attrs=attributes)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        use = _tool("cuobjdump", "-res-usage", file.name)
        sass = _tool("nvdisasm", "-c", file.name)
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", use)
    assert found, use
    registers, stack, shared, local = map(int, found.groups())
    return Machine(compiled.asm["ptx"], sass, registers, stack, local, shared)


def _tool(name: str, *args: str) -> str:
    return subprocess.run([str(TOOLS / name), *args], capture_output=True, text=True, check=True).stdout
