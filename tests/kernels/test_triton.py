"""The Triton kernels without a GPU: interpreted, they equal the reference; compiled ahead, they are lean."""

from __future__ import annotations

import importlib
import itertools
import re
from functools import partial
from typing import Any

import pytest
import torch

triton = pytest.importorskip("triton", reason="needs triton, which CUDA builds of torch and the extra [test] bring")

from snnkit.kernels import layout  # noqa: E402

from .ahead import (  # noqa: E402
    Machine,
    accesses,
    arguments,
    assert_sound,
    compile_for,
    hosts,
    keeping,
    launches,
    results,
)  # fmt: skip
from .options import ROOMS  # noqa: E402

if not layout.TRITON:
    pytest.skip("needs a newer triton: 3.4", allow_module_level=True)

NEURONS = tuple(ROOMS)
PARAMETERS = {"LIF": 2, "CubaLIF": 3, "ALIF": 4, "LinearLeakIF": 3, "LI": 1}
STATES = {"LIF": 1, "CubaLIF": 2, "ALIF": 2, "LinearLeakIF": 1, "LI": 0}
"""Floating-point states that a backward kernel keeps at the start of each chunk."""

PINNED = "3.7.1"
"""The Triton that torch 2.13 requires. Its registers for the usual case (sm_90, float32): forward, backward."""
REGISTERS = {"LIF": (30, 55), "CubaLIF": (31, 56), "ALIF": (32, 69), "LinearLeakIF": (31, 72), "LI": (25, 32)}


pytestmark = pytest.mark.usefixtures("triton_cache")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("neuron", NEURONS)
def test_interpreted_equal_the_reference(neuron: str, interpreted: dict[str, Any]) -> None:
    """Every pair of option values: spikes and states bit for bit, gradients to 1e-6 (1e-12 in float64)."""
    results = {name: said for name, said in interpreted["cases"].items() if name.startswith(f"{neuron}-")}
    assert results
    assert {name: said for name, said in results.items() if said} == {}
    for direction in ("forward", "backward"):
        assert interpreted["launched"][f"{ROOMS[neuron]}.{direction}"] >= len(results)


def compiled(neuron: str, direction: str, capability: int = 90, **options: Any) -> Machine:
    which = ("forward", "backward").index(direction)
    return compile_for(launches(hosts(neuron)[which], *arguments(neuron, **options)[which]), capability)


def chunk_counts(neuron: str, each: int) -> dict[str, int]:
    """128-bit accesses of a backward kernel, one per operand and step: x walking down, x and grad walking up."""
    kept = STATES[neuron]
    return {"LDG.128": 3 * each + kept, "STG.128": each + 2 * kept, "LDG.32": PARAMETERS[neuron]}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("neuron", NEURONS)
def test_the_usual_kernels(neuron: str) -> None:
    """sm_90, float32: a load of 128 bits and a store per operand, 4 elements and step; few registers."""
    forward, backward = (compiled(neuron, direction) for direction in ("forward", "backward"))
    for machine in (forward, backward):
        assert_sound(machine)
    used = set(re.findall(r"\b(?:mul|add|sub|div)[\w.]*\.f32", forward.ptx))
    assert used <= {"mul.rn.f32", "add.rn.f32", "sub.rn.f32"}  # none rounds otherwise, or flushes small numbers to 0
    # the next row is asked for ahead, so there is one load before the loop
    assert accesses(forward) == {"LDG.128": 2, "STG.128": 1, "LDG.32": PARAMETERS[neuron]}
    if neuron == "LI":  # the compiler unrolls its loop
        found = accesses(backward)
        assert found["LDG.128"] == found["STG.128"] + 1
        assert set(found) == {"LDG.128", "STG.128", "LDG.32"}
    else:
        assert accesses(backward) == chunk_counts(neuron, 4)
    assert forward.registers <= 40
    assert backward.registers <= 96
    if triton.__version__ == PINNED:
        assert (forward.registers, backward.registers) == REGISTERS[neuron]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("neuron", [n for n in NEURONS if STATES[n]])
