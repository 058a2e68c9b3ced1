"""Synapse layers: the same as their torch counterparts step by step, and what time adds to them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError

LAYERS = [
    (snn.Linear(5, 3), (5,)),
    (snn.Conv1d(3, 4, 3, padding=1, stride=2), (3, 9)),
    (snn.Conv2d(4, 6, (3, 2), groups=2, dilation=(1, 2)), (4, 8, 9)),
    (snn.Conv2d(2, 3, 3, padding="same"), (2, 2, 2)),
    (snn.Conv2d(3, 6, 3, groups=3), (3, 5, 6)),
    (snn.Conv3d(2, 4, (2, 3, 1), stride=(1, 2, 1), groups=2, padding="valid"), (2, 3, 6, 4)),
    (snn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 2), groups=2), (4, 5, 4)),
    (snn.ConvTranspose2d(2, 3, 3, dilation=2, output_padding=1), (2, 4, 4)),
    (snn.Upsample(scale_factor=2), (3, 4, 5)),
    (snn.Upsample(size=7), (3, 4)),
    (snn.Upsample(scale_factor=(1.5, 2, 1), mode="trilinear"), (2, 2, 3, 4)),
    (snn.Upsample(size=(5, 9), mode="bilinear", align_corners=True), (3, 4, 5)),
    (snn.AdaptiveAvgPool2d(1), (3, 6, 7)),
    (snn.AdaptiveAvgPool2d((4, None)), (3, 6, 7)),
    (snn.AvgPool2d(2), (3, 6, 7)),
    (snn.AvgPool2d(3, stride=2, padding=1), (3, 6, 7)),
    (snn.MaxPool2d((2, 3)), (3, 6, 7)),
    (snn.BatchNorm(3).eval(), (3, 4, 5)),
]


@pytest.mark.parametrize(("layer", "features"), LAYERS, ids=lambda p: type(p).__name__)
def test_equal_to_torch_step_by_step(layer: Any, features: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, *features)
    parent = (
        torch.nn.BatchNorm2d
        if isinstance(layer, snn.BatchNorm)
        else next(c for c in type(layer).__mro__ if c.__module__.startswith("torch."))
    )
    steps = torch.stack([parent.forward(layer, x_t) for x_t in x])
    torch.testing.assert_close(layer(x), steps)


def test_standardised_weights() -> None:
    """Zero mean, unit variance per output channel; the stored weights and their gradients are those of any others."""
    torch.manual_seed(0)
    for layer, x in (
        (snn.Conv2d(4, 6, 3, groups=2, standardise=True), torch.randn(3, 2, 4, 6, 6)),
        (snn.Conv1d(4, 6, 3, standardise=True), torch.randn(3, 2, 4, 6)),
        (snn.Conv3d(2, 3, 2, standardise=True), torch.randn(3, 2, 2, 3, 3, 3)),
    ):
        plain = type(layer)(layer.in_channels, layer.out_channels, layer.kernel_size, groups=layer.groups)
        weight = layer.weight.detach()
        flat = weight.flatten(1)
        by_hand = ((flat - flat.mean(1, keepdim=True)) / (flat.var(1, correction=0, keepdim=True) + 1e-5).sqrt()).view(
            weight.shape
        )
        torch.testing.assert_close(layer.effective_weight, by_hand)
        plain.load_state_dict({"weight": by_hand, "bias": layer.bias})
        torch.testing.assert_close(layer(x), plain(x))
        assert torch.equal(layer.weight, weight)
        scaled = copy.deepcopy(layer)
        scaled.weight.data = weight * 8 + 3  # neither scale nor mean of the stored weights matters
        torch.testing.assert_close(scaled(x), layer(x), rtol=1e-3, atol=1e-3)
        layer(x).square().sum().backward()
        assert layer.weight.grad.abs().sum() > 0
        assert (
            layer.weight.grad.flatten(1).sum(1).abs().max() < 1e-5 * layer.weight.grad.abs().max()
        )  # nothing pulls at the mean
        assert "standardise" in repr(layer)
    with pytest.raises(ParameterError, match="one weight per output channel"):
        snn.Conv2d(3, 3, 1, groups=3, standardise=True)


def test_upsampled_spikes_stay_binary() -> None:
    x = (torch.rand(3, 2, 2, 4, 4) < 0.5).float()
    y = snn.Upsample(scale_factor=3)(x)
    assert torch.equal(y, x.repeat_interleave(3, 3).repeat_interleave(3, 4))
    with pytest.raises(ParameterError, match="did you mean 'bilinear'"):
        snn.Upsample(scale_factor=2, mode="bilinar")
    with pytest.raises(ParameterError, match="one of size and scale_factor"):
        snn.Upsample(scale_factor=2, size=3)
    with pytest.raises(ShapeError, match=r"\[T, B, C, L\] or \[T, B, C, H, W\] or \[T, B, C, D, H, W\]"):
        snn.Upsample(scale_factor=2)(x[:, :, 0, 0])
    with pytest.raises(ShapeError, match=r"expects \[T, B, C, L\], got"):
        snn.Upsample(scale_factor=2, mode="linear")(x)
    with pytest.raises(ShapeError, match="as many numbers as mode"):
        snn.Upsample(scale_factor=(2.0, 2.0, 2.0), mode="bilinear")(x)


def test_a_transposed_convolution_without_an_output() -> None:
    with pytest.raises(ShapeError, match="more pixels than its padding takes away"):
        snn.ConvTranspose2d(2, 2, 3, padding=3)(torch.randn(2, 2, 2, 3, 3))


def test_sum_pool() -> None:
    x = torch.randint(0, 5, (3, 2, 4, 6, 6)).float()
    expected = torch.nn.functional.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, (3, 2)) * 4
    assert torch.equal(snn.SumPool2d(2)(x), expected)
    ones = torch.ones(1, 1, 1, 3, 3)
    assert snn.SumPool2d(3, stride=1, padding=1)(ones)[0, 0, 0].tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


def test_flatten_is_channel_major() -> None:
    x = torch.arange(2 * 3 * 2 * 2 * 2.0).view(2, 3, 2, 2, 2)
    assert torch.equal(snn.Flatten()(x)[1, 2], x[1, 2].flatten())


def test_batch_norm_over_time_and_batch() -> None:
    torch.manual_seed(0)
    ours, theirs = snn.BatchNorm(4), torch.nn.BatchNorm2d(4)
    x = torch.randn(5, 3, 4, 6, 6) * 2 + 1
    torch.testing.assert_close(ours(x), theirs(x.flatten(0, 1)).unflatten(0, (5, 3)))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    assert snn.BatchNorm(4)(x[:, :, :, 0, 0]).shape == (5, 3, 4)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_ignores_steps_beyond_the_lengths(momentum: float | None) -> None:
    """As if the batch held the valid steps alone: values, gradients and running statistics."""
    torch.manual_seed(0)
    x = torch.randn(6, 3, 4, 2, 2) + 1
    lengths = torch.tensor([6, 2, 4])
    mask = torch.arange(6)[:, None] < lengths
    layer, reference = snn.BatchNorm(4, momentum=momentum), torch.nn.BatchNorm2d(4, momentum=momentum)
    padded = x.clone().requires_grad_()
    valid = x[mask].clone().requires_grad_()
    weight = torch.randn_like(x)
    for _ in range(2):
        out, _ = snn.run(layer, padded, lengths=lengths)
        expected = reference(valid)
        torch.testing.assert_close(out[mask], expected)
        torch.testing.assert_close(layer.state_dict(), reference.state_dict())
    (out * weight * mask[..., None, None, None]).sum().backward()
    (expected * weight[mask]).sum().backward()
    assert padded.grad is not None
    torch.testing.assert_close(padded.grad[mask], valid.grad, rtol=1e-4, atol=1e-6)
    assert padded.grad[~mask].abs().max() == 0
    garbage = x.clone()
    garbage[~mask] = 1e6
    other = snn.BatchNorm(4)
    with snn.valid_lengths(other, lengths):
        torch.testing.assert_close(other(garbage)[mask], reference(valid), rtol=1e-4, atol=1e-5)
    with pytest.raises(ShapeError, match="one length per sample"):
        snn.run(layer, padded, lengths=torch.tensor([1, 2]))


def test_dropout_has_one_mask_per_sequence() -> None:
    torch.manual_seed(0)
    x = torch.ones(7, 50, 40)
    layer = snn.Dropout(0.25)
    out = layer(x)
    assert all(torch.equal(out[0], out[t]) for t in range(7))
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (out[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert not torch.equal(out[0], layer(x)[0])
    assert layer.eval()(x) is x
    assert snn.Dropout(1.0)(x).sum() == 0
    with pytest.raises(ParameterError, match="probability"):
        snn.Dropout(1.5)


def test_a_stream_in_training_has_the_mask_of_the_whole() -> None:
    """The mask is a part of the state: drawn once, whatever the chunks."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(snn.Dropout(0.5), snn.LIF(), snn.Dropout(0.25))
    x = torch.rand(9, 3, 20)
    first, states = next(snn.stream(model, [x[:1]]))
    rest = [out for out, _ in snn.stream(model, x[1:].split(3), states)]
    masks = {path: states[path] for path in ("0", "2")}
    whole, after = snn.run(model, x, masks)
    assert torch.equal(torch.cat([first, *rest]), whole)
    assert all(torch.equal(after[path].mask, masks[path].mask) for path in masks)
    assert 0 < (masks["0"].mask == 0).float().mean() < 1
    twice = [torch.cat([out for out, _ in snn.stream(model, x.split(3))]) for _ in range(2)]
    assert not torch.equal(*twice)  # but a new stream draws anew
    chunk, _ = next(snn.stream(model, [x[:2]]))
    assert not torch.equal(chunk, whole[:2])


