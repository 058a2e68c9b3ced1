"""Norm, LIF and pool in one kernel: what it rounds in bfloat16, and its gradients by finite differences.

That it gives what the layers give one by one is tested with them, in tests/nn/test_sequential.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.errors import UsageError
from snnkit.kernels.lif.reference import LIFParams, LIFState, step
from snnkit.kernels.norm_lif.op import Pool, sequence
from snnkit.kernels.norm_lif.statistics import Norm, from_batch, from_running
from snnkit.kernels.sequence import run_steps
from snnkit.surrogate import SURROGATES, Smooth, get

from .covering import pairwise
from .options import name_of

CHANNELS = 4


def images(shape: tuple[int, ...], last: bool, dtype: torch.dtype) -> Tensor:
    """Random [T, B, C, H, W] in either order of memory."""
    x = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1.5).to(dtype)
    return x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3) if last else x


def params(dtype: torch.dtype = torch.float32, **options: Any) -> LIFParams:
    values = {"decay": torch.tensor(0.75), "threshold": torch.tensor(1.0)}
    values = {name: value.to(dtype) for name, value in values.items()}
    given = {"reset_to_zero": True, "detach_reset": True, "refractory": 0, "surrogate": get("arctan"), **values}
    return LIFParams(**(given | options))


def plain_norm(dtype: torch.dtype = torch.float32) -> Norm:
    """Mean 0 and variance 1, so that gain and bias are what is multiplied and added."""
    none, one = torch.zeros(CHANNELS, dtype=dtype), torch.ones(CHANNELS, dtype=dtype)
    return Norm(none, one, (none, one), 0.0)


def mean(x: Tensor, pool: Pool) -> Tensor:
    """Average pooling in bfloat16: the sum in float32, one pixel after the other."""
    h, w = pool.height, pool.width
    windows = x.float().unflatten(-2, (-1, h)).unflatten(-1, (-1, w))
    total = torch.zeros(windows.shape[:-3] + windows.shape[-2:-1])
    for r in range(h):
        for q in range(w):
            total = total + windows[..., r, :, q]
    return (total / (h * w)).bfloat16()


def part(grad: Tensor, pool: Pool) -> Tensor:
    """The gradient of `mean`."""
    each = (grad.float() / (pool.height * pool.width)).bfloat16()
    return each.repeat_interleave(pool.height, -2).repeat_interleave(pool.width, -1)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("pool", [None, Pool(2, 2), Pool(3, 1), Pool(2, 2, before=True), Pool(3, 2, before=True)])
def test_bfloat16_is_rounded_where_it_would_be_kept(pool: Pool | None, last: bool) -> None:
    """In float32, rounded behind the norm and behind the pool; on the way back in front of each of them."""
    x = images((7, 3, CHANNELS, 6, 12), last, torch.bfloat16).requires_grad_()
    gain = torch.tensor([0.5, 1.25, 1.0, -0.75])
    bias = torch.tensor([0.25, 0.0, -0.125, 0.5])
    out, state = sequence(x, plain_norm(), gain, bias, None, params(), pool, True)
    assert state is not None
    grad, grad_v = torch.randn(out.shape).bfloat16(), torch.randn(state.v.shape)
    (found,) = torch.autograd.grad([out, state.v], x, [grad, grad_v])
    assert out.dtype == found.dtype == torch.bfloat16
    assert state.v.dtype == torch.float32

    wide = [-1, 1, 1]
    y = (x.detach().float() * gain.view(wide) + bias.view(wide)).bfloat16()
    before = pool is not None and pool.before
    current = mean(y, pool) if before else y
    decay, threshold = 0.75, 1.0
    v, us, spikes = torch.zeros(current.shape[1:]), [], []
    for now in current.float():
        u = decay * v + now
        us.append(u)
        spikes.append((u >= threshold).float())
        v = torch.where(u >= threshold, 0.0, u)
    s = torch.stack(spikes).bfloat16()
    assert torch.equal(state.v, v)
    assert torch.equal(out, s if pool is None or before else mean(s, pool))
    gs = grad if pool is None or before else part(grad, pool)
    grads, gv = [], grad_v
    for u, g in zip(us[::-1], gs.float().unbind(0)[::-1]):
        gu = torch.where(u >= threshold, 0.0, gv) + g * get("arctan").derivative(u - threshold)
        gv = decay * gu
        grads.append(gu)
    gy = torch.stack(grads[::-1]).bfloat16()
    gy = part(gy, pool) if before and pool is not None else gy
    assert torch.equal(found, (gy.float() * gain.view(wide)).bfloat16())


class SmoothForward(torch.autograd.Function):
    """The smooth layers one by one, with the kernel's gradient.

    Where the reset is detached it follows the step in both, so that membranes are equal and the kernel's gradient has
    to be the derivative of the ramps.
    """

    @staticmethod
    def forward(ctx: Any, smooth: Any, fused: Any, *inputs: Tensor) -> Any:
        ctx.fused = fused
        ctx.save_for_backward(*inputs)
        return smooth(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        inputs = [t.detach().requires_grad_() for t in ctx.saved_tensors]
        with torch.enable_grad():
            outputs = ctx.fused(*inputs)
        return None, None, *torch.autograd.grad(outputs, inputs, grads)


CASES = pairwise(
    {
        "pool": (None, Pool(2, 2), Pool(1, 2, before=True), Pool(2, 1)),
        "surrogate": tuple(SURROGATES),
        "reset_to_zero": (True, False),
        "refractory": (0, 1),
        "train": (True, False),
        "last": (False, True),
    }
)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_gradients_are_those_of_finite_differences(case: dict[str, Any]) -> None:
    """Of outputs and final states with respect to input, norm, initial state, decay and threshold, in float64."""
    pool, train, surrogate = case["pool"], case["train"], get(case["surrogate"])
    options = {"reset_to_zero": case["reset_to_zero"], "refractory": case["refractory"]}
    x = images((4, 2, CHANNELS, 2, 2), case["last"], torch.float64)
    mean, var = torch.linspace(-0.2, 0.2, CHANNELS).double(), torch.linspace(0.5, 1.5, CHANNELS).double()
    generator = torch.Generator().manual_seed(1)
    gain, bias, decay, threshold = (
        torch.rand(CHANNELS, generator=generator).double() + k for k in (0.8, -0.2, 0.0, 0.3)
    )
    before = pool is not None and pool.before
    v0 = torch.randn(pool.shape(x)[1:] if before else x.shape[1:], generator=generator).double() * 0.4
    fired = []

    def layers(values: LIFParams, v0: Tensor) -> tuple[LIFParams, LIFState]:
        each = [p.view(-1, 1, 1) for p in values[:2]]
        return values._replace(decay=each[0], threshold=each[1]), LIFState(v0, torch.zeros(v0.shape, dtype=torch.int32))

    def pooled(x: Tensor) -> Tensor:
        return x if pool is None else F.avg_pool2d(x.flatten(0, 1), pool[:2]).unflatten(0, x.shape[:2])

    def smooth(x: Tensor, gain: Tensor, bias: Tensor, v0: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        given, state = layers(params(decay=values[0], threshold=values[1], surrogate=Smooth(surrogate), **options), v0)
        kept = (None, None) if train else (mean, var)
        y = F.batch_norm(x.flatten(0, 1), *kept, gain, bias, train, 0.0, 1e-5).unflatten(0, x.shape[:2])
        out, final = run_steps(step, pooled(y) if before else y, state, given)
        return out if before else pooled(out), final.v

    def fused(x: Tensor, gain: Tensor, bias: Tensor, v0: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        given, state = layers(params(decay=values[0], threshold=values[1], surrogate=surrogate, **options), v0)
        flat = x.detach().flatten(0, 1)
        norm = from_batch(flat, None, 0.0, 1e-5) if train else from_running(mean, var, 1e-5)
        out, final = sequence(x, norm, gain, bias, state, given, pool, True)
        assert final is not None
        fired.append(out.detach())
        return out, final.v

    inputs = [t.detach().requires_grad_() for t in (x, gain, bias, v0, decay, threshold)]
    assert torch.autograd.gradcheck(lambda *t: SmoothForward.apply(smooth, fused, *t), inputs, eps=1e-7, atol=1e-6)
    assert 0 < fired[0].mean() < 0.9


def test_several_gradients_at_once_are_refused() -> None:
    x = images((2, 1, CHANNELS, 2, 2), False, torch.float32)

    def run(x: Tensor) -> Tensor:
        return sequence(x, plain_norm(), None, None, None, params(), None, True, False)[0]

    assert torch.autograd.functional.jacobian(run, x).shape == x.shape + x.shape
    with pytest.raises(UsageError, match="one gradient"):
        torch.autograd.functional.jacobian(run, x, vectorize=True)
