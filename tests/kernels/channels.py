"""A batch norm's statistics and gradient by the kernels for a GPU, against float64: for the interpreter, and for a GPU.

What is checked is given by `CASES`, on any device whose tensors the kernels take.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.kernels.layout import Layout
from snnkit.kernels.norm_lif import layers, statistics
from snnkit.kernels.norm_lif.counted import from_counted
from snnkit.kernels.norm_lif.statistics import Norm, from_batch, from_running
from snnkit.kernels.state import state_dtype

from .covering import pairwise
from .options import name_of

CASES = {
    "size": (
        (7, 3, 1),
        (150, 6, 4),
        (40, 3, 50),
        (9, 4, 7),
        (64, 3, 36),
        (130, 5, 64),
        (5, 70, 4),
        (3, 2, 1200),
        (33, 1, 289),
    ),
    "dtype": (torch.float32, torch.float64, torch.bfloat16, torch.float16),
    "order": ("first", "last"),
    "counts": ("all", "some", "few"),
    "mean": (0.0, 3.0, 1000.0),
    "gain": (True, False),
    "norm": ("batch", "running"),
}
"""Options with their values: [N, C, S], what counts, and where the mean is while values scatter by about 1."""

LARGE = {
    "size": ((2048, 32, 256), (512, 8, 1156), (4096, 512, 1), (300, 100, 49), (2, 3, 100_000)),
    "dtype": CASES["dtype"],
    "order": CASES["order"],
    "counts": ("all", "some"),
    "mean": (0.0, 1000.0),
    "gain": (True,),
    "norm": ("batch",),
}
"""Those for a GPU alone."""

OWN = {torch.float32: 1e-6, torch.float64: 1e-12, torch.bfloat16: 1e-6, torch.float16: 1e-6}
"""Of sums, relative to those of absolute values: the numbers' own precision does not add up."""

