"""What stands around a neuron, for the interpreter: norm and pool in one kernel with LIF, pools, and recurrent layers.

They run twice on the same CPU tensors. Norm, LIF and pool, and a pool alone: by the CPU's kernels, which are tested
against the layers one by one, and by those for GPUs. Recurrent layers: step by step, and by the operator with the
kernels for GPUs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from snnkit import nn as snn
from snnkit.kernels.norm_lif import counted, layers, op, statistics

from .covering import pairwise
from .options import FIRING, assert_close, assert_same, build, input_for, name_of, random_state

NORM = {
    "reset": ("zero", "subtract"),
    "detach": (True, False),
    "refractory": (0, 2),
    "where": ("layer", "channel", "neuron"),
    "learn": ("nothing", "decay", "threshold", "everything"),
    "dtype": (torch.float32, torch.float64, torch.bfloat16),
    "surrogate": ("arctan", "triangle"),
    "state": ("at rest", "given"),
    "norm": ("trained", "evaluated", "without gain"),
    "pool": (None, (2, 2), (3, 2), (1, 2), (2, 3), (3, 1)),
    "before": (False, True),
    "order": ("first", "last"),
    "once": (True, False),
    "size": ((3, 1, 3, 6, 6), (5, 1, 4, 6, 12), (7, 2, 2, 6, 6), (1, 3, 1, 6, 18)),
}
"""Norm, LIF and pool: options with their values. Sizes are [T, B, C, H, W]."""

POOL = {
    "dtype": (torch.float32, torch.float64, torch.bfloat16),
    "pool": ((2, 2), (1, 2), (2, 1), (3, 3), (1, 1), (2, 4), (5, 7), (9, 2)),
    "order": ("first", "last"),
    "size": ((2, 3, 4, 3, 4), (3, 1, 3, 2, 3), (1, 5, 2, 1, 2), (2, 2, 8, 5, 1)),
}
"""A pool alone. Sizes are [T, B, C, H', W'] of its output: rows of it and pixels are multiples of 4, of 2, and odd."""

RECURRENT = {
    neuron: options
    | {"dtype": (torch.float32, torch.float64), "where": ("layer", "neuron"), "state": FIRING["state"]}
    | {"bias": (False, True), "size": ((2, 2, 7), (4, 3, 8), (5, 1, 5))}
    for neuron, options in {
        **dict.fromkeys(
            ("LIF", "CubaLIF", "ALIF"),
            {name: FIRING[name] for name in ("reset", "detach", "refractory", "learn")}
            | {"surrogate": ("arctan", "gaussian")},
        ),
        "LI": {"learn": ("nothing", "decay")},
    }.items()
}
"""Recurrent layers; sizes are [T, B, N]."""


@contextlib.contextmanager
def gpu_kernels() -> Iterator[None]:
    """Within it, norm, LIF and pool in one, and norm and pool alone, run by the kernels for GPUs."""
    from snnkit.kernels.norm_lif import channels_on_gpu, on_gpu

    with contextlib.ExitStack() as stack:
        for module in (op, statistics, layers):
            stack.enter_context(mock.patch.object(module, "kernels_for", return_value=on_gpu))
        for other in (counted, layers, statistics):
            stack.enter_context(mock.patch.object(other, "channels_for", return_value=channels_on_gpu))
        yield


def cases() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """(name, what checks it, its arguments): every pair of options."""
    for k, case in enumerate(pairwise(NORM)):
        yield f"norm-{k}-{name_of(case)}", check_norm, (case,)
    for case in pairwise(POOL):
        yield f"pool-{name_of(case)}", check_pool, (case,)
    for neuron, options in RECURRENT.items():
        for case in pairwise(options):
            yield f"recurrent-{neuron}-{name_of(case)}", check_recurrent, (neuron, case)
    yield "norm-terms", check_terms, ()
    yield "norm-edges", check_edges_of_norm, ()
    yield "pool-edges", check_edges_of_pool, ()


def norm_arguments(case: dict[str, Any]) -> tuple[Tensor, statistics.Norm, Tensor | None, Tensor | None, Any, Any]:
    """x [T, B, C, H, W], the norm, its gain and bias, the neuron's state and its layer."""
    steps, batch, channels, height, width = case["size"]
    dtype, pool = case["dtype"], case["pool"] or (1, 1)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(case["size"], generator=generator).to(dtype)
    if case["order"] == "last" and channels > 1:
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    norm = snn.BatchNorm(channels, affine=case["norm"] != "without gain").train(case["norm"] != "evaluated")
    with torch.no_grad():
        for part in (*norm.parameters(), norm.running_mean, norm.running_var):
            part.copy_(torch.rand(channels, generator=generator) + 0.5)
    norm = norm.to(torch.float64 if dtype == torch.float64 else torch.float32)
    features = (channels, height // pool[0], width // pool[1]) if case["before"] else (channels, height, width)
    layer = build("LIF", case | {"features": features})
    like = torch.empty(steps, batch, *features, dtype=dtype)
    state = random_state(layer, like) if case["state"] == "given" else None
    return x, norm.values(x.flatten(0, 1)), norm.gain, norm.bias, state, layer


def check_norm(case: dict[str, Any]) -> None:
    """Outputs and states bit for bit; gradients to 1e-6 (float64: 1e-12; bfloat16: its last bit)."""
    x, norm, gain, bias, state, layer = norm_arguments(case)
    pool = None if case["pool"] is None else op.Pool(*case["pool"], case["before"])
    given = [x.requires_grad_(), *(v for v in (gain, bias) if v is not None)]
    given += [*(t for t in tree_leaves(state) if t is not None and t.is_floating_point()), *layer.parameters()]
    results = []
    for context in (contextlib.nullcontext(), gpu_kernels()):
        with context:
            like = x.detach() if pool is None or not pool.before else x.detach()[..., :: pool.height, :: pool.width]
            out, final = op.sequence(x, norm, gain, bias, state, layer.params(like), pool, case["once"])
            outputs = [out, *tree_leaves(final)]
            floats = [t for t in outputs if t.is_floating_point()]
            generator = torch.Generator().manual_seed(4)
            loss = sum((torch.randn(t.shape, generator=generator).to(t) * t).sum() for t in floats)
            results.append((outputs, torch.autograd.grad(loss, given)))  # type: ignore[arg-type]
    (expected, gradients), (found, found_gradients) = results
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.stride()) == (b.dtype, b.stride())
        assert torch.equal(a, b)
    assert 0 < expected[0].float().mean() < 1
    for a, b in zip(found_gradients, gradients, strict=True):
        assert_close(a, b, 1e-12 if x.dtype == torch.float64 else 1e-6, x)


