"""A batch norm's kernels for a GPU, without one: how memory is cut, what is launched, and what that compiles to."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

triton = pytest.importorskip("triton", reason="needs triton, which CUDA builds of torch and the extra [test] bring")

from snnkit import nn as snn  # noqa: E402
from snnkit.kernels import layout  # noqa: E402
from snnkit.kernels.norm_lif import layers  # noqa: E402
from snnkit.kernels.state import state_dtype  # noqa: E402

from .ahead import Launch, Machine, accesses, compile_for, every_launch  # noqa: E402
from .test_gpu_around import watched_launches  # noqa: E402

if not layout.TRITON:
    pytest.skip("needs a newer triton: 3.4", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("triton_cache")


def launched(
    shape: tuple[int, int, int] = (2048, 32, 1024),
    dtype: torch.dtype = torch.float32,
    last: bool = False,
    masked: bool = False,
) -> dict[str, Launch]:
    """Every kernel as it is launched for x [N, C, S]."""
    from snnkit.kernels.norm_lif import channels_on_gpu as host

    def empty(*sizes: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(sizes, dtype=dtype, device="meta")

    samples, channels, pixels = shape
    x = empty(samples, pixels, channels, dtype=dtype).mT if last else empty(*shape, dtype=dtype)
    mask = empty(samples, dtype=torch.bool) if masked else None
    values, low = host.values_of(x), state_dtype(x)
    mean, rate, gain, other = (empty(channels, dtype=low) for _ in range(4))

    def run() -> None:
        host.normalise(values, rate, gain, x)
        if masked:
            host.squares(values, mean.double(), mask)
            host.sums(values, x, mean, mask)
        else:
            host.statistics(values, low, (other, other), 0.1, 1e-5, gain, mean)
            host.of_channels(values, x, mean, rate, gain)
        host.project(values, x, mean, rate, gain, other, mask, x)

    return every_launch(run)


def assert_lean(machine: Machine, name: str) -> None:
    """Nothing spilled, and so few registers that eight programs are on a multiprocessor."""
    assert (machine.stack, machine.local) == (0, 0), name
    assert not any(access.startswith(("LDL", "STL")) for access in accesses(machine)), name
    assert machine.registers <= 64, name


SIZES = st.tuples(st.integers(1, 1 << 24), st.integers(1, 5000), st.integers(1, 1 << 20))


@given(shape=SIZES, last=st.booleans(), double=st.booleans(), masked=st.booleans(), unroll=st.sampled_from([2, 4]))
def test_memory_is_cut_into_strips(
    shape: tuple[int, int, int], last: bool, double: bool, masked: bool, unroll: int
) -> None:
    """Strips cover every column once, splits every row, and entries every sum, whatever the sizes."""
    from snnkit.kernels.norm_lif import channels_on_gpu as host

    samples, channels, pixels = shape
    way = host.cut(samples, channels, pixels, last, double, masked, unroll)
    assert way.rows * way.width == samples * channels * pixels
    assert way.across & (way.across - 1) == 0
    assert way.across * way.down == (256 if double else 512)
    assert (way.splits - 1) * way.each < way.rows <= way.splits * way.each
    assert way.each % (way.down * way.unroll) == 0
    assert way.unroll == (unroll if way.wide == 4 else 2)
    covered = way.chunks * way.across
    if way.apart:
        assert way.strips == channels * way.chunks
        assert covered - way.across < way.size <= covered
    else:
        assert (way.strips - 1) * way.across < way.width <= way.strips * way.across
        assert way.width % (way.size * channels) == 0
    assert not masked or way.per == way.rows / samples  # a row belongs to one sample
    assert way.strips * way.splits <= max(2 * host.PROGRAMS, way.strips)
    plane, entries, splits, many, *steps, count = way.gathered()
    assert (plane, count, many * count) == (splits * entries, channels, entries)
    if entries <= 4096:
        where = {c * steps[0] + k * steps[1]: c for c in range(channels) for k in range(many)}
        owner = [j // way.chunks if way.apart else j // way.size % channels for j in range(entries)]
        assert [where[j] for j in range(entries)] == owner
    assert way.width % way.wide == 0
    assert not way.apart or way.size % way.wide == 0


def test_the_sums_of_programs_are_few() -> None:
    """They are written and read once more, which is little beside the pass itself."""
    from snnkit.kernels.norm_lif import channels_on_gpu as host

    for shape, last in itertools.product(((2048, 32, 1024), (256, 64, 256), (4096, 512, 16), (2048, 3, 784)), (0, 1)):
        way = host.cut(*shape, bool(last), False, False, 4)
        assert 3 * 8 * way.splits * way.entries < 0.07 * 4 * way.rows * way.width


@pytest.mark.timeout(180)
@pytest.mark.parametrize("last", [False, True])
def test_the_usual_norm(last: bool) -> None:
    """sm_90, float32: 128 bits per load and store of what is large."""
    machines = {name: compile_for(launch, 90) for name, launch in launched(last=last).items()}
    assert set(machines) == {"normalise", "moments", "moments_end", "sums", "sums_end", "project"}
    for name, machine in machines.items():
        assert_lean(machine, name)
    found = {name: accesses(machine) for name, machine in machines.items()}
    assert found["moments"]["LDG.128"] == 4 + 1  # four tiles at a time, and the row that all others are compared with
    assert found["sums"]["LDG.128"] == 2 * 2
    assert (found["project"]["LDG.128"], found["project"]["STG.128"]) == (2 * 2, 2)
    assert (found["normalise"]["LDG.128"], found["normalise"]["STG.128"]) == (4, 4)
    channels = 4 if last else 1
    assert found["sums"]["LDG.32"] == channels
    assert found["project"]["LDG.32"] == 4 * channels
    assert "LDG.32" not in found["moments"]
    pointers = [line for name in ("moments", "sums", "project", "normalise") for line in machines[name].ir.splitlines()]
    offsets = [line for line in pointers if "tt.addptr" in line and "x!tt.ptr" in line]
    assert offsets
    assert all("xi64>" in line for line in offsets)
    assert machines["normalise"].ptx.count("fma.rn.f32") == 16


@pytest.mark.timeout(180)
def test_an_ampere_gpu() -> None:
    for last in (False, True):
        for name, launch in launched(last=last).items():
            assert_lean(compile_for(launch, 80), name)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("last", [False, True])
def test_lengths(last: bool) -> None:
    for name, launch in launched(last=last, masked=True).items():
        machine = compile_for(launch, 90)
        assert_lean(machine, name)
        assert name.endswith("_end") or accesses(machine)["LDG.128"] >= 4


@pytest.mark.timeout(180)
def test_low_precision_moves_half_the_bytes() -> None:
    for name in ("moments", "sums", "project"):
        machine = compile_for(launched(dtype=torch.bfloat16)[name], 90)
        assert_lean(machine, name)
        assert accesses(machine)["LDG.64"] >= 4


@pytest.mark.timeout(120)
def test_more_rows_than_32_bits_count() -> None:
    """2³³ values, of whose rows lengths ask for the sample: nothing is narrowed."""
    assert launched((1 << 17, 32, 1 << 11), last=True, masked=True)["sums"].options["NARROW"] is True
    launch = launched((1 << 20, 3, (1 << 13) + 1), last=True, masked=True)["sums"]
    assert launch.options["NARROW"] is False
    assert_lean(compile_for(launch, 90), "sums")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_norm_alone_is_a_few_launches(dtype: torch.dtype) -> None:
    """Three forward, three back; nothing comes to the host, which a tensor without memory would refuse."""
    norm = snn.BatchNorm(4).to("meta")
    x = torch.empty(5, 2, 4, 6, 8, device="meta", dtype=dtype, requires_grad=True)
    with watched_launches() as seen:
        values: Any = norm.values(x.detach().flatten(0, 1))
        y = layers.batch_norm(x, values, norm.gain, norm.bias)
        assert (y.shape, y.dtype) == (x.shape, dtype)
        forward = ["moments", "moments_end", "normalise"]
        assert seen == forward
        found = torch.autograd.grad(y.sum(), [x, *norm.parameters()])
    assert seen == [*forward, "sums", "sums_end", "project"]
    assert [g.dtype for g in found] == [dtype, torch.float32, torch.float32]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("capability", [80, 90])
def test_norms_of_any_size(capability: int) -> None:
    for shape, dtype, last, masked in itertools.product(
        ((2048, 32, 289), (2048, 512, 16), (4096, 10, 1), (100, 3, 36), (7, 600, 49)),
        (torch.float32, torch.float64, torch.bfloat16, torch.float16),
        (False, True),
        (False, True),
    ):
        for name, launch in launched(shape, dtype, last, masked).items():
            assert_lean(compile_for(launch, capability), f"{name} {shape} {dtype} {last} {masked}")
