"""A batch norm by the values that count: against torch in float64, in any layout; its kernels and its plain form."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from snnkit import nn as snn
from snnkit.kernels import layout
from snnkit.kernels.norm_lif import counted, op
from snnkit.kernels.norm_lif.counted import Counted, from_counted
from snnkit.kernels.state import state_dtype

from .test_gpu import no_gpu
from .test_gpu_around import network, watched_launches

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12, torch.bfloat16: 8e-3}
"""Of values and of the gradient of x, relative to the largest; bfloat16's is its last bit."""


def apart(found: Tensor, expected: Tensor) -> float:
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    return float((found.double() - expected.double()).abs().max()) / scale


def exactly(x: Tensor, g: Tensor, gain: Tensor | None, bias: Tensor | None, mask: Tensor) -> dict[str, Tensor]:
    """By torch's own norm in float64, of the samples [N] that count alone; the others get its scale and shift."""
    held = [t.detach().double().requires_grad_() for t in (x, gain, bias) if t is not None]
    wide, given = held[0], iter(held[1:])
    weights = [None if v is None else next(given) for v in (gain, bias)]
    y = torch.empty_like(wide)
    y[mask] = F.batch_norm(wide[mask], None, None, *weights, True, 0.0, 1e-5)
    var, mean = torch.var_mean(wide[mask].transpose(0, 1).flatten(1), 1, correction=0)
    fixed = (mean.detach(), var.detach(), *(w if w is None else w.detach() for w in weights))
    y[~mask] = F.batch_norm(wide[~mask], *fixed)
    found = torch.autograd.grad(y, held, g.double())
    return {"y": y.detach(), "mean": mean.detach(), "x": found[0], "own": torch.stack(found[1:]) if held[1:] else mean}


