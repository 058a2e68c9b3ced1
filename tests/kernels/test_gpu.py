"""The choice of kernels for tensors on a GPU, seen without one; and, where there is one, that it equals the CPU."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from snnkit import nn as snn
from snnkit.kernels import layout, reference_only

from .covering import pairwise, product
from .options import OPTIONS, ROOMS, assert_close, build, everything, input_for, name_of, random_state

TOLERANCE = {torch.float32: 4e-6, torch.float64: 1e-12, torch.bfloat16: 4e-6}
"""A GPU's float32 division and exponential are right to 2 units in the last place, of which a gradient sums several."""

no_gpu = not torch.cuda.is_available() or not layout.TRITON


class Watch(TorchDispatchMode):
    """Names of the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("triton", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("neuron", list(OPTIONS))
def test_what_a_gpu_tensor_takes(
    neuron: str, dtype: torch.dtype, triton: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One operator where Triton is installed, which reads and writes low precision itself; else step by step."""
    monkeypatch.setattr(layout, "TRITON", triton)
    kernel = importlib.import_module(f"snnkit.kernels.{ROOMS[neuron]}")
    plain = getattr(snn, neuron)().params(torch.empty(4, 2, 6, dtype=dtype))
    with FakeTensorMode(), Watch() as watch:
        x = torch.empty(4, 2, 6, device="cuda:0", dtype=dtype)
        assert not layout.runs_fused(x)  # as for a kernel that has no Triton form
        assert layout.runs_fused(x, on_gpu=True) is triton
        if not triton:
            return
        params = tree_map(
            lambda t: torch.empty(t.shape, dtype=t.dtype, device="cuda:0") if isinstance(t, Tensor) else t, plain
        )
        out, _ = kernel.sequence(x, None, params, want_state=False)
    assert out.device == x.device
    assert out.dtype == (torch.float32 if neuron == "LI" else dtype)
    assert [name for name in watch.seen if name.startswith("snnkit")] == [f"snnkit.{ROOMS[neuron]}.default"]
    assert not any("_to_copy" in name for name in watch.seen)


SIZES = {"size": ((9, 3), (32, 4))}
"""(T, B): several chunks of steps, whole and not, in widths that are multiples of 4 and are not."""

LATER = ("detach", "learn", "surrogate")
"""Options of the backward kernels only."""


def few_kernels() -> list[tuple[str, dict[str, Any]]]:
    """Every pair of options of every neuron, in few combinations of those that the forward kernels have: each is one to
    compile."""
    return [
        (neuron, case)
        for neuron, options in OPTIONS.items()
        for case in pairwise(options | SIZES, [name for name in (*options, *SIZES) if name not in LATER])
    ]


def compare(neuron: str, case: dict[str, Any], steps: int = 9, batch: int = 4) -> None:
    """One case on the GPU: spikes and states bit for bit those of the loop there and of the CPU, gradients to the
    tolerance. A learned decay is a sigmoid, whose last bit is each device's own: such a case has only the loop."""
    layer, x = build(neuron, case), input_for(case, steps, batch)
    state = random_state(layer, x) if case["state"] == "given" else None
    here = everything(layer, x, state)
    layer, there = layer.cuda(), None
    if state is not None:
        there = tree_map(lambda t: t.detach().cuda().requires_grad_(t.requires_grad), state)
    with reference_only():
        looped = everything(layer, x.cuda(), there)
    found, found_gradients = everything(layer, x.cuda(), there)
    assert all(t.is_cuda for t in (*found, *found_gradients))
    learned = any(name.endswith("_logit") for name, _ in layer.named_parameters())
    for outputs, gradients in (looped,) if learned else (looped, here):
        for a, b in zip(found, outputs, strict=True):
            assert torch.equal(a.cpu(), b.cpu())
        for a, b in zip(found_gradients, gradients, strict=True):
            assert_close(a.cpu(), b.cpu(), TOLERANCE[x.dtype], x)


