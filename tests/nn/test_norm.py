"""Batch norms: statistics without padding, streams, the threshold-dependent scale."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError, StateError


def old_masked(layer: snn.BatchNorm, x: Tensor, mask: Tensor) -> Tensor:
    """The same by selecting the valid steps: y [T, B, C, …] and running statistics, in plain operations."""
    valid = x[mask]
    dims = [d for d in range(valid.dim()) if d != 1]
    count = valid.numel() // layer.num_features
    var, mean = torch.var_mean(valid, dim=dims, correction=0)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean.lerp_(mean.detach(), layer.momentum)
    layer.running_var.lerp_(var.detach() * count / (count - 1), layer.momentum)
    shape = [1, 1, -1] + [1] * (x.dim() - 3)
    scale = torch.rsqrt(var + layer.eps) * layer.weight
    return x * scale.view(shape) + (layer.bias - mean * scale).view(shape)


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(lambda n: sum(n) > 1),
    st.sampled_from([(3,), (2, 4), (3, 2, 2)]),
    st.integers(0, 1000),
)
def test_masked_statistics_equal_those_of_the_valid_steps(
    lengths: list[int], features: tuple[int, ...], seed: int
) -> None:
    """Values at all steps, gradients of the valid ones, running statistics; also where all steps are valid."""
    g = torch.Generator().manual_seed(seed)
    x = (torch.randn(5, len(lengths), *features, generator=g, dtype=torch.float64) + 1).requires_grad_()
    layer, reference = snn.BatchNorm(features[0]).double(), snn.BatchNorm(features[0]).double()
    with torch.no_grad():
        for a, b in zip(layer.parameters(), reference.parameters()):
            b.copy_(a.copy_(torch.randn(a.shape, generator=g)))
    steps = torch.tensor(lengths)
    mask = torch.arange(5)[:, None] < steps
    out, _ = snn.run(layer, x, lengths=steps)
    expected = old_masked(reference, x, mask)
    torch.testing.assert_close(out, expected)
    for a, b in zip((layer.running_mean, layer.running_var), (reference.running_mean, reference.running_var)):
        torch.testing.assert_close(a, b)
    up = torch.randn(x.shape, generator=g, dtype=torch.float64) * mask.view(*mask.shape, *[1] * len(features))
    mine = torch.autograd.grad((out * up).sum(), [x, *layer.parameters()])
    theirs = torch.autograd.grad((expected * up).sum(), [x, *reference.parameters()])
    for a, b in zip(mine, theirs):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", [snn.BatchNorm, snn.ThresholdBatchNorm])
def test_garbage_in_padded_steps_reaches_nothing(kind: type[snn.BatchNorm]) -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([4, 2])
    mask = (torch.arange(4)[:, None] < lengths)[..., None, None]
    x = torch.randn(4, 2, 3, 5)
    results = []
    for garbage in (0.0, float("nan"), float("inf")):
        layer = kind(3)
        given = torch.where(mask, x, garbage).requires_grad_()
        with snn.valid_lengths(layer, lengths):
            out = layer(given)
        torch.where(mask, out, 0.0).square().sum().backward()
        assert given.grad is not None
        assert given.grad[~mask.expand_as(x)].abs().sum() == 0
        statistics = [layer.running_mean, layer.running_var, layer.weight.grad, layer.bias.grad]
        results.append([torch.where(mask, out, 0.0), torch.where(mask, given.grad, 0.0), *statistics])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, results[0]))


def test_one_valid_value_or_none() -> None:
    """There is no variance to divide by: the values come out as the bias, and nothing is NaN."""
    for lengths in ([1, 0], [0, 0]):
        layer = snn.BatchNorm(2)
        torch.nn.init.constant_(layer.bias, 0.5)
        x = torch.randn(3, 2, 2)
        out, _ = snn.run(layer, x, lengths=torch.tensor(lengths))
        assert out.isfinite().all()
        assert layer.running_var.isfinite().all()
        if lengths[0]:
            assert out[0, 0].tolist() == pytest.approx([0.5, 0.5], abs=1e-4)


def test_lengths_that_cannot_be() -> None:
    model = torch.nn.Sequential(snn.BatchNorm(3), snn.BatchNorm(3))
    x = torch.randn(4, 2, 3)
    for lengths in ([5, 1], [-1, 2]):
        with pytest.raises(ShapeError, match=r"lengths from -?\d to \d beside an input of 4 steps"):
            snn.run(model, x, lengths=torch.tensor(lengths))
    with snn.valid_lengths(model, torch.tensor([4, 2])):
        model(x)
        with pytest.raises(ShapeError, match="beside an input of 3 steps"):
            model(x[:3])


def test_several_passes_before_the_backward_pass() -> None:
    """Running statistics move on, and gradients of an earlier pass are still those of that pass."""
    torch.manual_seed(0)
    x = torch.randn(4, 2, 3, requires_grad=True)
    lengths = torch.tensor([4, 2])
    layer = snn.BatchNorm(3)
    first, second = layer(x), snn.run(layer, x, lengths=lengths)[0]
    third = layer.eval()(x)
    layer.train()
    fourth, _ = snn.run(layer, x, lengths=lengths)
    together = torch.autograd.grad([first.square().sum() + second.pow(3).sum() + fourth.sum()], [x])[0]
    alone = torch.autograd.grad(snn.BatchNorm(3)(x).square().sum(), x)[0]
    other = snn.run(snn.BatchNorm(3), x, lengths=lengths)[0]
    alone = alone + torch.autograd.grad(other.pow(3).sum() + other.sum(), x)[0]
    torch.testing.assert_close(together, alone)
    assert third.requires_grad


def test_cumulative_statistics() -> None:
    """momentum=None: the mean over all batches, as torch has it but without asking the host how many there were."""
    torch.manual_seed(0)
    ours, theirs = snn.BatchNorm(4, momentum=None), torch.nn.BatchNorm1d(4, momentum=None)
    for _ in range(3):
        x = torch.randn(5, 3, 4)
        torch.testing.assert_close(ours(x), theirs(x.flatten(0, 1)).unflatten(0, (5, 3)))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_a_stream_in_training_mode_is_refused() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(snn.Linear(4, 3), snn.BatchNorm(3), snn.LIF())
    x = torch.randn(6, 2, 4)
    _, states = snn.run(model, x)  # a whole sequence
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(StateError, match=r"'1' BatchNorm\(3.*part of a sequence[\s\S]*norm\.eval\(\)"):
        snn.run(model, x, states)
    with pytest.raises(StateError, match="part of a sequence"):
        next(snn.stream(model, x.split(2)))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    model[1].eval()  # the rest may train on in chunks
    parts = [out for out, _ in snn.stream(model, x.split(2))]
    assert model[0].training
    torch.testing.assert_close(torch.cat(parts), model.eval()(x))
    with pytest.raises(StateError, match="track_running_stats=True"):
        list(snn.stream(snn.BatchNorm(4, track_running_stats=False).eval(), x.split(2)))


def test_valid_lengths_keep_what_is_known_of_a_stream() -> None:
    layer = snn.BatchNorm(4)

    class Inner(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = layer

        def forward(self, x: Tensor) -> Any:
            with snn.valid_lengths(self, torch.tensor([1, 2])):
                return self.norm(x)

    with pytest.raises(StateError, match="part of a sequence"):
        list(snn.stream(Inner(), [torch.randn(2, 2, 4)]))


def test_threshold_batch_norm_by_its_equation() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 4, 3, 5, 5, dtype=torch.float64) * 3 + 2
    layer = snn.ThresholdBatchNorm(3, threshold=0.5, alpha=2**-0.5).double()
    out = layer(x)
    var, mean = torch.var_mean(x, dim=(0, 1, 3, 4), correction=0)
    shape = (1, 1, 3, 1, 1)
    expected = 2**-0.5 * 0.5 * (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt()
    torch.testing.assert_close(out, expected)
    with torch.no_grad():
        layer.weight.mul_(3)
        layer.bias.add_(1)
    torch.testing.assert_close(layer(x), 3 * expected + 1)
    plain = snn.ThresholdBatchNorm(3, threshold=0.5, alpha=2**-0.5, affine=False).double()
    torch.testing.assert_close(plain(x), expected)
    bare = snn.ThresholdBatchNorm(3, 0.5, 2**-0.5, affine=False, track_running_stats=False).double()
    torch.testing.assert_close(bare(x), expected)
    masked, _ = snn.run(plain, x, lengths=torch.full((4,), 6))
    torch.testing.assert_close(masked, expected)
    assert set(layer.state_dict()) == set(snn.BatchNorm(3).state_dict())
    for bad in ({"threshold": 0.0}, {"alpha": float("nan")}):
        with pytest.raises(ParameterError, match="positive"):
            snn.ThresholdBatchNorm(3, **bad)


def test_threshold_batch_norm_equals_spikingjelly() -> None:
    layer = pytest.importorskip("spikingjelly.activation_based.layer", reason="spikingjelly is not installed")
    torch.manual_seed(0)
    theirs = layer.ThresholdDependentBatchNorm2d(0.7, 0.5, 3)
    ours = snn.ThresholdBatchNorm(3, threshold=0.5, alpha=0.7)
    x = torch.randn(4, 2, 3, 5, 5)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_a_batch_norm_of_torch_inside_over_time() -> None:
    model = torch.nn.Sequential(snn.over_time(torch.nn.BatchNorm1d(3)), snn.LIF())
    x = torch.randn(4, 2, 3)
    model(x)
    with pytest.raises(StateError, match=r"BatchNorm1d at '' in layer '0' OverTime\(.*chunk of a stream"):
        next(snn.stream(model, [x]))
    with pytest.raises(StateError, match="batch with lengths"):
        snn.run(model, x, lengths=torch.tensor([1, 2]))
    assert len(list(snn.stream(model.eval(), x.split(2)))) == 2
    with pytest.raises(ShapeError, match="one length per sample"):
        snn.run(snn.BatchNorm(3), x, lengths=torch.tensor([1, 2, 3]))


@pytest.mark.parametrize("channels_last", [False, True])
def test_gradients_of_a_single_image_whatever_the_strides(channels_last: bool) -> None:
    """The first stride of a single image means nothing; nor do gradients depend on it."""
    g = torch.Generator().manual_seed(0)
    image = torch.randn(1, 1, 3, 4, 5, generator=g)
    up = torch.randn(1, 1, 4, 5, 3, generator=g).permute(0, 1, 4, 2, 3)
    found = []
    for x, grad in ((image, up), (image.double(), up.double().contiguous())):
        if channels_last:
            x = x[0].contiguous(memory_format=torch.channels_last)[None]
        x = x.clone().requires_grad_()
        snn.BatchNorm(3).to(x.dtype)(x).backward(grad)
        found.append(x.grad.double())
    assert torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-5)
