"""A pool alone on a GPU: interpreted and compiled ahead without one; the choice of kernels; there, the values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

triton = pytest.importorskip("triton", reason="needs triton, which CUDA builds of torch and the extra [test] bring")

from snnkit import nn as snn  # noqa: E402
from snnkit.kernels import layout  # noqa: E402
from snnkit.kernels.layout import Layout  # noqa: E402
from snnkit.kernels.norm_lif import layers  # noqa: E402
from snnkit.kernels.norm_lif.op import Pool, image  # noqa: E402

from .ahead import Machine, accesses, assert_sound, compile_for, launches  # noqa: E402
from .ahead_around import SHAPE  # noqa: E402
from .around import POOL, pool_arguments  # noqa: E402
from .covering import pairwise  # noqa: E402
from .options import name_of  # noqa: E402
from .test_gpu import Watch, no_gpu  # noqa: E402
from .test_gpu_around import watched_launches  # noqa: E402

if not layout.TRITON:
    pytest.skip("needs a newer triton: 3.4", allow_module_level=True)

needs_gpu = pytest.mark.skipif(no_gpu, reason="needs a CUDA device and Triton")


@pytest.mark.timeout(300)
def test_interpreted_equal_the_cpu(interpreted: dict[str, Any]) -> None:
    """Every pair of option values, values that are no number too: outputs and gradients bit for bit."""
    found = {name: said for name, said in interpreted["cases"].items() if name.startswith("pool-")}
    assert len(found) > 20
    assert {name: said for name, said in found.items() if said} == {}
    assert min(interpreted["launched"][f"norm_lif.{kernel}"] for kernel in ("average", "share")) >= len(found)


def compiled(
    shape: tuple[int, ...] = SHAPE,
    pool: tuple[int, int] = (2, 2),
    last: bool = False,
    dtype: torch.dtype = torch.float32,
    capability: int = 90,
) -> tuple[Machine, Machine]:
    """The kernels forward and backward."""
    from snnkit.kernels.norm_lif import on_gpu

    order = (0, 1, 3, 4, 2) if last else (0, 1, 2, 3, 4)
    whole = Layout(order, tuple(shape[d] for d in order))
    x = torch.empty(shape[0], whole.width, dtype=dtype, device="meta")
    windows = Pool(*pool)
    small = whole.resized(windows.shape(torch.empty(shape, device="meta")))
    grad = torch.empty(shape[0], small.width, dtype=dtype, device="meta")
    window = image(whole, windows)
    return (
        compile_for(launches(on_gpu.average, window, x, small.width), capability),
        compile_for(launches(on_gpu.share, window, grad, whole.width), capability),
    )


@pytest.mark.usefixtures("triton_cache")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("last", [False, True])
def test_the_usual_pool(last: bool, capability: int) -> None:
    """128 bits per access of what is large, every element moved once; few registers."""
    forward, backward = compiled(last=last, capability=capability)
    for machine in (forward, backward):
        assert_sound(machine)
        assert machine.registers <= 40
    if last:  # a thread has four channels of a window, whose pixels are pieces of memory
        assert accesses(forward) == {"LDG.128": 4, "STG.128": 1}
        assert accesses(backward) == {"LDG.128": 1, "STG.128": 4}
    else:
        assert accesses(forward) == {"LDG.128": 2, "STG.64": 1}
        assert accesses(backward) == {"LDG.64": 1, "STG.128": 1}


@pytest.mark.usefixtures("triton_cache")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(dtype: torch.dtype) -> None:
    forward, backward = compiled(dtype=dtype)
    for machine in (forward, backward):
        assert_sound(machine)
        assert machine.registers <= 40
    if dtype == torch.float64:
        assert accesses(forward) == {"LDG.128": 2, "STG.64": 1}
        assert accesses(backward) == {"LDG.64": 1, "STG.128": 1}
    else:
        assert accesses(forward) == {"LDG.64": 2, "STG.32": 1}
        assert accesses(backward) == {"LDG.32": 1, "STG.64": 1}


@pytest.mark.usefixtures("triton_cache")
@pytest.mark.timeout(120)
def test_sizes_that_are_no_multiples_of_four() -> None:
    """Accesses are as wide as a row of windows, or the channels, allow, and none goes through shared memory."""
    for shape, last, found in (
        ((16, 16, 32, 28, 28), False, ({"LDG.128": 2, "STG.64": 1}, {"LDG.64": 1, "STG.128": 1})),
        ((16, 16, 32, 14, 14), False, ({"LDG.64": 2, "STG.32": 1}, {"LDG.32": 1, "STG.64": 1})),
        ((16, 16, 2, 32, 32), True, ({"LDG.64": 4, "STG.64": 1}, {"LDG.64": 1, "STG.64": 4})),
        ((16, 16, 3, 32, 32), True, ({"LDG.32": 4, "STG.32": 1}, {"LDG.32": 1, "STG.32": 4})),
    ):
        machines = compiled(shape, last=last)
        assert tuple(map(accesses, machines)) == found
        for machine in machines:
            assert_sound(machine)


@pytest.mark.usefixtures("triton_cache")
@pytest.mark.timeout(120)
def test_larger_windows_and_tensors_beyond_32_bits() -> None:
    for last in (False, True):
        machines = compiled((16, 16, 32, 36, 36), (3, 3), last)
        assert all((m.stack, m.local, m.shared) == (0, 0, 0) and m.registers <= 40 for m in machines)
        assert accesses(machines[1])["STG.128"] == (9 if last else 1)
    for machine in compiled((2, 1 << 21, 1, 32, 32)):  # 2³² elements
        assert_sound(machine)
    for last in (False, True):
        forward, backward = compiled(pool=(8, 8), last=last)
        for machine in (forward, backward):
            assert_sound(machine)
            assert machine.registers <= 48
        assert set(accesses(backward)) == ({"LDG.128", "STG.128"} if last else {"LDG.32", "STG.128"})


def test_its_outputs_are_laid_out_as_on_the_cpu() -> None:
    from snnkit.kernels.norm_lif import on_cpu, on_gpu

    x, grad = torch.ones(3, 24), torch.ones(3, 6)
    with watched_launches() as seen:
        for run, expect, given, width in (
            (on_gpu.average, on_cpu.average, x, 6),
            (on_gpu.share, on_cpu.share, grad, 24),
        ):
            a, b = run((4, 1, 2, 2), given, width), expect((4, 1, 2, 2), given, width)
            assert (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride())
    assert seen == ["average", "share"]


@pytest.mark.parametrize("has_triton", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_what_a_tensor_on_a_gpu_takes(dtype: torch.dtype, has_triton: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One launch in each direction where Triton is installed, which tensors on the meta device show as if on a GPU;
    torch's own operator without it, in graphs that are compiled, and for windows that do not cover the image."""
    monkeypatch.setattr(layout, "TRITON", has_triton)
    with FakeTensorMode(), Watch() as watch:
        x = torch.empty(4, 2, 3, 6, 8, device="cuda:0", dtype=dtype)
        assert layout.runs_fused(x, on_gpu=True) is has_triton
        assert snn.AvgPool2d(2)(x).shape == (4, 2, 3, 3, 4)
        assert not layers.can_normalise(x)
    assert "aten.avg_pool2d.default" in watch.seen
    monkeypatch.setitem(layers.DTYPES, "meta", layers.DTYPES["cuda"])
    monkeypatch.setattr(layers, "runs_fused", lambda x, on_gpu=False: on_gpu and layout.TRITON)
    for last in (False, True):
        x = torch.empty(4, 2, 3, 8, 10, device="meta", dtype=dtype)
        x = (x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3) if last else x).requires_grad_()
        with watched_launches() as seen:
            out = snn.AvgPool2d(2)(x)
            (grad,) = torch.autograd.grad(out.sum(), x)
            for other in (snn.AvgPool2d(3), snn.AvgPool2d(2, stride=1), snn.AvgPool2d(2, padding=1)):
                other(x)
            snn.AvgPool2d(2)(x.detach().transpose(2, 3))
            snn.AvgPool2d((8, 5))(x)  # a window may be as large as it likes
            assert (out.shape, out.dtype) == ((4, 2, 3, 4, 5), dtype)
            assert (grad.shape, grad.dtype, grad.stride()) == (x.shape, dtype, x.stride())
        assert seen == (["average", "share", "average"] if has_triton else [])


