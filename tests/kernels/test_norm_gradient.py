"""The gradient of a batch norm with its channels last: by its equation in float64, and in the place of what came in."""

from __future__ import annotations

import pytest
import torch

from snnkit.kernels.norm_lif.gradient import of_batch, takes


def last(*shape: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 4e-3)]
)
@pytest.mark.parametrize("shape", [(3, 5, 2, 3), (40, 32, 24, 24), (2, 700, 3, 2), (7, 3, 61, 37)])
@pytest.mark.parametrize("affine", [True, False])
def test_by_its_equation(dtype: torch.dtype, tolerance: float, shape: tuple[int, ...], affine: bool) -> None:
    x, grad = last(*shape, dtype=dtype, seed=0) * 2 + 1, last(*shape, dtype=dtype, seed=1)
    assert takes(grad, x)
    number = torch.float64 if dtype == torch.float64 else torch.float32
    exact = x.double().requires_grad_()
    var, mean = torch.var_mean(exact, (0, 2, 3), correction=0)
    rate = (var + 1e-5).rsqrt()
    gain = torch.rand(shape[1], dtype=number, generator=torch.Generator().manual_seed(2)) + 0.5 if affine else None
    weight = torch.ones(shape[1], dtype=torch.float64) if gain is None else gain.double()
    weight.requires_grad_()
    bias = torch.zeros_like(weight, requires_grad=True)
    y = torch.nn.functional.batch_norm(exact, None, None, weight, bias, True, 0.0, 1e-5)
    expected = torch.autograd.grad(y, [exact, weight, bias], grad.double())
    place = grad.data_ptr()
    found = of_batch(grad, x, mean.detach().to(number), rate.detach().to(number), gain)
    assert found[0].data_ptr() == place
    assert [v.dtype for v in found] == [dtype, number, number]
    for value, should, size in zip(found, expected, (1.0, grad[:, 0].numel() ** 0.5, grad[:, 0].numel() ** 0.5)):
        rounding = tolerance if value is found[0] else min(tolerance, 1e-6)
        torch.testing.assert_close(value.double(), should, rtol=rounding, atol=8 * rounding * size)


def test_what_lies_otherwise_is_not_taken() -> None:
    x = last(2, 3, 4, 5, dtype=torch.float32, seed=0)
    assert not takes(x.contiguous(), x)
    assert not takes(x, x.contiguous())
    assert not takes(x.bfloat16(), x)
    assert not takes(x[:, :1], x[:, :1])
