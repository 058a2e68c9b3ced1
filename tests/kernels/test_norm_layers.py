"""Batch norm and average pooling as layers of their own: what torch's operators give, and every derivative."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.kernels import reference_only
from snnkit.kernels.norm_lif import gradient, layers
from snnkit.kernels.norm_lif.op import Pool

ORDERS = {"first": (0, 1, 2, 3, 4), "last": (0, 1, 4, 2, 3)}


def frames(order: str, *shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """[T, B, C, H, W] with its channels first or last in memory."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    permuted = [ORDERS["last"].index(d) for d in range(5)] if order == "last" else list(range(5))
    return x.permute(permuted).contiguous().permute(ORDERS[order])


def leaf(x: Tensor) -> Tensor:
    return x.detach().clone(memory_format=torch.preserve_format).requires_grad_()


@settings(max_examples=40)
@given(
    st.tuples(*(st.integers(1, n) for n in (3, 3, 6, 5, 5))),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from(list(ORDERS)),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_pooling_has_the_bits_of_torch(
    shape: tuple[int, ...], window: tuple[int, int], order: str, dtype: torch.dtype
) -> None:
    shape = (*shape[:3], shape[3] * window[0], shape[4] * window[1])
    x = frames(order, *shape, dtype=dtype)
    results = []
    for pool in (snn.AvgPool2d(window), nn.AvgPool2d(window)):
        given_x = leaf(x)
        ours = isinstance(pool, snn.AvgPool2d)
        y = pool(given_x) if ours else pool(given_x.flatten(0, 1)).unflatten(0, shape[:2])
        up = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        results.append((y, *torch.autograd.grad(y, given_x, up)))
    assert layers.can_run(x)
    for a, b in zip(*results):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def test_large_frames_on_several_threads() -> None:
    x = frames("first", 3, 4, 5, 66, 78)
    ours, theirs = leaf(x), leaf(x)
    y = snn.AvgPool2d((3, 2))(ours)
    expected = nn.functional.avg_pool2d(theirs.flatten(0, 1), (3, 2)).unflatten(0, (3, 4))
    assert type(y.grad_fn).__name__ == "_AvgPoolBackward"
    assert torch.equal(y, expected)
    y.square().sum().backward()
    expected.square().sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


def test_windows_that_do_not_cover_the_frame_are_torch_s() -> None:
    x = frames("first", 2, 3, 4, 5, 7)
    for pool in (
        snn.AvgPool2d(2),
        snn.AvgPool2d(2, stride=1),
        snn.AvgPool2d(3, padding=1),
        snn.AvgPool2d(2, 2, 0, True),
    ):
        assert pool.windows(x) is None
        expected = nn.AvgPool2d.forward(pool, x.flatten(0, 1)).unflatten(0, (2, 3))
        assert torch.equal(pool(x), expected)
    assert snn.AvgPool2d((5, 7)).windows(x) == Pool(5, 7)


@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize(
    "make", [lambda: snn.BatchNorm(4, track_running_stats=False), lambda: snn.AvgPool2d(2)], ids=["norm", "pool"]
)
def test_derivatives_of_any_kind(make: object, order: str) -> None:
    """Second derivatives, several gradients at once, forward mode and vmap equal those of torch's operators."""
    layer = make()  # type: ignore[operator]
    x, tangent = (frames(order, 2, 3, 4, 2, 4, dtype=torch.float64, seed=k) for k in range(2))
    layer = layer.double()

    def loss(x: Tensor) -> Tensor:
        return layer(x).pow(3).sum()

    def everything() -> list[Tensor]:
        given_x = leaf(x)
        (first,) = torch.autograd.grad(loss(given_x), given_x, create_graph=True)
        (second,) = torch.autograd.grad((first * tangent).sum(), given_x)
        y = layer(given_x).flatten()[:3]
        several = torch.autograd.grad(y, given_x, torch.eye(3, dtype=y.dtype), is_grads_batched=True)[0]
        forward = torch.func.jvp(loss, (x,), (tangent,))[1]
        mapped = torch.func.vmap(torch.func.grad(lambda v: loss(v[None].expand_as(x) * x)))(x)
        return [first, second, several, forward, mapped]

    found = everything()
    with reference_only():
        expected = everything()
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("order", list(ORDERS))
def test_norm_is_torch_s_with_a_gradient_at_least_as_exact(order: str, affine: bool, dtype: torch.dtype) -> None:
    x = frames(order, 4, 3, 5, 6, 7, dtype=dtype) * 2 + 0.5
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    ours = snn.BatchNorm(5, affine=affine, dtype=kind)
    theirs, exact = nn.BatchNorm2d(5, affine=affine, dtype=kind), nn.BatchNorm2d(5, affine=affine).double()
    given_x, other, precise = leaf(x), leaf(x), leaf(x.double())
    y = ours(given_x)
    expected = theirs(other.flatten(0, 1)).unflatten(0, x.shape[:2])
    assert torch.equal(y, expected)
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    up = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    parameters = list(ours.parameters())
    found = torch.autograd.grad(y, [given_x, *parameters], up)
    should = torch.autograd.grad(
        exact(precise.flatten(0, 1)), [precise, *exact.parameters()], up.double().flatten(0, 1)
    )
    tolerance = {torch.float32: 2e-6, torch.float64: 1e-12, torch.bfloat16: 1e-2}[dtype]
    for a, b in zip(found, should):
        torch.testing.assert_close(a.double(), b, rtol=tolerance, atol=tolerance * 4)


def test_a_gradient_that_others_use_too_is_not_written_over() -> None:
    x = frames("last", 2, 2, 3, 4, 4)
    layer, skipped = snn.BatchNorm(3), leaf(x)
    given_x = leaf(x)
    up = frames("last", 2, 2, 3, 4, 4, seed=3)
    kept = up.clone()
    y = layer(given_x) + skipped
    torch.autograd.backward(y, up)
    assert torch.equal(up, kept)
    assert skipped.grad is not None
    assert torch.equal(skipped.grad, kept)


UNUSUAL = {
    "one column, channels inside": lambda: torch.randn(2, 3, 6, 4).transpose(2, 3).unsqueeze(-1),
    "one row, channels inside": lambda: torch.randn(2, 3, 6, 4).transpose(2, 3).unsqueeze(-2),
    "one image": lambda: torch.randn(1, 1, 4, 6, 5),
    "one image, channels last": lambda: frames("last", 1, 1, 4, 6, 4),
    "one channel": lambda: torch.randn(2, 3, 6, 4, 1).permute(0, 1, 4, 2, 3),
}
"""Sizes of 1, whose strides mean nothing."""


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", list(UNUSUAL))
def test_strides_that_mean_nothing(name: str, again: bool) -> None:
    """As the same numbers in one piece, alone and as one with a neuron, second derivatives asked for or not."""
    torch.manual_seed(0)
    x = UNUSUAL[name]()
    window = tuple(2 if size % 2 == 0 else 1 for size in x.shape[3:])
    blocks = {
        "pool": lambda: nn.Sequential(snn.AvgPool2d(window)),
        "norm": lambda: nn.Sequential(snn.BatchNorm(x.shape[2])),
        "group": lambda: snn.Sequential(snn.BatchNorm(x.shape[2]), snn.LIF(threshold=0.5), snn.AvgPool2d(window)),
    }
    for kind, make in blocks.items():
        results = []
        for given_x in (leaf(x), leaf(x.contiguous())):
            torch.manual_seed(1)
            y = make()(given_x)
            up = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
            (grad,) = torch.autograd.grad(y, given_x, up, create_graph=again and kind != "group")
            results.append((y.detach(), grad.detach()))
        torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [lambda: snn.BatchNorm(4), lambda: snn.AvgPool2d(2), lambda: snn.Sequential(snn.BatchNorm(4), snn.LIF())],
    ids=["norm", "pool", "group"],
)
def test_outputs_can_be_written_in_place(make: object) -> None:
    given_x, other = leaf(frames("first", 2, 3, 4, 2, 4)), leaf(frames("first", 2, 3, 4, 2, 4))
    found = make()(given_x).mul_(2).relu_()  # type: ignore[operator]
    expected = make()(other).mul(2).relu()  # type: ignore[operator]
    found.sum().backward()
    expected.sum().backward()
    assert torch.equal(found, expected)
    assert given_x.grad is not None
    assert other.grad is not None
    assert torch.equal(given_x.grad, other.grad)


