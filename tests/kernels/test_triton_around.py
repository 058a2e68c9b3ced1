"""What stands around a neuron on a GPU, without one: interpreted, it equals the CPU; compiled ahead, it is lean."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

triton = pytest.importorskip("triton", reason="needs triton, which CUDA builds of torch and the extra [test] bring")

from snnkit.kernels import layout  # noqa: E402

from .ahead import Machine, accesses, assert_sound, compile_for, every_launch, launches, results  # noqa: E402
from .ahead_around import norm, recurrent  # noqa: E402

if not layout.TRITON:
    pytest.skip("needs a newer triton: 3.4", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("triton_cache")

NEURONS = {"lif": 2, "cubalif": 3, "alif": 4, "li": 1}
"""Recurrent layers by their recurrence, and their parameters."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", ["norm", "recurrent", "channels"])
def test_interpreted_equal_the_cpu(what: str, interpreted: dict[str, Any]) -> None:
    """Every pair of option values: spikes and states bit for bit, gradients to 1e-6 (1e-12 in float64); the sums of
    channels, to that, those in float64."""
    found = {name: said for name, said in interpreted["cases"].items() if name.startswith(f"{what}-")}
    assert len(found) > 30
    assert {name: said for name, said in found.items() if said} == {}
    room = "recurrent" if what == "recurrent" else "norm_lif"
    kernels = ("moments", "sums", "project") if what == "channels" else ("forward", "backward")
    assert min(interpreted["launched"][f"{room}.{kernel}"] for kernel in kernels) >= 30


def compiled_norm(direction: str, capability: int = 90, **options: Any) -> Machine:
    from snnkit.kernels.norm_lif import on_gpu

    which = ("forward", "backward").index(direction)
    return compile_for(launches(getattr(on_gpu, direction), *norm(**options)[which]), capability)


def compiled_recurrent(name: str, capability: int = 90, **options: Any) -> dict[str, Machine]:
    """The kernels of a recurrent layer by their names: forward, recompute (LI: not) and backward."""
    from snnkit.kernels.recurrent import on_gpu

    forward, backward = recurrent(name, **options)
    found = every_launch(on_gpu.forward, *forward) | every_launch(on_gpu.backward, *backward)
    return {kernel: compile_for(launch, capability) for kernel, launch in found.items()}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("pool", [None, (2, 2)])
def test_the_usual_norm(pool: Any, last: bool) -> None:
    """sm_90, float32, both orders of memory: 128 bits per load and store of the large operands; few registers; the
    product with the scale and the sum with the shift are rounded once, and nothing else is."""
    forward, backward = (compiled_norm(way, pool=pool, last=last) for way in ("forward", "backward"))
    pixels = 1 if pool is None else 4 if last else 2  # loads of a thread, of 4 pixels each
    assert_sound(forward, fused=4 * pixels)
    assert_sound(backward, fused=4 * 8)
    outputs = {"STG.64": 1} if pool and not last else {"STG.128": 1}  # a quarter of the pixels
    scales = 6 if pool and not last else 10  # scale and shift of each window; decay, threshold
    assert accesses(forward) == {"LDG.128": pixels, **outputs, "LDG.32": scales}
    found = accesses(backward)
    assert found.pop("LDG.32") == 10
    if pool and not last:  # two windows' gradients are those of four pixels
        assert found == {"LDG.128": 2 * 4 + 1, "LDG.64": 4, "STG.128": 4 + 2}
    else:
        assert found == {"LDG.128": 3 * 4 + 1, "STG.128": 4 + 2}
    assert forward.registers <= 40
    assert backward.registers <= 96


@pytest.mark.timeout(120)
def test_a_pool_before_the_neuron() -> None:
    for direction, most in (("forward", 40), ("backward", 96)):
        machine = compiled_norm(direction, before=True)
        assert (machine.stack, machine.local) == (0, 0)
        assert machine.registers <= most
        found = accesses(machine)
        assert found["LDG.128"] == 2 * (1 if direction == "forward" else 8)
        assert not any(name.startswith(("LDS", "STS")) for name in found)


@pytest.mark.timeout(120)
def test_an_ampere_gpu() -> None:
    for direction, fused, most in (("forward", 8, 40), ("backward", 32, 96)):
        machine = compiled_norm(direction, 80)
        assert_sound(machine, fused)
        assert machine.registers <= most
    for name, machine in compiled_recurrent("cubalif", 80).items():
        assert_sound(machine)
        assert machine.registers <= (40 if name == "forward" else 96)


