"""Compiling kernels ahead of time, without a GPU: exactly what `tiles.launch` would launch, for a chosen GPU."""

from __future__ import annotations

import importlib
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from .options import ROOMS

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
NAMES = {
    torch.float32: "fp32", torch.float64: "fp64", torch.bfloat16: "bf16", torch.float16: "fp16", torch.int32: "i32",
    torch.int8: "i8", torch.bool: "i1",
}  # fmt: skip


class Launch(NamedTuple):
    """One launch as the host code asked for it."""

    kernel: Any
    grid: tuple[int, ...]
    args: tuple[Any, ...]
    options: dict[str, Any]


class Machine(NamedTuple):
    """What a kernel compiles to."""

    ir: str
    """Triton's own intermediate form, in which offsets and types are still to be seen."""
    ptx: str
    sass: str
    registers: int
    stack: int
    local: int
    shared: int


def hosts(neuron: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What runs a neuron's kernels on a GPU: forward, backward."""
    from snnkit.kernels import on_gpu

    recurrence = importlib.import_module(f"snnkit.kernels.{ROOMS[neuron]}.op").RECURRENCE
    return partial(on_gpu.forward, recurrence), partial(on_gpu.backward, recurrence)


def keeping(neuron: str, **options: Any) -> tuple[Launch, Launch]:
    """The launches forward and backward where the first leaves something for the second; options as `arguments`."""
    from snnkit.kernels import on_gpu

    recurrence = importlib.import_module(f"snnkit.kernels.{ROOMS[neuron]}.op").RECURRENCE
    there, back = arguments(neuron, **options)
    needs = [bool(options.get(("state", "learn")[k > len(recurrence.fields)])) for k in range(len(there))]
    (forward,), (_, kept) = _watch(partial(on_gpu.forward_keeping, recurrence), (needs, *there))
    return forward, launches(partial(on_gpu.backward, recurrence, kept=kept), *back)


def _watch(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[list[Launch], Any]:
    seen: list[Launch] = []

    def instead(kernel: Any, grid: tuple[int, ...]) -> Callable[..., None]:
        return lambda *given, **options: seen.append(Launch(kernel, grid, given, options))

    with mock.patch.object(triton.runtime.jit.JITFunction, "__getitem__", instead):
        return seen, function(*args)


def launches(function: Callable[..., Any], *args: Any) -> Launch:
    """What a host's `function(*args)` launches, nothing being run."""
    (launch,), _ = _watch(function, args)
    return launch


def every_launch(function: Callable[..., Any], *args: Any) -> dict[str, Launch]:
    """The last launch of each kernel that a host's `function(*args)` launches, by the kernel's name."""
    return {launch.kernel.fn.__name__: launch for launch in _watch(function, args)[0]}


def results(function: Callable[..., Any], *args: Any) -> Any:
    """What a host's `function(*args)` returns, nothing being run."""
    return _watch(function, args)[1]


def arguments(
    neuron: str,
    steps: int = 100,
    width: int = 1 << 20,
    dtype: torch.dtype = torch.float32,
    per: int = 1,
    to_zero: bool = True,
    detach: bool = True,
    refractory: int = 0,
    kind: int = 0,
    state: bool = False,
    learn: bool = False,
) -> tuple[list[Any], list[Any]]:
    """Arguments of a neuron's `hosts`, forward and backward, without memory: x [T, M] on torch's meta device.

    per: values of a parameter; state: initial states are given and final ones wanted; learn: so are all gradients.
    """
    x = torch.empty(steps, width, dtype=dtype, device="meta")
    low = torch.float64 if dtype == torch.float64 else torch.float32
    rows, parameters = {"LIF": (1, 2), "CubaLIF": (2, 3), "ALIF": (2, 4), "LinearLeakIF": (1, 2), "LI": (1, 1)}[neuron]
    row = torch.empty(width, dtype=low, device="meta") if state else None
    values = [part for _ in range(parameters) for part in (torch.empty(per, dtype=low, device="meta"), 1)]
    wants = [*[state] * rows, *[learn] * parameters]
    if neuron == "LI":
        return [x, row, *values], [x.to(low), x.to(low), row, *values, *wants]
    if neuron == "LinearLeakIF":
        options = [*values[:2], True, to_zero, detach, kind, 1.0, 1.0]  # a floor, like the others
        return [x, row, *values, *options, state], [x, row, x, row, *values, *options, *wants]
    wait = torch.empty(width, dtype=torch.int32, device="meta") if state and refractory else None
    starts, options = [*[row] * rows, wait], [to_zero, detach, refractory, kind, 1.0, 1.0]
    return [x, *starts, *values, *options, state], [x, *[row] * rows, x, *starts, *values, *options, *wants]


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
        else:  # no number is specialised on its value
            assert param.do_not_specialize or param.annotation_type.startswith("fp"), param.name
            signature[param.name] = param.annotation_type or ("i32" if -(2**31) <= value < 2**31 else "i64")
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
    return Machine(compiled.asm["ttir"], compiled.asm["ptx"], sass, registers, stack, local, shared)


def _tool(name: str, *args: str) -> str:
    return subprocess.run([str(TOOLS / name), *args], capture_output=True, text=True, check=True).stdout


def accesses(machine: Machine) -> Counter[str]:
    """Loads and stores of the machine code by width in bits, such as "LDG.128"; those of spilled registers too."""
    found = re.findall(r"\b(LDG|STG|LDL|STL|LDS|STS)((?:\.\w+)*)", machine.sass)
    widths = (next((w for w in rest.split(".") if w in ("64", "128")), "32") for _, rest in found)
    return Counter(f"{name}.{width}" for (name, _), width in zip(found, widths))


def assert_sound(machine: Machine, fused: int = 0) -> None:
    """Nothing spilled, 64-bit offsets, no contraction: what holds for every kernel. `fused`: the multiply-adds that it
    asks for itself."""
    assert (machine.stack, machine.local) == (0, 0)
    assert not any(name.startswith(("LDL", "STL")) for name in accesses(machine))
    pointers = re.findall(r"tt\.addptr [^:]*: tensor<[^,]*>, tensor<\w+x(\w+)>", machine.ir)
    assert pointers
    assert set(pointers) == {"i64"}
    assert len(re.findall(r"\bfma\.", machine.ptx)) == fused
    assert len(re.findall(r"\b[FDH]FMA", machine.sass.replace("HFMA2.MMA", ""))) == fused  # that one moves constants
