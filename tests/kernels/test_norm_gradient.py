"""The gradient of a batch norm: with the channels first torch's bits, with the channels last by its equation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import nn as snn
from snnkit.kernels.layout import Layout, prepare
from snnkit.kernels.norm_lif import gradient
from snnkit.kernels.norm_lif.gradient import of_batch, takes


def last(*shape: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """[T, B, C, H, W] with the channels last in memory."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


def flat(x: torch.Tensor) -> tuple[torch.Tensor, Layout]:
    return prepare(x, low=True)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 4e-3)]
)
@pytest.mark.parametrize("shape", [(3, 1, 5, 2, 3), (5, 8, 32, 24, 24), (1, 2, 700, 3, 2), (7, 1, 3, 61, 37)])
@pytest.mark.parametrize("affine", [True, False])
def test_by_its_equation(dtype: torch.dtype, tolerance: float, shape: tuple[int, ...], affine: bool) -> None:
    """And in the place of what came in."""
    x, grad = last(*shape, dtype=dtype, seed=0) * 2 + 1, last(*shape, dtype=dtype, seed=1)
    number = torch.float64 if dtype == torch.float64 else torch.float32
    exact = x.double().flatten(0, 1).requires_grad_()
    var, mean = torch.var_mean(exact, (0, 2, 3), correction=0)
    rate = (var + 1e-5).rsqrt()
    gain = torch.rand(shape[2], dtype=number, generator=torch.Generator().manual_seed(2)) + 0.5 if affine else None
    weight = torch.ones(shape[2], dtype=torch.float64) if gain is None else gain.double()
    weight.requires_grad_()
    bias = torch.zeros_like(weight, requires_grad=True)
    y = torch.nn.functional.batch_norm(exact, None, None, weight, bias, True, 0.0, 1e-5)
    expected = torch.autograd.grad(y, [exact, weight, bias], grad.double().flatten(0, 1))
    size = grad[:, :, 0].numel() ** 0.5
    (values, layout), (place, _) = flat(x), flat(grad)
    assert takes(values, layout)
    rates = mean.detach().to(number), rate.detach().to(number)
    found = of_batch(place, values, layout, *rates, gain, place)
    assert found[0] is place
    grad_x = layout.restore(place).flatten(0, 1)
    assert [v.dtype for v in (grad_x, *found[1:])] == [dtype, number, number]
    for value, should, sizes in zip((grad_x, *found[1:]), expected, (1.0, size, size)):
        rounding = tolerance if value is grad_x else min(tolerance, 1e-6)
        torch.testing.assert_close(value.double(), should, rtol=rounding, atol=8 * rounding * sizes)


@settings(max_examples=60)
@given(st.tuples(*(st.integers(1, n) for n in (4, 3, 20, 9, 9))), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_the_bits_of_torch_with_the_channels_first(
    shape: tuple[int, ...], affine: bool, in_place: bool, seed: int
) -> None:
    if gradient.arithmetic() is None:
        pytest.skip("torch's batch norm adds up in none of the ways that are known")
    generator = torch.Generator().manual_seed(seed)
    x, grad = (torch.randn(shape, generator=generator) * 3 + 1 for _ in range(2))
    mean, rate, gain = (torch.rand(shape[2], generator=generator) + 0.3 for _ in range(3))
    weight = gain if affine else None
    expected = torch.ops.aten.native_batch_norm_backward(
        grad.flatten(0, 1), x.flatten(0, 1), weight, None, None, mean, rate, True, 1e-5, [True, True, True]
    )
    (values, layout), (given_grad, _) = flat(x), flat(grad)
    assert takes(values, layout) == (shape[3] * shape[4] > 1)
    if not takes(values, layout):
        return
    out = given_grad if in_place else torch.empty_like(values)
    found = of_batch(given_grad, values, layout, mean, rate, weight, out)
    assert torch.equal(layout.restore(out).flatten(0, 1), expected[0])
    assert all(map(torch.equal, found[1:], expected[1:]))
    assert of_batch(given_grad, values, layout, mean, rate, weight, None)[0] is None


def test_the_bits_of_torch_in_large() -> None:
    """Rows longer than a tile, several threads, and what is no number."""
    if gradient.arithmetic() is None:
        pytest.skip("torch's batch norm adds up in none of the ways that are known")
    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(4, 3, 17, 41, 37, generator=generator) for _ in range(2))
    x[0, 0, 3, 0, 0], grad[1, 1, 4, 0, 0] = float("inf"), float("nan")
    layers = [snn.BatchNorm(17), torch.nn.BatchNorm2d(17)]
    results = []
    for layer in layers:
        leaf = x.clone().requires_grad_()
        y = layer(leaf) if layer is layers[0] else layer(leaf.flatten(0, 1)).unflatten(0, x.shape[:2])
        results.append([y, *torch.autograd.grad(y, [leaf, layer.weight, layer.bias], grad)])
    assert type(results[0][0].grad_fn).__name__ == "_BatchNormBackward"
    for a, b in zip(*results):
        assert torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))


def test_what_lies_otherwise_is_not_taken() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        assert not takes(*flat(torch.zeros(2, 3, 4, 5, 6, dtype=dtype)))
    assert not takes(*flat(torch.zeros(2, 3, 4)))
    assert not takes(*flat(last(2, 3, 4, 1, 1, dtype=torch.float32, seed=0)))