@pytest.mark.timeout(120)
def test_low_precision_moves_half_the_bytes() -> None:
    for direction, loads, stores in (("forward", 2, 0), ("backward", 8, 4)):
        machine = compiled_norm(direction, dtype=torch.bfloat16)
        found = accesses(machine)
        assert (found["LDG.64"], found["STG.64"]) == (loads, stores)
        assert machine.registers <= (40 if direction == "forward" else 96)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", list(NEURONS))
def test_the_usual_recurrent_layers(name: str) -> None:
    """sm_90, float32: a step moves each operand by 128 bits, once."""
    machines = compiled_recurrent(name)
    assert list(machines) == (["forward", "backward"] if name == "li" else ["forward", "recompute", "backward"])
    for kernel, machine in machines.items():
        assert_sound(machine)
        assert machine.registers <= (40 if kernel == "forward" else 96)
    states = {"lif": 1, "cubalif": 2, "alif": 2, "li": 1}[name]
    kept = 0 if name == "li" else 1
    forward = {"LDG.128": 2 + states, "STG.128": 2 + states + kept, "LDG.32": NEURONS[name]}
    if name == "li":
        forward["STG.128"] = 2 + states
    assert accesses(machines["forward"]) == forward
    found = accesses(machines["backward"])
    read = {"lif": 4, "cubalif": 5, "alif": 6, "li": 3}[name]  # the output's gradients, the membrane, the states'
    assert found == {"LDG.128": read, "STG.128": 1 + states, "LDG.32": NEURONS[name]}


def test_tensors_beyond_32_bits() -> None:
    """2³² elements per step: the grid covers them, and no offset is narrowed."""
    from snnkit.kernels.norm_lif import on_gpu

    shape = (2, 1 << 22, 1, 32, 32)
    launch = launches(on_gpu.forward, *norm(shape)[0])
    assert launch.options["NARROW"] is False
    assert launch.grid[0] * launch.options["BLOCK"] == 1 << 30
    assert_sound(compile_for(launch, 90), fused=8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", list(NEURONS))
def test_outputs_are_those_that_torch_compile_expects(name: str, dtype: torch.dtype) -> None:
    """Shapes, dtypes and strides of the operators' fakes are those of what the host code allocates."""
    from snnkit.kernels.recurrent import on_gpu
    from snnkit.kernels.recurrent.layer import OPERATORS

    (operators,) = (o for o in OPERATORS.values() if o.recurrence.name == name)
    for options in ({}, {"state": True, "learn": True, "per": 5, "refractory": 2}):
        given = recurrent(name, 3, 2, 5, dtype, **options)  # type: ignore[arg-type]
        for run, expect, args in zip((on_gpu.forward, on_gpu.backward), (operators.forward, operators.backward), given):
            for a, b in zip(results(run, *args), expect(*args[1:]), strict=True):
                assert (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride())


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("capability", [80, 90])
def test_norms_with_any_options(capability: int) -> None:
    """Neither spilled nor contracted, whatever the options; backward within the registers."""
    variants: list[dict[str, Any]] = [
        {
            "pool": pool,
            "before": before,
            "last": last,
            "where": where,
            "refractory": wait,
            "state": True,
            "learn": True,
        }
        for pool, before in ((None, False), ((2, 2), False), ((2, 2), True), ((3, 3), False), ((4, 4), False))
        for last, where, wait in itertools.product((False, True), ("layer", "neuron"), (0, 2))
    ]
    variants += [{"kind": kind} for kind in ("sigmoid", "fast_sigmoid", "triangle", "piecewise_linear", "gaussian")]
    variants += [{"dtype": torch.bfloat16, "last": True}, {"dtype": torch.float64}, {"once": False}]
    for options in variants:
        options["shape"] = (16, 16, 32, 36, 36)
        for direction in ("forward", "backward"):
            machine = compiled_norm(direction, capability, **options)
            assert (machine.stack, machine.local) == (0, 0), options
            if direction == "backward" and options.get("dtype") is not torch.float64:
                assert machine.registers <= 96, options


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", list(NEURONS))
def test_recurrent_layers_with_any_options(name: str, capability: int) -> None:
    for detach, to_zero, refractory, per in itertools.product((False, True), (False, True), (0, 2), (1, 512)):
        options = {"detach": detach, "to_zero": to_zero, "refractory": refractory, "per": per}
        for machine in compiled_recurrent(name, capability, state=True, learn=True, **options).values():
            assert_sound(machine)
            assert machine.registers <= 96, options