def pools(x: torch.Tensor, pool: Any, up: torch.Tensor) -> list[torch.Tensor]:
    """Output and gradient of a layer, ours or torch's."""
    leaf = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    ours = isinstance(pool, snn.AvgPool2d)
    out = pool(leaf) if ours else pool(leaf.flatten(0, 1)).unflatten(0, x.shape[:2])
    return [out.detach(), *torch.autograd.grad(out, leaf, up)]


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", [*POOL["dtype"], torch.float16])
def test_a_gpu_has_the_bits_of_torch_and_of_the_cpu(dtype: torch.dtype) -> None:
    cases = [case for case in pairwise(POOL) if case["dtype"] == (torch.bfloat16 if dtype.itemsize == 2 else dtype)]
    assert len(cases) > 5
    for case in cases:
        x, pool, up = pool_arguments(case | {"dtype": dtype})
        window = pool.height, pool.width
        found = pools(x.cuda(), snn.AvgPool2d(window), up.cuda())
        assert found[1].stride() == x.stride()
        expected = [pools(x.cuda(), nn.AvgPool2d(window), up.cuda())]
        if dtype != torch.float16:  # for which there is no kernel on the CPU
            expected.append(pools(x, snn.AvgPool2d(window), up))
        for each in expected:
            assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(found, each, strict=True)), name_of(case)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