LAST_BIT = {torch.float32: 0.0, torch.float64: 0.0, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
"""A value rounded to the nearest is so far away at most, relative to itself."""


def cases() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """(name, what checks it, its arguments): every pair of options."""
    for case in pairwise(CASES):
        yield f"channels-{name_of(case)}", check, (case, "cpu")
    for order, dtype in itertools.product(("first", "last"), (torch.float32, torch.bfloat16)):
        yield f"channels-alone-{order}-{dtype}", check_alone, (order, dtype, "cpu")
    yield "channels-edges", check_edges, ("cpu",)
    yield "channels-running", check_running, ("cpu",)


def given(case: dict[str, Any], device: str) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """x and g [N, C, S], the mask [N] and gain; what does not count is no number in x."""
    (samples, channels, pixels), dtype = case["size"], case["dtype"]
    generator = torch.Generator().manual_seed(samples + pixels)
    spread = torch.linspace(0.5, 2, channels)[:, None]
    x = (torch.randn(samples, channels, pixels, generator=generator) * spread + case["mean"]).to(dtype)
    g = torch.randn(samples, channels, pixels, generator=generator).to(dtype)
    mask = None
    if case["counts"] != "all":
        mask = torch.rand(samples, generator=generator) < (0.7 if case["counts"] == "some" else 0.1)
        mask[-1] = True
        x = torch.where(mask[:, None, None], x, torch.nan)
    gain = (torch.rand(channels, generator=generator) + 0.5).to(state_dtype(x)) if case["gain"] else None
    if case["order"] == "last":
        x, g = (v.transpose(1, 2).contiguous().transpose(1, 2) for v in (x, g))
    x, g, mask, gain = (None if v is None else v.to(device) for v in (x, g, mask, gain))
    assert x is not None
    assert g is not None
    return x, g, mask, gain


def near(found: Tensor, expected: Tensor, scale: Tensor | float, tolerance: float) -> None:
    apart = (found.double() - expected).abs() / scale
    assert not (apart > tolerance).any(), (float(apart.max()), tolerance)
    assert torch.equal(found.isfinite(), expected.isfinite())


def check(case: dict[str, Any], device: str) -> None:
    """Sums, mean, rate, and the gradients of x, gain and bias."""
    x, g, mask, gain = given(case, device)
    kernels, eps, own = statistics.channels_for(x), 1e-5, OWN[x.dtype]
    wide, grad = (v.double() if mask is None else v[mask].double() for v in (x, g))
    n = wide.shape[0] * wide.shape[2]
    var, mean = torch.var_mean(wide.transpose(0, 1).flatten(1), 1, correction=0)
    if mask is None and n > 1:
        norm: Any = from_batch(x, None, 0.0, eps)
        found = [norm.mean, norm.rate]
    else:
        norm, *found = from_counted(x, mask, eps)
        # the sums of all processes are about 0, which costs some digits
        lost = 2e-16 * (1 + mean.square() / var.clamp(min=1e-30)).clamp(max=1e30)
        near(found[1], var * (n / max(n - 1, 1)), var + 1e-30, float((own + lost).max()))
        found = [norm.mean, norm.rate]
    assert found[0].dtype == found[1].dtype == state_dtype(x)
    least = torch.finfo(found[0].dtype).eps
    near(found[0], mean, mean.abs() + var.sqrt(), max(own, least))
    near(found[1], (var + eps).rsqrt(), (var + eps).rsqrt(), own if mask is None else own + float(lost.max()))
    if case["norm"] == "running" and mask is None:
        norm = from_running(found[0], (1 / found[1].square() - eps).clamp(min=0), eps)
    check_gradient(x, g, gain, mask, norm, own)
    values = kernels.values_of(x)
    center = norm.mean.double()
    total, dot = kernels.sums(values, g, norm.mean, mask)
    apart = (wide - center[:, None]) * grad
    near(total, grad.sum((0, 2)), grad.abs().sum((0, 2)), own)
    near(dot, apart.sum((0, 2)), apart.abs().sum((0, 2)) + 1e-30, own)
    total, dot = kernels.squares(values, center, mask)
    apart = (wide - center[:, None]) * wide
    near(total, wide.sum((0, 2)), wide.abs().sum((0, 2)), own)
    near(dot, apart.sum((0, 2)), apart.abs().sum((0, 2)) + 1e-30, own)


def check_gradient(x: Tensor, g: Tensor, gain: Tensor | None, mask: Tensor | None, norm: Any, own: float) -> None:
    """By the norm's own mean and rate. Every way of wanting gradients gives the same ones."""
    wide, grad = x.double(), g.double()
    mean, rate = (v.double()[:, None] for v in (norm.mean, norm.rate))
    scale = rate if gain is None else rate * gain.double()[:, None]
    counts = torch.ones(len(x), 1, 1, dtype=torch.bool, device=x.device) if mask is None else mask[:, None, None]
    held = torch.where(counts, (wide - mean) * grad, 0.0)
    counted = torch.where(counts, grad, 0.0)
    n = counts.sum() * x.shape[2]
    expected = grad * scale
    if getattr(norm, "running", None) is None:
        slope = held.sum((0, 2))[:, None] / n * rate.square()
        away = grad - counted.sum((0, 2))[:, None] / n - (wide - mean) * slope
        expected = torch.where(counts, away * scale, expected)
    found: list[Any] = []
    for want in ((True, True, True), (True, False, False), (False, True, True)):
        free = torch.empty_like(x).copy_(g)
        if isinstance(norm, Norm):
            order = (0, 1, 2, 3) if x.is_contiguous() else (0, 1, 3, 2)
            layout = Layout(order, tuple((1, *x.shape)[d] for d in order))
            of_x, *others = norm.backward(*(layout.flatten(v[None]) for v in (free, x)), layout, gain, want)
            of_x = None if of_x is None else layout.restore(of_x)[0]
        else:
            of_x, *others = norm.of_images(free, x, gain, want)
        assert [v is not None for v in (of_x, *others)] == list(want)
        found.append((of_x, *others))
    for a, b in itertools.combinations(found, 2):
        assert all(u is None or v is None or torch.equal(u, v) for u, v in zip(a, b, strict=True))
    of_x, of_gain, of_bias = found[0]
    assert of_x.dtype == x.dtype
    size = float(grad.abs().max() * scale.max())
    near(of_x, expected, 4 * own * size + (1e-7 + LAST_BIT[x.dtype] * expected.abs() if LAST_BIT[x.dtype] else 0), 1.0)
    near(of_gain, held.sum((0, 2)) * rate[:, 0], held.abs().sum((0, 2)) * rate[:, 0] + 1e-30, own)
    near(of_bias, counted.sum((0, 2)), counted.abs().sum((0, 2)), own)


def check_alone(order: str, dtype: torch.dtype, device: str) -> None:
    """The layer by itself: values to the last bit or two, and gradients, of torch's own in float64."""
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(4, 3, 5, 6, 7, generator=generator).to(device, dtype) * 2 + 1
    g = torch.randn(x.shape, generator=generator).to(device, dtype)
    if order == "last":
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    gain, bias = (torch.rand(5, generator=generator).to(device) + 0.5 for _ in range(2))
    leaves = [v.clone(memory_format=torch.preserve_format).requires_grad_() for v in (x, gain, bias)]
    norm, plain = (from_batch(x.flatten(0, 1), None, 0.0, 1e-5, *own) for own in (leaves[1:], ()))
    for known, found in zip(norm.terms(*leaves[1:], True), plain.terms(*leaves[1:], True), strict=True):
        assert torch.equal(known, found)
    assert norm.terms(*leaves[1:], True)[0] is norm.terms(*leaves[1:], True)[0]
    assert not torch.equal(norm.terms(bias, gain, True)[0], norm.terms(*leaves[1:], True)[0])
    y = layers.batch_norm(leaves[0], norm, *leaves[1:])
    assert (y.dtype, y.stride()) == (dtype, x.stride())
    found = torch.autograd.grad(y, leaves, g)
    wide = [v.detach().double().requires_grad_() for v in leaves]
    expected = F.batch_norm(wide[0].flatten(0, 1), None, None, *wide[1:], True, 0.0, 1e-5).unflatten(0, x.shape[:2])
    near(y.detach(), expected.detach(), 1 + expected.detach().abs(), 5e-7 + LAST_BIT[dtype])
    for a, b in zip(found, torch.autograd.grad(expected, wide, g.double()), strict=True):
        low = LAST_BIT[dtype] if a.dim() > 1 else 0
        near(a, b, 1 + b.abs(), 2e-6 + low)
    assert all(a.stride() == b.stride() for a, b in zip(found, leaves, strict=True))


def check_edges(device: str) -> None:
    """What is infinite or no number stays in its channel, and a channel of one value has no variance, however large."""
    for order, dtype in itertools.product((False, True), (torch.float32, torch.float64)):
        x = torch.randn(50, 5, 40, generator=torch.Generator().manual_seed(0)).to(device, dtype)
        x[:, 1] = 1e6 + 1 / 3
        x[30, 2, 7], x[3, 4, 1] = torch.inf, torch.nan
        x = x.transpose(1, 2).contiguous().transpose(1, 2) if order else x
        norm = from_batch(x, None, 0.0, 1e-5)
        expected = x.double().mean((0, 2))
        assert norm.rate.isnan().tolist() == [False, False, True, False, True]
        assert norm.mean.isfinite().tolist() == [True, True, False, True, False]
        near(norm.mean[:2], expected[:2], expected[:2].abs() + 1, OWN[dtype])
        assert norm.rate[1] == torch.tensor(1e-5, dtype=torch.float64).rsqrt().to(dtype)


def check_running(device: str) -> None:
    """Running statistics move towards the mean and the unbiased variance, in place, or not at all."""
    x = torch.randn(20, 6, 30, generator=torch.Generator().manual_seed(0)).to(device) * 2 + 1
    var, mean = torch.var_mean(x.double(), (0, 2))
    for momentum, dense in itertools.product((0.1, 1.0, 0.0), (True, False)):
        held = torch.arange(24.0, device=device).view(2, 6, 2)
        running = tuple(v.contiguous() if dense else v for v in held[..., 0])
        before = [v.double() for v in running]
        version = running[0]._version
        norm = from_batch(x, running, momentum, 1e-5)  # type: ignore[arg-type]
        plain = from_batch(x, None, momentum, 1e-5)
        assert torch.equal(norm.mean, plain.mean)
        assert torch.equal(norm.rate, plain.rate)
        assert running[0]._version == version  # an earlier pass may still have to go backward
        for found, old, new in zip(running, before, (mean, var), strict=True):
            torch.testing.assert_close(found.double(), (1 - momentum) * old + momentum * new, rtol=1e-6, atol=1e-6)
