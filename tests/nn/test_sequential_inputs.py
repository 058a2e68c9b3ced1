"""`snn.Sequential` with norm, neuron and pool as one: inputs that are empty or strided; derivatives of any kind."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from snnkit import nn as snn
from snnkit.errors import ShapeError
from snnkit.kernels import reference_only


def block(train: bool = True) -> snn.Sequential:
    torch.manual_seed(0)
    model = snn.Sequential(snn.BatchNorm(3), snn.LIF(tau=3.0, learn_decay=True), snn.AvgPool2d(2))
    with torch.no_grad():
        for value in (model[0].weight, model[0].bias, model[0].running_mean, model[0].running_var):
            value.add_(torch.rand(3) - 0.3)  # type: ignore[union-attr]
    return model.train(train)


def stimulus(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5)) + 0.3


STRIDED = {
    "batch first": lambda: stimulus(5, 4, 3, 4, 6).transpose(0, 1),
    "every other": lambda: stimulus(4, 5, 3, 4, 12)[..., ::2],
    "backwards": lambda: stimulus(4, 5, 3, 4, 6).flip(0)[:, 1:],
    "channels last": lambda: stimulus(4, 5, 4, 6, 3).permute(0, 1, 4, 2, 3),
    "the same at every step": lambda: stimulus(1, 5, 3, 4, 6).expand(4, 5, 3, 4, 6),
    "the same in every channel": lambda: stimulus(4, 5, 1, 4, 6).expand(4, 5, 3, 4, 6),
    "one number": lambda: torch.tensor(0.4).expand(4, 5, 3, 4, 6),
    "one step of one image": lambda: stimulus(1, 1, 3, 4, 6),
}


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", list(STRIDED))
def test_any_strides(name: str, train: bool) -> None:
    """Outputs bit for bit those of the layers one by one, gradients too, up to another order of adding."""
    model = block(train)
    other = nn.Sequential(*copy.deepcopy(list(model))).train(train)
    results = []
    for each in (model, other):
        x = STRIDED[name]().detach().requires_grad_()
        out = each(x)
        grads = torch.autograd.grad(out, [x, *each.parameters()], torch.tensor(0.5).expand_as(out))
        results.append((out, grads, list(each.state_dict().values())))
    (out, grads, kept), (expected, other_grads, other_kept) = results
    assert torch.equal(out, expected)
    assert all(torch.equal(a, b) for a, b in zip(kept, other_kept, strict=True))
    for a, b in zip(grads, other_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_no_steps_are_refused_and_no_samples_are_none() -> None:
    model = block(False)
    with pytest.raises(ShapeError, match="at least one time step"):
        model(torch.zeros(0, 2, 3, 4, 4))
    x = torch.zeros(4, 0, 3, 4, 4, requires_grad=True)
    out = model(x)
    assert out.shape == (4, 0, 3, 2, 2)
    out.sum().backward()
    assert x.grad is not None
    with pytest.raises(ShapeError, match="more than one value"):
        block()(torch.zeros(4, 0, 3, 4, 4))


@pytest.mark.parametrize("train", [True, False])
def test_forward_mode_and_second_derivatives(train: bool) -> None:
    """Against the reverse mode of the kernel, second derivatives by the reference."""
    model = block(train)
    x, tangent, weight = (stimulus(3, 2, 3, 2, 2).roll(k, 0) for k in range(3))
    weight = weight[..., :1, :1]
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(model(leaf), leaf, weight)
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(model(forward_ad.make_dual(x, tangent)))
    assert dual.tangent is not None
    torch.testing.assert_close((dual.tangent * weight).sum(), (grad * tangent).sum(), rtol=1e-4, atol=1e-4)
    with reference_only():
        (first,) = torch.autograd.grad(model(leaf).square().sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), leaf)
    assert second.isfinite().all()
