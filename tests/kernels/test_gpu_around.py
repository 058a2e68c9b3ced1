"""Norm, LIF and pool, and recurrent layers, for tensors on a GPU: their choice, seen without one; there, the values."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map

from snnkit import nn as snn
from snnkit.kernels import layout, recurrent, reference_only
from snnkit.kernels.norm_lif import counted, layers, op, statistics
from snnkit.nn import together

from .around import NORM, RECURRENT, norm_arguments
from .covering import pairwise
from .options import assert_close, build, everything, input_for, name_of, random_state
from .test_gpu import LATER, Watch, no_gpu

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 1e-5}
"""Besides division and exponential, sums over batch and time come in another order than on a CPU."""

needs_gpu = pytest.mark.skipif(no_gpu, reason="needs a CUDA device and Triton")


def network(channels: int = 4, before: bool = False) -> snn.Sequential:
    layers: list[torch.nn.Module] = [snn.BatchNorm(channels), snn.LIF(threshold=0.7, learn_decay=True)]
    layers.insert(1 if before else 2, snn.AvgPool2d(2))
    return snn.Sequential(*layers)


def on_fake_gpu(model: torch.nn.Module) -> torch.nn.Module:
    """The model with tensors that have no values, and no gradients; without a GPU none can be sent there."""
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, value in held.items():
                if value is not None:
                    held[name] = torch.empty(value.shape, dtype=value.dtype, device="cuda:0")  # type: ignore[assignment]
    return model


def _copy(part: Any, device: str) -> Any:
    return part.detach().to(device) if isinstance(part, Tensor) else part


@contextlib.contextmanager
def watched_launches() -> Iterator[list[str]]:
    """The names of the kernels that are launched within, none of which runs; tensors without memory are a GPU's."""
    triton = pytest.importorskip("triton", reason="needs triton")
    from snnkit.kernels.norm_lif import channels_on_gpu

    seen: list[str] = []

    def instead(kernel: Any, grid: Any) -> Any:
        return lambda *args, **options: seen.append(kernel.fn.__name__)

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(triton.runtime.jit.JITFunction, "__getitem__", instead))
        stack.enter_context(mock.patch.object(torch.cuda, "device_of", return_value=contextlib.nullcontext()))
        for module in (counted, layers, statistics):
            stack.enter_context(mock.patch.object(module, "channels_for", return_value=channels_on_gpu))
        yield seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int32])
@pytest.mark.parametrize("triton", [True, False])
def test_a_sequential_takes_its_layers_together(
    triton: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "TRITON", triton)
    model = network()
    with FakeTensorMode(), torch.no_grad():
        model = on_fake_gpu(model)
        x = torch.empty(5, 2, 4, 6, 8, device="cuda:0", dtype=dtype)
        group = together.group_at(list(model), x)
        if not triton or dtype == torch.int32:
            assert group is None
            return
        assert group is not None
        assert group.size == 3
        if importlib.util.find_spec("triton") is not None:
            assert statistics.kernels_for(x).__name__ == "snnkit.kernels.norm_lif.on_gpu"
        model[0].weight = None
        del model[0].running_var
        model[0].running_var = torch.empty(4, device="cuda:0", dtype=torch.float64)
        assert together.group_at(list(model), x) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("before", [False, True])
def test_norm_and_neuron_are_few_launches(before: bool, train: bool, dtype: torch.dtype) -> None:
    """Two for statistics and what the norm multiplies and adds, one in evaluation, and one for the rest; one back, and
    three for the norm. Nothing comes to the host, which a tensor without memory would refuse."""
    if not layout.TRITON:
        pytest.skip("needs a newer triton: 3.4")
    model = network().to("meta").train(train)
    norm, neuron = model[0], model[1]
    x = torch.empty(5, 2, 4, 6, 8, device="meta", dtype=dtype, requires_grad=True)
    pool = op.Pool(2, 2, before)
    with watched_launches() as seen:
        params = neuron.params(x.detach()[..., ::2, ::2] if before else x.detach())
        values = norm.values(x.detach().flatten(0, 1))
        assert values.rate.dtype == torch.float32
        out, state = op.sequence(x, values, norm.gain, norm.bias, None, params, pool, True)
        assert (out.shape, out.dtype) == ((5, 2, 4, 3, 4), dtype)
        assert state.v.shape == ((2, 4, 3, 4) if before else (2, 4, 6, 8))
        forward = [*(["moments", "moments_end"] if train else ["terms"]), "forward"]
        assert seen == forward
        found = torch.autograd.grad(out.sum() + state.v.sum(), [x, *model.parameters()])
    assert seen == [*forward, "backward", "sums", "sums_end", "project"]
    assert [g.dtype for g in found] == [dtype, *[torch.float32] * 3]