def test_the_usual_kernels_in_training(neuron: str) -> None:
    """Forward stores the states of each chunk, one access more for each; backward need not walk down for them."""
    forward, backward = (compile_for(launch, 90) for launch in keeping(neuron))
    for machine in (forward, backward):
        assert_sound(machine)
    small = {"LDG.32": PARAMETERS[neuron]}
    assert accesses(forward) == {"LDG.128": 2, "STG.128": 1 + STATES[neuron], **small}
    assert accesses(backward) == {"LDG.128": 2 * 4 + STATES[neuron], "STG.128": 4, **small}
    assert forward.registers <= 40
    assert backward.registers <= 96


@pytest.mark.timeout(120)
def test_an_ampere_gpu() -> None:
    for direction in ("forward", "backward"):
        machine = compiled("LIF", direction, 80)
        assert_sound(machine)
        assert machine.registers <= (40 if direction == "forward" else 96)
    assert accesses(machine) == chunk_counts("LIF", 4)


@pytest.mark.timeout(120)
def test_low_precision_moves_half_the_bytes() -> None:
    for direction in ("forward", "backward"):
        found = accesses(compiled("LIF", direction, dtype=torch.bfloat16))
        assert found["LDG.64"] == (2 if direction == "forward" else 12)
        assert found["STG.64"] == (1 if direction == "forward" else 4)


@pytest.mark.timeout(120)
def test_contraction_would_be_seen() -> None:
    """The check above can fail: with contraction allowed, the same kernel has fused multiply-adds."""
    launch = launches(hosts("LIF")[0], *arguments("LIF")[0])
    assert launch.options["enable_fp_fusion"] is False
    machine = compile_for(launch._replace(options={**launch.options, "enable_fp_fusion": True}), 90)
    assert "fma.rn.f32" in machine.ptx
    assert re.search(r"\bFFMA", machine.sass)


def test_a_tensor_beyond_32_bits() -> None:
    """2³² elements per step: the grid covers them, and no offset is narrowed."""
    launch = launches(hosts("LIF")[0], *arguments("LIF", steps=2, width=1 << 32, per=2)[0])
    assert launch.options["NARROW"] is False
    assert launch.grid[0] * launch.options["BLOCK"] == 1 << 32
    assert_sound(compile_for(launch, 90))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("neuron", NEURONS)
def test_outputs_are_those_that_torch_compile_expects(neuron: str, dtype: torch.dtype) -> None:
    """Shapes, dtypes and strides of the operators' fakes are those of what the host code allocates."""
    recurrence = importlib.import_module(f"snnkit.kernels.{ROOMS[neuron]}.op").RECURRENCE
    for options in ({}, {"state": True, "learn": True, "per": 3, "refractory": 2}):
        given = arguments(neuron, steps=3, width=6, dtype=dtype, **options if neuron != "LI" else {})  # type: ignore[arg-type]
        for run, expect, args in zip(hosts(neuron), (recurrence.forward, recurrence.backward), given):
            real, fake = results(run, *args), expect(*args)
            real, fake = ((t,) if isinstance(t, torch.Tensor) else t for t in (real, fake))
            for a, b in zip(real, fake, strict=True):
                assert (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride())


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("neuron", NEURONS)
def test_kernels_with_any_options(neuron: str, capability: int) -> None:
    """Neither spilled nor narrowed, and within the registers, whatever the options."""
    variants: list[dict[str, Any]] = [
        dict(zip(("steps", "detach", "to_zero", "refractory", "per", "learn"), (*first, *rest)), state=True)
        for first in ((99, False), (16, True))
        for rest in itertools.product((True, False), (0, 2), (1, 1024), (False, True))
    ]
    variants += [{"kind": kind} for kind in range(6)] + [{"dtype": torch.bfloat16}, {"width": (1 << 20) + 1}]
    for options in variants if neuron != "LI" else [{"per": 1024, "state": True, "learn": True}]:
        machines = [compiled(neuron, way, capability, **options) for way in ("forward", "backward")]
        if STATES[neuron]:
            machines += [compile_for(launch, capability) for launch in keeping(neuron, **options)]
        for machine in machines:
            assert (machine.stack, machine.local) == (0, 0), options
            assert "fma" not in machine.ptx, options
        assert machines[0].registers <= (40 if options.get("per", 1) == 1 else 48), options
        assert all(machine.registers <= 48 for machine in machines[2::2]), options
        assert all(machine.registers <= 96 for machine in machines[1::2]), options