def test_recurrent_by_hand() -> None:
    """out[t] = neuron(x[t] + synapse(out[t−1])): a spike excites its neighbour one step later."""
    synapse = snn.Linear(2, 2, bias=False)
    synapse.weight.data = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    layer = snn.Recurrent(snn.LIF(decay=0.0), synapse)
    x = torch.zeros(4, 1, 2)
    x[1, 0, 0] = 1.0
    assert layer(x)[:, 0].tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]


def test_recurrent_convolution_learns_through_the_loop() -> None:
    torch.manual_seed(0)
    layer = snn.Recurrent(snn.CubaLIF(refractory=1), snn.Conv2d(2, 2, 3, padding=1))
    x = torch.rand(6, 2, 2, 5, 5, requires_grad=True)
    layer(x)[-1].sum().backward()
    assert x.grad is not None
    assert x.grad[0].abs().sum() > 0
    assert layer.synapse.weight.grad.abs().sum() > 0


def test_recurrent_refuses_what_cannot_run_per_step() -> None:
    with pytest.raises(ParameterError, match="contains a Dropout"):
        snn.Recurrent(snn.LIF(), torch.nn.Sequential(snn.Linear(3, 3), snn.Dropout()))
    with pytest.raises(ParameterError, match="contains a BatchNorm"):
        snn.Recurrent(snn.LIF(), snn.BatchNorm(3))
    with pytest.raises(ParameterError, match="neuron is a Linear"):
        snn.Recurrent(snn.Linear(3, 3), snn.LIF())  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="its synapse to give"):
        snn.Recurrent(snn.LIF(), snn.Linear(4, 3))(torch.randn(2, 2, 4))


def test_bf16_autocast_keeps_float32_states() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        snn.Conv2d(2, 4, 3), snn.BatchNorm(4), snn.LIF(), snn.Flatten(), snn.Linear(4 * 16, 3), snn.LI()
    )
    x = torch.rand(5, 2, 2, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        out, states = snn.run(model, x)
    out.sum().backward()
    assert out.dtype == torch.float32
    assert states["2"].v.dtype == torch.float32
    assert all(p.grad is not None for p in model.parameters())


def test_layers_are_their_torch_counterparts() -> None:
    assert issubclass(snn.Linear, torch.nn.Linear)
    for name in ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "AvgPool2d", "AdaptiveAvgPool2d", "Upsample"):
        assert issubclass(getattr(snn, name), getattr(torch.nn, name))
    torch.nn.Conv2d(2, 4, 3).load_state_dict(snn.Conv2d(2, 4, 3, standardise=True).state_dict())
    torch.nn.BatchNorm2d(4).load_state_dict(snn.BatchNorm(4).state_dict())