def test_pools_export_with_any_size() -> None:
    side = torch.export.Dim("side", min=4, max=64)
    exported = torch.export.export(snn.AvgPool2d(2), (torch.randn(2, 1, 3, 8, 8),), dynamic_shapes=({3: side},))
    x = torch.randn(2, 1, 3, 10, 8)
    assert torch.equal(exported.module()(x), snn.AvgPool2d(2)(x))


def test_defaults_of_torch_change_nothing() -> None:
    """The default device and dtype of tensors that are made along the way."""
    script = """
import sys, torch
from snnkit import nn as snn
x = torch.randn(4, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
results = []
layers = [torch.nn.Sequential(snn.BatchNorm(3), snn.AvgPool2d(2)), snn.Sequential(snn.BatchNorm(3), snn.LIF()),
          snn.BatchNorm(3, momentum=None)]
if sys.argv[1] == "meta":
    torch.set_default_device("meta")
else:
    torch.set_default_dtype(torch.float64)
for layer in layers:
    for dtype in (torch.float32, torch.bfloat16):
        given = x.to(dtype).permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3).requires_grad_()
        y = layer(given)
        y.backward(y.detach())
        assert given.grad.abs().sum() > 0 or layer is layers[1]
from snnkit.kernels.norm_lif import gradient
print(gradient.arithmetic())
"""
    found = {
        subprocess.run([sys.executable, "-c", script, kind], capture_output=True, text=True, check=True).stdout
        for kind in ("meta", "float64")
    }
    assert found == {f"{gradient.arithmetic()}\n"}


def test_a_factor_in_another_dtype_is_refused_as_by_torch() -> None:
    layer = snn.ThresholdBatchNorm(3, affine=False, track_running_stats=False).bfloat16()
    x = frames("first", 2, 3, 3, 4, 4)
    for block in (layer, snn.Sequential(layer, snn.LIF())):
        with pytest.raises(RuntimeError, match="mixed dtype|[Ee]xpected"):
            block(x)