@pytest.mark.gpu
@pytest.mark.skipif(no_gpu, reason="needs a CUDA device and Triton")
@pytest.mark.parametrize(
    ("neuron", "case"), few_kernels(), ids=lambda value: value if isinstance(value, str) else name_of(value)
)
def test_a_gpu_equals_the_cpu(neuron: str, case: dict[str, Any]) -> None:
    compare(neuron, case, *case["size"])


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.skipif(no_gpu, reason="needs a CUDA device and Triton")
@pytest.mark.parametrize("neuron", list(OPTIONS))
def test_a_gpu_equals_the_cpu_with_any_options(neuron: str) -> None:
    for case in product(OPTIONS[neuron]):
        compare(neuron, case)


@pytest.mark.gpu
@pytest.mark.skipif(no_gpu, reason="needs a CUDA device and Triton")
def test_edges_layouts_and_large_inputs_on_a_gpu() -> None:
    below = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()
    edge = torch.tensor([1.0, below, 1e-42, -1e-42, 3e38, torch.inf, -torch.inf, torch.nan, -0.0, 0.5]).repeat(4, 1, 1)
    images = torch.randn(5, 2, 3, 4, 6)
    last = images.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    wide = torch.randn(7, 64, 8192)  # four warps, whole chunks and a rest
    for x in (edge, images, last, last[:, :, :, ::2], images[:1], images[:, :1], wide, wide[..., 1:]):
        for layer in (snn.LIF(), snn.CubaLIF(reset="subtract"), snn.ALIF(), snn.LI(), snn.LIF(refractory=2)):
            expected = layer(x)
            out = layer.cuda()(x.cuda())
            torch.testing.assert_close(out.cpu(), expected, rtol=0, atol=0, equal_nan=True)
            layer.cpu()


@pytest.mark.gpu
@pytest.mark.skipif(no_gpu, reason="needs a CUDA device and Triton")
def test_a_gpu_run_repeats_itself_and_can_be_captured() -> None:
    """Gradients of shared parameters are summed in a fixed order; nothing in a pass waits for the device."""
    layer = snn.CubaLIF(learn_decay=True, learn_threshold=True, refractory=1).cuda()
    x = torch.randn(20, 8, 5000, device="cuda", requires_grad=True)

    def step() -> list[Tensor]:
        out = layer(x)
        return [out.detach(), *torch.autograd.grad(out, [x, *layer.parameters()], x.detach())]

    first = step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        second = step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.no_grad():
        captured = layer(x)
    graph.replay()
    assert torch.equal(captured, first[0])


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(no_gpu, reason="needs a CUDA device and Triton")
def test_torch_compile_on_a_gpu() -> None:
    model = torch.nn.Sequential(snn.Linear(6, 5), snn.LIF(learn_decay=True), snn.Linear(5, 3), snn.LI()).cuda()
    compiled = torch.compile(model, fullgraph=True)
    for batch in (2, 3):
        x = torch.randn(4, batch, 6, device="cuda", requires_grad=True)
        (expected,) = torch.autograd.grad(model(x).sum(), x)
        (found,) = torch.autograd.grad(compiled(x).sum(), x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.skipif(no_gpu, reason="needs a CUDA device and Triton")
def test_more_elements_than_32_bits_count() -> None:
    """Forward over 2³¹ + 2²² elements in bf16 (9 GB): the last step is right, so no offset has wrapped."""
    steps, width = 1025, 1 << 21
    x = torch.randn(1, 1, width, device="cuda").bfloat16().expand(steps, 1, width).contiguous()
    layer = snn.LIF(decay=0.5).cuda()
    out = layer(x)
    with reference_only():
        state, params = layer.initial_state(x), layer.params(x)
        for _ in range(steps):
            expected, state = layer.step(x[0].float(), state, params)
    assert torch.equal(out[-1].float(), expected)