def test_windows_that_are_too_large_go_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose states would not fit into registers."""
    monkeypatch.setattr(layout, "TRITON", True)
    model = snn.Sequential(snn.BatchNorm(4), snn.LIF(), snn.AvgPool2d((5, 4)))
    with FakeTensorMode(), torch.no_grad():
        model = on_fake_gpu(model)
        x = torch.empty(5, 2, 4, 20, 20, device="cuda:0")
        for height, size in ((5, 2), (4, 3)):
            model[2].kernel_size = model[2].stride = (height, 4)
            group = together.group_at(list(model), x)
            assert group is not None
            assert group.size == size
    assert op.Pool(5, 4).held(torch.empty(1, 1, 1, 20, 20))


@pytest.mark.parametrize("neuron", list(RECURRENT))
def test_a_recurrent_layer_takes_one_operator(neuron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "TRITON", True)
    name = {"LIF": "lif", "CubaLIF": "cubalif", "ALIF": "alif", "LI": "li"}[neuron]
    layer = snn.Recurrent.dense(getattr(snn, neuron)(), 6)
    with FakeTensorMode(), torch.no_grad(), Watch() as watch:
        layer = on_fake_gpu(layer)
        out = layer(torch.empty(4, 2, 6, device="cuda:0"))
        assert (out.shape, out.device.type) == ((4, 2, 6), "cuda")
        monkeypatch.setattr(layout, "TRITON", False)
        x = torch.empty(4, 2, 6, device="cuda:0")
        assert not recurrent.takes(x, layer.synapse.weight, layer.neuron.params(x))
    assert [seen for seen in watch.seen if seen.startswith("snnkit")] == [f"snnkit.recurrent_{name}.default"]


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("case", pairwise(NORM), ids=name_of)
def test_a_gpu_equals_the_cpu(case: dict[str, Any]) -> None:
    """From the same mean, rate, decay and threshold: spikes and states bit for bit, gradients to the tolerance."""
    pool = None if case["pool"] is None else op.Pool(*case["pool"], case["before"])
    results = []
    for device in ("cpu", "cuda"):
        x, norm, gain, bias, state, layer = tree_map(partial(_copy, device=device), norm_arguments(case))
        given = [x, *(v for v in (gain, bias, *tree_leaves(state)) if v is not None and v.is_floating_point())]
        given = [part.requires_grad_() for part in given] + list(layer.parameters())
        like = x.detach() if pool is None or not pool.before else x.detach()[..., :: pool.height, :: pool.width]
        params = tree_map(lambda t, to=device: t.to(to) if isinstance(t, Tensor) else t, layer.params(like.cpu()))
        out, final = op.sequence(x, norm, gain, bias, state, params, pool, case["once"])
        outputs = [out, *tree_leaves(final)]
        floats = [t for t in outputs if t.is_floating_point()]
        generator = torch.Generator().manual_seed(4)
        loss = sum((torch.randn(t.shape, generator=generator).to(t) * t).sum() for t in floats)
        results.append((outputs, torch.autograd.grad(loss, given)))  # type: ignore[arg-type]
    (expected, gradients), (found, found_gradients) = results
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.cpu(), b)
    for a, b in zip(found_gradients, gradients, strict=True):
        assert_close(a.cpu(), b, TOLERANCE[x.dtype], x)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("last", [False, True])
def test_training_mode_on_a_gpu(last: bool) -> None:
    """Statistics of the batch and running ones, beside the layers one by one there."""
    model, other = network(32).cuda(), torch.nn.Sequential(*network(32)).cuda()
    x = torch.randn(10, 4, 32, 16, 24, generator=torch.Generator().manual_seed(0)).cuda() * 2
    if last:
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    out, expected = model(x), other(x)
    assert (out != expected).float().mean() < 1e-4  # where rounding meets the threshold
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize(
    ("neuron", "case"),
    [
        (neuron, case)
        for neuron, options in RECURRENT.items()
        for case in pairwise(options, [name for name in options if name not in (*LATER, "bias")])
    ],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_a_recurrent_layer_on_a_gpu(neuron: str, case: dict[str, Any]) -> None:
    """Beside the loop there. The weights are multiples of 1/64, so that no sum of spikes rounds in any order."""
    _, batch, features = case["size"]
    case = case | {"features": (features,)}
    torch.manual_seed(0)
    layer = snn.Recurrent(build(neuron, case), snn.Linear(features, features, bias=case["bias"]))
    with torch.no_grad():
        for part in layer.synapse.parameters():
            part.copy_((part * 64).round() / 64)
    layer = layer.to("cuda", torch.float64 if case["dtype"] == torch.float64 else torch.float32)
    x = input_for(case, 20, batch).cuda()
    state = None
    if case["state"] == "given":
        state = tree_map(lambda t: t.detach().cuda(), random_state(layer, x.cpu()))
        state = state._replace(out=(state.out > 0).to(state.out.dtype))
        state = tree_map(lambda t: t.requires_grad_() if t.is_floating_point() else t, state)
    with reference_only():
        outputs, gradients = everything(layer, x, state)
    found, found_gradients = everything(layer, x, state)
    for a, b in zip(found, outputs, strict=True):
        if neuron == "LI":
            assert_close(a, b, TOLERANCE[x.dtype], x)
        else:
            assert torch.equal(a, b)
    for a, b in zip(found_gradients, gradients, strict=True):
        assert_close(a, b, TOLERANCE[x.dtype], x)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("what", ["norm", "recurrent"])
def test_a_gpu_run_repeats_itself_and_can_be_captured(what: str) -> None:
    """Sums come in a fixed order; nothing in a pass, forward or backward, waits for the device."""
    if what == "norm":
        model: Any = network(32).cuda()
        x = torch.randn(10, 4, 32, 16, 24, device="cuda", requires_grad=True)
    else:
        model = snn.Recurrent.dense(snn.CubaLIF(learn_decay=True, refractory=1), 256).cuda()
        x = torch.randn(20, 16, 256, device="cuda", requires_grad=True)

    def step() -> list[Tensor]:
        out = model(x)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), [x, *model.parameters()])]

    first = step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        second = step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    graph.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(captured, first))