@pytest.mark.parametrize("neuron", NEURONS)
def test_only_autograd_is_asked_on_the_way(neuron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler, mode or subclass a call goes past torch's dispatcher, forward and backward: it costs less."""
    recurrence = importlib.import_module(f"snnkit.kernels.{ROOMS[neuron]}.op").RECURRENCE
    forward, backward = hosts(neuron)
    args, _ = arguments(neuron, steps=3, width=8)
    for operator, host in ((recurrence.forward, forward), (recurrence.backward, backward)):
        monkeypatch.setitem(operator._direct, "meta", host)  # as "cuda" is after a first call there
        monkeypatch.setattr(operator, "_call", None)
    x = args[0].requires_grad_()

    def run() -> torch.Tensor:
        out = recurrence.forward(*args)
        (grad,) = torch.autograd.grad(out if neuron == "LI" else out[0], x, torch.empty_like(x))
        return grad

    grad = results(run)
    assert (grad.shape, grad.device) == (x.shape, x.device)


@pytest.mark.parametrize("neuron", [n for n in NEURONS if STATES[n]])
def test_the_first_call_on_a_gpu_is_as_later_ones(neuron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saves the same tensors: of layers in a checkpoint, the second time has to save what the first time has."""
    from snnkit.kernels import on_gpu

    recurrence = importlib.import_module(f"snnkit.kernels.{ROOMS[neuron]}.op").RECURRENCE
    operator, host = recurrence.forward, hosts(neuron)[0]
    for held in (operator._direct, operator._keeping):
        monkeypatch.setitem(held, "meta", host)
        del held["meta"]  # as "cuda" is before the first call there

    def load() -> Any:
        operator._keeping["meta"] = partial(on_gpu.forward_keeping, recurrence)
        return operator._direct.setdefault("meta", host)

    monkeypatch.setitem(operator._loads, "meta", load)
    args, _ = arguments(neuron, steps=12, width=8)
    args[0].requires_grad_()

    def node() -> tuple[str, int]:
        function = operator(*args)[0].grad_fn
        return function.name(), sum(saved is not None for saved in function.saved_tensors)

    assert operator.is_direct(*args)
    first, later = results(node), results(node)
    assert first == later == ("DirectBackward", 1 + PARAMETERS[neuron] + STATES[neuron])


def test_little_is_kept_for_the_way_back() -> None:
    """Half of the input at most: it stays in all layers at once."""
    from snnkit.kernels import on_gpu

    for neuron, options, keeps in (
        ("LIF", {}, True),
        ("LIF", {"dtype": torch.bfloat16}, True),
        ("CubaLIF", {}, True),
        ("CubaLIF", {"dtype": torch.bfloat16}, False),
        ("LIF", {"refractory": 2, "state": True, "learn": True, "per": 8}, False),
        ("LIF", {"steps": 4}, False),
        ("LIF", {"detach": False}, True),
        ("LIF", {"detach": False, "learn": True}, False),  # more registers than there may be
    ):
        recurrence = importlib.import_module(f"snnkit.kernels.{ROOMS[neuron]}.op").RECURRENCE
        args = arguments(neuron, **{"steps": 16, "width": 8, **options})[0]  # type: ignore[arg-type]
        _, kept = results(on_gpu.forward_keeping, recurrence, [bool(options.get("learn"))] * len(args), *args)
        assert (kept is not None) == keeps, (neuron, options)
        if kept is not None:
            size = sum(room.numel() * room.element_size() for room in kept.rooms if room is not None)
            assert size <= on_gpu.MOST_KEPT * args[0].numel() * args[0].element_size()
