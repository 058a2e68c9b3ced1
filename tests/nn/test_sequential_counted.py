"""`snn.Sequential` in training with lengths: norm, neuron and pool run as one, and as the layers one by one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.errors import ShapeError, UsageError
from snnkit.kernels.state import state_dtype
from snnkit.nn import together

from .test_sequential import assert_equal, block, last, one_by_one


@contextlib.contextmanager
def groups() -> Iterator[list[Any]]:
    """The pools of the groups that ran together within it."""
    seen: list[Any] = []
    run = together.sequence
    together.sequence = lambda x, *args: (seen.append(args[5]), run(x, *args))[1]
    try:
        yield seen
    finally:
        together.sequence = run


def everything(model: nn.Module, x: Tensor, lengths: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """(output, final states and what the model keeps), (gradients of input and parameters)."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    out, final = snn.run(model, x, lengths=lengths)
    outputs = [out, *(t for state in final.values() for t in state)]
    generator = torch.Generator().manual_seed(1)
    loss = sum((torch.randn(t.shape, generator=generator).to(t) * t).sum() for t in outputs if t.is_floating_point())
    gradients = torch.autograd.grad(loss, [x, *model.parameters()])  # type: ignore[arg-type]
    return [*outputs, *model.state_dict().values()], list(gradients)


@settings(max_examples=60)
@given(data=st.data())
def test_equal_to_the_layers_one_by_one(data: st.DataObject) -> None:
    """Outputs, states, running statistics, and the gradients of everything, bit for bit."""
    draw = data.draw
    pool = draw(st.sampled_from([None, 2, (3, 1), (1, 2)]))
    high, wide = pool if isinstance(pool, tuple) else (pool or 1, pool or 1)
    size = (high * draw(st.integers(1, 3)), wide * draw(st.integers(1, 3)))
    steps, batch, channels = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 9))
    model = block(
        channels,
        pool,
        draw(st.booleans()),
        draw(st.sampled_from([snn.BatchNorm, snn.ThresholdBatchNorm])),
        reset=draw(st.sampled_from(["zero", "subtract"])),
        detach_reset=draw(st.booleans()),
        refractory=draw(st.integers(0, 2)),
        learn_decay=draw(st.booleans()),
        learn_threshold=draw(st.booleans()),
    )
    model[0].momentum = draw(st.sampled_from([0.1, None]))
    for name in draw(st.sampled_from([(), ("weight",), ("bias",), ("weight", "bias")])):
        setattr(model[0], name, None)
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    model = model.to(state_dtype(torch.empty(0, dtype=dtype)))
    x = torch.randn(steps, batch, channels, *size, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    x = (x * 2 + draw(st.sampled_from([0.0, 5.0]))).to(dtype)
    channels_last = draw(st.booleans())
    x = last(x) if channels_last else x
    lengths = torch.tensor(draw(st.lists(st.integers(0, steps), min_size=batch, max_size=batch)))
    if draw(st.booleans()):  # whatever stands there
        beyond = torch.arange(steps)[:, None] >= lengths
        x = x.masked_fill(beyond.view(steps, batch, 1, 1, 1), draw(st.sampled_from([torch.nan, torch.inf, 1e30])))
    enough = steps * batch * size[0] * size[1] > 1
    other = one_by_one(model)
    if not enough:
        with pytest.raises(ShapeError, match="more than one value"):
            snn.run(model, x, lengths=lengths)
        return
    with groups() as fused:
        values, gradients = everything(model, x, lengths)
    assert len(fused) == (together.takes(x) and x.numel() > 0)
    expected, other_gradients = everything(other, x, lengths)
    assert_equal(values, expected)
    # The strides of a single sample are torch's to choose between pool and neuron, whose sums follow the memory.
    rounding = {torch.float32: 1e-6, torch.float64: 1e-12, torch.bfloat16: 1e-2}[dtype]
    assert_equal(gradients, other_gradients, rounding if channels_last and batch == 1 else 0.0)


def case(pool: Any = 2, seed: int = 0) -> tuple[snn.Sequential, Tensor, Tensor]:
    x = torch.randn(5, 3, 3, 4, 6, generator=torch.Generator().manual_seed(seed)) * 2
    return block(pool=pool, learn_decay=True), x, torch.tensor([5, 0, 3])


def test_without_running_statistics_evaluation_counts_the_valid_steps_too() -> None:
    model, x, lengths = case()
    model[0] = snn.BatchNorm(3, track_running_stats=False)
    model.eval()
    with groups() as fused:
        found = everything(model, x, lengths)
    assert len(fused) == 1
    for a, b in zip(found, everything(one_by_one(model), x, lengths), strict=True):
        assert_equal(a, b)
    model[0] = block()[0].eval()  # with them nobody asks for lengths
    with snn.valid_lengths(model, lengths):
        assert torch.equal(model(x), one_by_one(model)(x))


def test_all_lengths_full_are_no_lengths_up_to_rounding() -> None:
    model, x, _ = case()
    with_lengths, without = everything(model, x, torch.full((3,), 5)), everything(case()[0], x, None)  # type: ignore[arg-type]
    for found, expected in zip(with_lengths, without, strict=True):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_nothing_counts() -> None:
    model, x, _ = case()
    values, gradients = everything(model, x, torch.zeros(3, dtype=torch.int64))
    assert all(v.isfinite().all() for v in [*values, *gradients])


def test_errors_are_those_of_the_layer() -> None:
    model, x, lengths = case()
    with pytest.raises(ShapeError, match="lengths from 0 to 6 beside an input of 5 steps"):
        snn.run(model, x, lengths=lengths + torch.tensor([0, 0, 3]))
    with pytest.raises(ShapeError, match="one length per sample"):
        snn.run(model, x, lengths=lengths[:2])
    x.requires_grad_()
    with snn.valid_lengths(model, lengths):
        (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    with pytest.raises(UsageError, match="second derivatives"):
        gradient.sum().backward()


def test_other_derivatives_of_a_norm_with_lengths() -> None:
    """Second ones, several gradients at once, and forward-mode ones see plain operations."""
    norm, lengths = snn.BatchNorm(2).double(), torch.tensor([3, 0, 2])
    x = torch.randn(3, 3, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        norm.running_mean, norm.running_var = None, None
        with snn.valid_lengths(norm, lengths):
            out = torch.func.functional_call(norm, dict(zip(("weight", "bias"), weights)), (x,))
        return torch.where((torch.arange(3)[:, None] < lengths).view(3, 3, 1, 1, 1), out, 0.0)

    inputs = (x, *(p.detach().requires_grad_() for p in norm.parameters()))
    assert torch.autograd.gradcheck(run, inputs, check_batched_grad=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(run, inputs)


def test_half_precision_on_a_cpu_takes_plain_operations() -> None:
    x, lengths = torch.randn(4, 2, 3, 2, 2).half(), torch.tensor([4, 1])
    found, _ = snn.run(snn.BatchNorm(3), x, lengths=lengths)
    expected, _ = snn.run(snn.BatchNorm(3), x.float(), lengths=lengths)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=2e-3)


def test_checkpointed() -> None:
    model, x, lengths = case()
    found = everything(nn.Sequential(Kept(model)), x, lengths)
    for a, b in zip(found, everything(case()[0], x, lengths), strict=True):
        assert_equal(a, b)


class Kept(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return snn.checkpoint(self.model, x)
