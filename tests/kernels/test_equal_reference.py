"""Fused kernels against the step-by-step reference: equal spikes and states, gradients to rounding."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnkit import nn as snn
from snnkit import surrogate
from snnkit.errors import UsageError
from snnkit.kernels import reference_only
from snnkit.kernels.layout import prepare

from .covering import pairwise, product
from .options import OPTIONS, assert_same, check, name_of, random_state


@pytest.mark.parametrize(
    ("neuron", "case"),
    [(neuron, case) for neuron, options in OPTIONS.items() for case in pairwise(options)],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_equal_reference(neuron: str, case: dict[str, Any]) -> None:
    """Every pair of option values of every neuron."""
    check(neuron, case)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("neuron", list(OPTIONS))
def test_equal_reference_with_any_options(neuron: str) -> None:
    """Every combination of option values."""
    for case in product(OPTIONS[neuron]):
        check(neuron, case)


def test_the_cases_have_every_pair() -> None:
    options = OPTIONS["LIF"]
    cases = pairwise(options)
    assert len(cases) < 40 < 1000 < len(product(options))
    for a, b in itertools.combinations(options, 2):
        assert {(case[a], case[b]) for case in cases} == set(itertools.product(options[a], options[b]))


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_the_usual_case(reset: str) -> None:
    """Detached, nothing learnable, not refractory: the kernels' shortest path."""
    for layer in (snn.LIF(tau=3.0, reset=reset), snn.CubaLIF(reset=reset)):
        for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
            x = torch.randn(9, 4, 70, dtype=dtype) * 0.7 + 0.2
            assert_same(layer, x, random_state(layer, x), tolerance)


@settings(max_examples=40)
@given(
    steps=st.integers(1, 12),
    batch=st.integers(1, 3),
    width=st.integers(1, 2100),
    zero=st.booleans(),
    refractory=st.integers(0, 3),
    seed=st.integers(0, 2**31),
)
def test_spikes_are_bit_equal(steps: int, batch: int, width: int, zero: bool, refractory: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scale = 10.0 ** torch.randint(-3, 4, (1,), generator=generator).item()
    x = torch.randn(steps, batch, width, generator=generator) * scale
    decay = torch.rand(width, generator=generator)
    threshold = float(torch.rand(1, generator=generator) + 0.01) * scale
    reset = "zero" if zero else "subtract"
    for layer in (
        snn.LIF(decay=decay, threshold=threshold, reset=reset, refractory=refractory),
        snn.CubaLIF(decay_syn=decay, tau_mem=3.0, threshold=threshold, reset=reset, refractory=refractory),
        snn.LI(decay=decay),
    ):
        fused, state = layer(x, layer.initial_state(x))
        with reference_only():
            plain, expected = layer(x, layer.initial_state(x))
        assert torch.equal(fused, plain)
        for a, b in zip(state, expected):
            assert torch.equal(a, b)


def test_inputs_on_the_edge() -> None:
    """Exactly at the threshold, the smallest step below it, subnormal, huge, infinite and not a number."""
    one = torch.tensor(1.0)
    below = torch.nextafter(one, torch.tensor(0.0))
    values = torch.tensor([1.0, below, 1e-42, -1e-42, 3e38, float("inf"), float("-inf"), float("nan"), -0.0, 0.5])
    x = values.repeat(4, 1, 1)
    for reset in ("zero", "subtract"):
        for layer in (snn.LIF(decay=0.5, reset=reset), snn.CubaLIF(decay_syn=0.25, decay_mem=0.5, reset=reset)):
            with reference_only():
                plain = layer(x)
            assert plain.isnan().any()
            torch.testing.assert_close(layer(x), plain, rtol=0, atol=0, equal_nan=True)
    assert snn.LIF(decay=0.0)(x[:1])[0, 0].tolist()[:2] == [1.0, 0.0]


@pytest.mark.parametrize("neuron", ["LIF", "CubaLIF", "LI"])
def test_layouts(neuron: str) -> None:
    """Channels-last and other strides give the same values; channels-last is neither copied nor reordered."""
    torch.manual_seed(0)
    x = torch.randn(5, 2, 3, 4, 6)
    last = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    flat, _ = prepare(last)
    assert flat.data_ptr() == last.data_ptr()
    layer: Any = getattr(snn, neuron)(shape=(3,), learn_decay=True)
    weight = torch.randn_like(x)
    results = []
    for variant in (x, last, x.transpose(0, 1).contiguous().transpose(0, 1), x.repeat(1, 1, 1, 1, 2)[..., ::2]):
        variant = variant.clone(memory_format=torch.preserve_format)
        variant[...] = x
        variant.requires_grad_()
        out, state = layer(variant, layer.initial_state(variant))
        gradients = torch.autograd.grad((out * weight).sum(), [variant, *layer.parameters()])
        results.append((out, *state, *gradients))
    assert layer(last).stride() == last.stride()
    for other in results[1:]:
        for a, b in zip(results[0], other):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_threads_change_nothing() -> None:
    """Outputs and all gradients, those of shared parameters included, with 1 and 2 threads."""
    torch.manual_seed(0)
    x = torch.randn(8, 4, 9000)
    layer = snn.CubaLIF(learn_decay=True, learn_threshold=True, refractory=1)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            given = x.clone().requires_grad_()
            out = layer(given)
            out.backward(x)
            results.append([out, given.grad, *(p.grad for p in layer.parameters())])
            layer.zero_grad()
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results))  # type: ignore[arg-type]


def test_users_surrogate_takes_the_reference() -> None:
    class Flat(surrogate.Surrogate):
        def derivative(self, d: Tensor) -> Tensor:
            return torch.ones_like(d)

    x = torch.randn(3, 2, 4, requires_grad=True)
    snn.LIF(decay=0.0, surrogate=Flat())(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))


def test_low_precision_input_keeps_float32_state() -> None:
    x = (torch.randn(6, 2, 8) * 0.7).bfloat16().requires_grad_()
    layer = snn.LIF(tau=5.0)
    out, state = layer(x, layer.initial_state(x))
    assert (out.dtype, state.v.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(out.float(), layer(x.float()))
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
    assert snn.LI()(x).dtype == torch.float32


@pytest.mark.parametrize("neuron", ["LIF", "CubaLIF", "LI"])
def test_second_derivatives(neuron: str) -> None:
    """The reference has them; a kernel refuses instead of giving something wrong."""
    layer: Any = getattr(snn, neuron)(learn_decay=True)

    def second() -> Tensor:
        x = torch.linspace(0.1, 0.9, 24).view(4, 2, 3).requires_grad_()
        (first,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    with pytest.raises(UsageError, match="reference_only"):
        second()
    with reference_only():
        assert second().isfinite().all()


@pytest.mark.parametrize("neuron", ["LIF", "CubaLIF", "LI"])
def test_empty_batch_and_inference_mode(neuron: str) -> None:
    layer: Any = getattr(snn, neuron)(learn_decay=True, shape=(3,))
    empty = torch.zeros(4, 0, 3, 2, requires_grad=True)
    out, state = layer(empty, layer.initial_state(empty))
    assert (out.shape, state.v.shape) == (empty.shape, empty.shape[1:])
    out.sum().backward()
    assert layer.decay_logit.grad.abs().sum() == 0 if neuron != "CubaLIF" else True
    x = torch.randn(4, 2, 3, 2)
    with torch.inference_mode():
        out = layer(x)
    assert torch.equal(out, layer(x))