@settings(max_examples=60)
@given(data=st.data())
def test_values_and_gradients_against_torch_in_float64(data: st.DataObject) -> None:
    draw = data.draw
    samples, channels = draw(st.integers(1, 40)), draw(st.sampled_from([1, 2, 3, 8, 31, 600]))
    pixels = draw(st.sampled_from([(), (5,), (1, 1), (3, 4), (17, 37)]))
    dtype = draw(st.sampled_from(list(TOLERANCE)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    x, g = (torch.randn(samples, channels, *pixels, generator=generator) for _ in range(2))
    x = (x * 2 + draw(st.sampled_from([0.0, 1.0, 30.0]))).to(dtype)
    if len(pixels) == 2 and draw(st.booleans()):
        x = x.contiguous(memory_format=torch.channels_last)
    g = torch.empty_like(x).copy_(g)
    kind = state_dtype(x)
    gain, bias = (
        torch.rand(channels, generator=generator).to(kind) + 0.5 if draw(st.booleans()) else None for _ in range(2)
    )
    mask = torch.rand(samples, generator=generator) < draw(st.sampled_from([0.5, 1.1]))
    mask[0] = True
    if int(mask.sum()) * x[0, 0].numel() < 2:
        return
    expected = exactly(x, g, gain, bias, mask)
    garbage = torch.where(mask.view(-1, *[1] * (x.dim() - 1)), x, torch.nan)
    norm, mean, _ = from_counted(garbage if draw(st.booleans()) else x, mask, 1e-5)
    assert apart(mean, expected["mean"]) < 1e-12 or dtype != torch.float64
    scale, shift = (v.view(-1, *[1] * len(pixels)) for v in norm.terms(gain, bias))
    assert scale.dtype == kind
    # x·scale + shift in x's precision loses what both have in common
    common = max(1.0, float((x.double() * scale).abs().max()))
    assert apart(x.to(kind) * scale + shift, expected["y"]) < min(TOLERANCE[dtype], 2e-6) * common
    want = (True, gain is not None, bias is not None)
    found = norm.of_images(g.clone(memory_format=torch.preserve_format), x, gain, want)
    assert found[0] is not None
    assert (found[0].dtype, found[0].stride()) == (dtype, x.stride())
    size = mask.sum() * x[0, 0].numel()
    assert apart(found[0], expected["x"]) < TOLERANCE[dtype] * max(1.0, float(scale.max()))
    own = [v for v in found[1:] if v is not None]
    if own:
        assert apart(torch.stack(own), expected["own"]) < min(TOLERANCE[dtype], 2e-6) * float(size) ** 0.5


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shape", [(12, 5, 4, 6), (7, 3), (9, 1, 8, 8)])
def test_the_plain_form_is_the_same(shape: tuple[int, ...], dtype: torch.dtype, last: bool) -> None:
    """What runs on other devices, by torch's operations: here on a CPU, where what does not count is no number."""
    x, g = (torch.randn(shape, generator=torch.Generator().manual_seed(k)).to(dtype) for k in range(2))
    mask = torch.arange(shape[0]) % 3 > 0
    x = torch.where(mask.view(-1, *[1] * (x.dim() - 1)), x * 2 + 3, torch.nan)
    x = x.contiguous(memory_format=torch.channels_last) if last and x.dim() == 4 else x
    g, gain = torch.empty_like(x).copy_(g), torch.linspace(0.5, 1.5, shape[1], dtype=state_dtype(x))
    results = []
    for compiled in (True, False):
        with mock.patch.object(counted, "_compiled", return_value=compiled):
            norm, mean, var = from_counted(x, mask, 1e-5)
            found = norm.of_images(g.clone(memory_format=torch.preserve_format), x, gain, (True, True, True))
        results.append([mean, var, *norm.terms(gain, None), *found])
    for a, b in zip(*results, strict=True):
        assert (a.dtype, a.stride()) == (b.dtype, b.stride())
        assert apart(a, b) < 10 * TOLERANCE[dtype]


def test_threads_change_nothing() -> None:
    x, g = (torch.randn(64, 6, 20, 20, generator=torch.Generator().manual_seed(k)) for k in range(2))
    mask = torch.arange(64) % 5 > 0
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            norm, *found = from_counted(x, mask, 1e-5)
            results.append([*found, *norm.of_images(g.clone(), x, None, (True, True, True))])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("before", [False, True])
def test_on_a_gpu_nothing_comes_to_the_host(before: bool, dtype: torch.dtype) -> None:
    """With lengths, on tensors without memory: a few launches each way."""
    if not layout.TRITON:
        pytest.skip("needs a newer triton: 3.4")
    model = network(before=before).to("meta")
    norm, neuron = model[0], next(m for m in model if isinstance(m, snn.LIF))
    x = torch.empty(5, 2, 4, 6, 8, device="meta", dtype=dtype, requires_grad=True)
    mask = torch.empty(5, 2, device="meta", dtype=torch.bool)
    with watched_launches() as seen:
        params = neuron.params(x.detach()[..., ::2, ::2] if before else x.detach())
        values = norm.values(x.detach().flatten(0, 1), mask)
        assert isinstance(values, Counted)
        out, state = op.sequence(x, values, norm.gain, norm.bias, None, params, op.Pool(2, 2, before), True)
        assert state is not None
        found = torch.autograd.grad(out.sum() + state.v.sum(), [x, *model.parameters()])
    assert seen == ["moments", "moments_end", "forward", "backward", "sums", "sums_end", "project"]
    assert [g.dtype for g in found] == [dtype, *[torch.float32] * 3]


@pytest.mark.gpu
@pytest.mark.skipif(no_gpu, reason="needs a CUDA device and Triton")
@pytest.mark.parametrize("last", [False, True])
def test_lengths_on_a_gpu(last: bool) -> None:
    """As one, beside the layers one by one there."""
    model, other = network(32).cuda(), torch.nn.Sequential(*network(32)).cuda()
    x = torch.randn(10, 4, 32, 16, 24, generator=torch.Generator().manual_seed(0)).cuda() * 2
    if last:
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    lengths = torch.tensor([10, 3, 0, 7], device="cuda")
    results: list[Any] = []
    for each in (model, other):
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        out, _ = snn.run(each, leaf, lengths=lengths)
        results.append((out, torch.autograd.grad(out.square().sum(), leaf)[0], *each.state_dict().values()))
    (out, grad, *kept), (expected, other_grad, *other_kept) = results
    assert all(torch.equal(a, b) for a, b in zip(kept, other_kept, strict=True))
    assert (out != expected).float().mean() < 1e-4  # where rounding meets the threshold
    assert ((grad - other_grad).abs() > 1e-4).float().mean() < 1e-3
