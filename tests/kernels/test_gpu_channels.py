"""A batch norm's statistics and gradient on a GPU: equal to float64, repeatable, and without a wait for the device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from snnkit import nn as snn

from .channels import CASES, LARGE, check, check_alone, check_edges, check_running
from .covering import pairwise
from .options import name_of
from .test_gpu_around import needs_gpu

pytestmark = [pytest.mark.gpu, needs_gpu]


@pytest.mark.parametrize("case", [*pairwise(CASES), *pairwise(LARGE)], ids=name_of)
def test_a_gpu_equals_float64(case: dict[str, Any]) -> None:
    check(case, "cuda")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("order", ["first", "last"])
def test_the_layer_alone(order: str, dtype: torch.dtype) -> None:
    check_alone(order, dtype, "cuda")


def test_edges_and_running_statistics() -> None:
    check_edges("cuda")
    check_running("cuda")


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_alone_and_around_a_neuron_are_the_same(dtype: torch.dtype, last: bool) -> None:
    """The layers one by one, the norm by its own kernel: the same bits."""
    x = torch.randn(10, 4, 32, 16, 24, generator=torch.Generator().manual_seed(0)).cuda().to(dtype) * 2
    if last:
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    model = snn.Sequential(snn.BatchNorm(32), snn.LIF(threshold=0.7), snn.AvgPool2d(2)).cuda()
    leaves = [x.clone(memory_format=torch.preserve_format).requires_grad_() for _ in range(2)]
    norm = model[0]
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5, generator=torch.Generator("cuda").manual_seed(0))
    one = model(leaves[0])
    each = model[2](model[1](norm(leaves[1])))
    assert torch.equal(one, each)
    assert norm(x).dtype == dtype
    found = [
        torch.autograd.grad(out.square().sum(), [leaf, *norm.parameters()]) for out, leaf in zip((one, each), leaves)
    ]
    for a, b in zip(*found, strict=True):
        assert (a.double() - b.double()).abs().max() <= (
            1e-2 if dtype == torch.bfloat16 else 1e-5
        ) * b.double().abs().max()


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_a_run_repeats_itself_and_can_be_captured(last: bool, lengths: bool) -> None:
    """The norm alone, forward and backward; sums come in a fixed order."""
    norm = snn.BatchNorm(48).cuda()
    x = torch.randn(16, 20, 48, 17, 20, generator=torch.Generator().manual_seed(0)).cuda()
    if last:
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    x.requires_grad_()
    many = torch.arange(20, device="cuda") % 16 + 1

    def step() -> list[Tensor]:
        with snn.valid_lengths(norm, many if lengths else None):
            out = norm(x)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), [x, *norm.parameters()])]

    first = step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        second = step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
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
    assert all(torch.equal(a, b) for a, b in zip(captured, first, strict=True))


def test_second_derivatives_of_the_layer_alone() -> None:
    norm = snn.BatchNorm(3).cuda().double()
    x = torch.randn(2, 2, 3, 4, device="cuda", dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: norm(x), (x,), nondet_tol=1e-9)