@needs_gpu
def test_a_large_pool_on_a_gpu() -> None:
    """Both orders of memory; windows that leave pixels out; nothing waits for the device; captured; compiled."""
    images = torch.randn(5, 16, 32, 32, 36, generator=torch.Generator().manual_seed(0))
    last = images.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    pool = snn.AvgPool2d(2)
    for x in (images, last, images[..., :31, :33].contiguous()):
        x, up = x.cuda(), torch.randn(5, 16, 32, *(n // 2 for n in x.shape[3:]), device="cuda")
        first = pools(x, pool, up)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            second = pools(x, pool, up)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        expected = pools(x, nn.AvgPool2d(2), up)
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(first, second, expected, strict=True))
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            pools(x, pool, up)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = pools(x, pool, up)
        graph.replay()
        torch.cuda.synchronize()
        assert all(map(torch.equal, captured, first))
    leaf = images[:1, :2].cuda().requires_grad_()
    found = torch.compile(pool, fullgraph=True)(leaf)
    torch.testing.assert_close(found, pool(leaf))
    torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), leaf)[0] for y in (found, pool(leaf))))


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("order", POOL["order"])
def test_derivatives_of_any_kind_on_a_gpu(order: str) -> None:
    """Second derivatives, several gradients at once, forward mode and vmap equal those of torch's operators."""
    case = {"dtype": torch.float64, "pool": (2, 2), "order": order, "size": (2, 3, 4, 1, 2)}
    x, tangent = (v.cuda() for v in (pool_arguments(case)[0], torch.randn(2, 3, 4, 2, 4).double()))
    layer = snn.AvgPool2d(2)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return layer(x).pow(3).sum()

    def everything() -> list[torch.Tensor]:
        leaf = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        (first,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
        (second,) = torch.autograd.grad((first * tangent).sum(), leaf)
        y = layer(leaf).flatten()[:3]
        several = torch.autograd.grad(y, leaf, torch.eye(3, dtype=y.dtype, device="cuda"), is_grads_batched=True)[0]
        forward = torch.func.jvp(loss, (x,), (tangent,))[1]
        mapped = torch.func.vmap(torch.func.grad(lambda v: loss(v[None].expand_as(x) * x)))(x)
        return [first, second, several, forward, mapped]

    found = everything()
    with layout.reference_only():
        expected = everything()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.timeout(0)
@needs_gpu
def test_more_elements_than_32_bits_count() -> None:
    """2³¹ + 2²² elements in bf16 (4 GB): the last windows are right, so no offset has wrapped."""
    x = torch.zeros(1, (1 << 21) + (1 << 12), 1, 32, 32, device="cuda", dtype=torch.bfloat16)
    x[0, -3:] = torch.randn(3, 1, 32, 32, device="cuda").bfloat16()
    x.requires_grad_()
    out = snn.AvgPool2d(2)(x)
    assert torch.equal(out[0, -3:], nn.functional.avg_pool2d(x[0, -3:], 2))
    (grad,) = torch.autograd.grad(out, x, out.detach())
    assert torch.equal(grad[0, -3:], (out[0, -3:] / 4).repeat_interleave(2, -2).repeat_interleave(2, -1))
    assert not grad[0, :-3].any()
