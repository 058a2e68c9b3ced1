"""Norm, LIF and pool in one kernel: what it rounds in bfloat16, and its gradients by finite differences.

That it gives what the layers give one by one is tested with them, in tests/nn/test_sequential.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from snnkit.kernels.lif.reference import LIFParams
from snnkit.kernels.norm_lif.op import Pool, sequence
from snnkit.kernels.norm_lif.statistics import Norm
from snnkit.surrogate import get

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