def pool_arguments(case: dict[str, Any]) -> tuple[Tensor, op.Pool, Tensor]:
    """x [T, B, C, H, W], the pool, and a gradient of its output."""
    height, width = case["pool"]
    steps, batch, channels, rows, columns = case["size"]
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(steps, batch, channels, rows * height, columns * width, generator=generator).to(case["dtype"])
    if case["order"] == "last" and x[0, 0, 0].numel() > 1:
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    return x, op.Pool(height, width), torch.randn(case["size"], generator=generator).to(case["dtype"])


def check_pool(case: dict[str, Any]) -> None:
    """Output and gradient bit for bit."""
    x, pool, up = pool_arguments(case)
    assert_same_pools(x, pool, up)


def assert_same_pools(x: Tensor, pool: op.Pool, up: Tensor) -> Tensor:
    """The kernels for GPUs give what the CPU's do; returns that gradient."""
    results = []
    for context in (contextlib.nullcontext(), gpu_kernels()):
        leaf = x.detach().requires_grad_()
        with context:
            out = layers.average(leaf, pool)
            results.append((out.detach(), torch.autograd.grad(out, leaf, up)[0]))
    for a, b in zip(*results, strict=True):
        assert (a.dtype, a.stride()) == (b.dtype, b.stride())
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    return results[1][1]


def check_edges_of_pool() -> None:
    """Infinite values, subnormal ones and those that are no number; nothing is lost where memory was used before."""
    values = [1.0, torch.inf, -torch.inf, torch.nan, 1e-42, 3e38, -0.0, 1e-45]
    x = torch.tensor(values).repeat(3, 2, 4, 2, 1)
    for pool in (op.Pool(2, 2), op.Pool(1, 4), op.Pool(2, 1)):
        up = torch.tensor(values[: 8 // pool.width]).expand(3, 2, 4, 2 // pool.height, -1)
        assert assert_same_pools(x, pool, up).isfinite().any()


def check_recurrent(neuron: str, case: dict[str, Any]) -> None:
    """Spikes and states of the loop bit for bit, gradients to 1e-6 (float64: 1e-12)."""
    steps, batch, features = case["size"]
    torch.manual_seed(0)
    case = case | {"features": (features,)}
    layer = snn.Recurrent(build(neuron, case), snn.Linear(features, features, bias=case["bias"]))
    layer = layer.to(torch.float64 if case["dtype"] == torch.float64 else torch.float32)
    x = input_for(case, steps, batch)
    state = random_state(layer, x) if case["state"] == "given" else None
    assert_same(layer, x, state, 1e-12 if case["dtype"] == torch.float64 else 1e-6)


def check_terms() -> None:
    """Scale and shift of the norm have the bits of the CPU's, however they are rounded."""
    generator = torch.Generator().manual_seed(1)
    mean, rate, gain, bias = (torch.randn(37, generator=generator) for _ in range(4))
    norm = statistics.Norm(mean, rate, None, 1e-5)
    for given in ((gain, bias), (None, bias), (gain, None)):
        for once in (True, False):
            expected = statistics.terms(norm, *given, once)
            with gpu_kernels():
                found = statistics.terms(norm, *given, once)
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def check_edges_of_norm() -> None:
    """Infinite values and those that are no number, at and beside the threshold: as on the CPU."""
    values = [1.0, torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item(), 1e-42, 3e38, torch.inf, torch.nan]
    x = torch.tensor(values).repeat(5, 1, 1, 2, 1)
    unit = statistics.Norm(torch.zeros(1), torch.ones(1), (torch.zeros(1), torch.ones(1)), 0.0)
    for pool in (None, op.Pool(2, 2), op.Pool(2, 2, before=True)):
        for reset in ("zero", "subtract"):
            layer = snn.LIF(reset=reset)
            args = (unit, None, None, None, layer.params(x), pool, True)
            expected = op.sequence(x, *args)
            with gpu_kernels():
                found = op.sequence(x, *args)
            torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
            assert found[0].isnan().any()
