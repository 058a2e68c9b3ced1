"""Every layer that can be exported: the graph equals the torch model spike for spike; the others are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.export import operators, to_graph
from snnkit.graph.synapses import Conv, Pool, Sparse
from snnkit.passes import add_lag

from .test_equal import T, assert_equal, dyadic, lif, spikes


def graph_of(model: nn.Module, shape: tuple[int, ...]) -> Any:
    graph, findings = to_graph(model.eval(), shape, steps=T)
    assert findings == []
    return graph


def synapses(graph: Any) -> list[type]:
    return [type(c.synapse) for c in graph.connections]


def behind(*layers: nn.Module, flat: int) -> nn.Sequential:
    """Layers between two neuron layers, with a dense layer at the end."""
    return nn.Sequential(lif(threshold=0.5), *layers, lif(), snn.Flatten(), snn.Linear(flat, 3), lif(threshold=2.0))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("norm", [False, True])
def test_grouped_and_depthwise_convolution(groups: int, norm: bool) -> None:
    layers = [snn.Conv2d(4, 8, 3, groups=groups, padding=1), *([snn.BatchNorm(8)] if norm else []), snn.AvgPool2d(2)]
    model = dyadic(behind(*layers, flat=8 * 9), groups)
    assert_equal(model, spikes((4, 6, 6), 1))
    graph = graph_of(model, (4, 6, 6))
    assert graph.connections[1].synapse.groups == groups  # still a convolution with shared weights
    line = nn.Sequential(snn.Conv1d(4, 4, 3, groups=groups), lif(), snn.Flatten(), snn.Linear(16, 3), lif())
    assert_equal(dyadic(line, 2), spikes((4, 6), 1))


@pytest.mark.parametrize("groups", [1, 3])
def test_grouped_convolution_of_a_concatenation(groups: int) -> None:
    model = nn.Sequential(
        snn.Concat(nn.Sequential(snn.Conv2d(2, 1, 1), lif()), nn.Identity()), snn.Conv2d(3, 3, 2, groups=groups), lif()
    )
    assert_equal(dyadic(model, 3), spikes((2, 5, 5), 2))


@pytest.mark.parametrize("seed", range(2))
def test_conv3d(seed: int) -> None:
    model = nn.Sequential(
        snn.Conv3d(2, 4, (2, 3, 2), stride=(1, 2, 1), padding=(1, 0, 1), dilation=(1, 1, 2), groups=2),
        snn.BatchNorm(4),
        lif(),
        snn.Conv3d(4, 2, (3, 1, 3), padding="same", bias=False),
        lif(),
        snn.Flatten(),
        snn.Linear(2 * 4 * 2 * 6, 3),
        lif(),
    )
    assert_equal(dyadic(model, seed), spikes((2, 3, 5, 6), seed))


@settings(max_examples=25)
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    extra=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    groups=st.sampled_from([1, 2]),
    seed=st.integers(0, 100),
)
def test_transposed_convolution_is_its_matrix(
    kernel: Any, stride: Any, padding: Any, dilation: Any, extra: Any, groups: int, seed: int
) -> None:
    """The synapse of the graph gives what torch gives, for every setting that torch takes."""
    extra = tuple(e if e < max(s, d) else 0 for e, s, d in zip(extra, stride, dilation))
    size = (4, 3)
    axes = zip(size, kernel, stride, padding, dilation, extra)
    out = [(n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, p, d, e in axes]
    if min(out) < 1:
        return
    g = torch.Generator().manual_seed(seed)
    layer = snn.ConvTranspose2d(4, 6, kernel, stride, padding, extra, groups, False, dilation).double()
    layer.weight.data = torch.randint(-8, 9, layer.weight.shape, generator=g).double()
    x = torch.randint(0, 2, (1, 2, 4, *size), generator=g).double()
    expected = layer(x)
    assert list(expected.shape[3:]) == out
    op = operators.transposed_convolution(
        layer.weight.detach().numpy(), (4, *size), tuple(out), stride, padding, dilation, groups
    )
    assert isinstance(op, Conv if stride == (1, 1) else Sparse)
    got = op.matrix() @ x.reshape(2, -1).T.numpy()
    assert np.array_equal(got.T, expected.detach().reshape(2, -1).numpy())


@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_convolution_in_a_model(stride: int) -> None:
    size = (4 - 1) * stride - 2 + 2 + 1 + (stride - 1)
    up = snn.ConvTranspose2d(4, 2, 3, stride=stride, padding=1, output_padding=stride - 1, groups=2)
    model = dyadic(behind(up, snn.BatchNorm(2), flat=2 * size * size), 5)
    assert_equal(model, spikes((4, 4, 4), 3))
    assert synapses(graph_of(model, (4, 4, 4)))[1] is (Conv if stride == 1 else Sparse)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (snn.Upsample(scale_factor=2), (2, 3, 4)),
        (snn.Upsample(size=(5, 7)), (2, 3, 4)),
        (snn.Upsample(scale_factor=1.7), (2, 6, 5)),
        (snn.Upsample(scale_factor=(1.5, 2.0), mode="nearest-exact"), (2, 3, 4)),
        (snn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4)),
        (snn.Upsample(size=(5, 9), mode="bilinear", align_corners=True), (2, 3, 5)),
        (snn.Upsample(scale_factor=2, mode="linear"), (3, 4)),
        (snn.Upsample(scale_factor=2, mode="trilinear"), (1, 2, 3, 2)),
        (snn.AdaptiveAvgPool2d(2), (2, 4, 8)),
        (snn.AdaptiveAvgPool2d((None, 1)), (2, 3, 4)),
        (snn.AdaptiveAvgPool2d((2, 4)), (2, 3, 6)),
    ],
    ids=repr,
)
def test_resampling(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """Also in front of a norm and a convolution, where the chain is multiplied out or merged."""
    out = layer(torch.zeros(1, 1, *shape)).shape[2:]
    assert_equal(dyadic(behind(layer, flat=int(np.prod(out))), 6), spikes(shape, 4))
    if len(shape) == 3:
        model = behind(layer, snn.BatchNorm(2), snn.Conv2d(2, 3, 1), flat=3 * out[1] * out[2])
        assert_equal(dyadic(model, 7), spikes(shape, 5))


def test_adaptive_pooling_with_whole_windows_is_a_pool() -> None:
    model = nn.Sequential(lif(), snn.AdaptiveAvgPool2d(2), lif())
    assert isinstance(graph_of(model, (3, 4, 6)).connections[1].synapse, Conv)
    merged = graph_of(behind(snn.Conv2d(3, 3, 1), snn.AdaptiveAvgPool2d((2, 2)), flat=12), (3, 4, 6))
    synapse = merged.connections[1].synapse
    assert isinstance(synapse, Conv)
    assert synapse.weight.shape[2:] == (2, 3)
    assert isinstance(
        graph_of(nn.Sequential(lif(), snn.AdaptiveAvgPool2d(2), lif()), (3, 5, 6)).connections[1].synapse, Sparse
    )
    assert Pool((1, 4, 4), (2, 2), (2, 2)).n_dst == 4


def test_a_divisor_and_a_dilation_of_pools() -> None:
    model = behind(snn.AvgPool2d(2, divisor_override=1), flat=4)
    assert_equal(dyadic(model, 1), spikes((1, 4, 4), 1))
    _, findings = to_graph(nn.Sequential(snn.MaxPool2d(2, dilation=2), lif()), (2, 8, 8), strict=False)
    assert [(f.code, f.where) for f in findings] == [("POOL_DILATION", "0")]


def test_standardised_weights_are_folded() -> None:
    """Weights of ±64 about any mean have a deviation of 64 and come out as ±1, so that every sum is exact."""
    model = behind(snn.Conv2d(2, 4, 2, standardise=True), flat=4 * 9)
    dyadic(model, 0)
    g = torch.Generator().manual_seed(0)
    signs = torch.stack([torch.randperm(8, generator=g) % 2 for _ in range(4)]).view(4, 2, 2, 2) * 2.0 - 1
    model[1].weight.data = 64 * signs + torch.tensor([0.0, 8.0, -16.0, 1.0]).view(4, 1, 1, 1)
    assert torch.equal(model[1].effective_weight, signs)
    assert_equal(model, spikes((2, 4, 4), 1))
    assert np.array_equal(graph_of(model, (2, 4, 4)).connections[1].synapse.weight, signs.numpy())
    volume = behind(snn.Conv3d(2, 4, (1, 2, 2), standardise=True), flat=4 * 9)
    dyadic(volume, 0)
    volume[1].weight.data = model[1].weight.data[:, :, None]
    assert_equal(volume, spikes((2, 1, 4, 4), 1))


def test_threshold_batch_norm_is_folded() -> None:
    model = behind(snn.Conv2d(2, 4, 2), snn.ThresholdBatchNorm(4, threshold=0.5, alpha=0.25), flat=4 * 9)
    assert_equal(dyadic(model, 1), spikes((2, 4, 4), 1))
    weights = model[1].weight.data, graph_of(model, (2, 4, 4)).connections[1].synapse.weight
    scale = 0.125 * model[2].weight.data / model[2].running_var.sqrt()
    assert np.array_equal(weights[1], (weights[0] * scale.view(4, 1, 1, 1)).numpy())


class Skips(nn.Module):
    """A user's module inside a Residual, with functions of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.spike = snn.Conv2d(4, 4, 3, padding=1), lif()

    def forward(self, x: Tensor) -> Tensor:
        return self.spike(self.a(x) + 0.5 * x)


@pytest.mark.parametrize("seed", range(2))
def test_joins(seed: int) -> None:
    model = nn.Sequential(
        snn.Conv2d(2, 4, 1),
        lif(),
        snn.Residual(snn.Conv2d(4, 4, 3, padding=1), snn.BatchNorm(4), lif()),
        snn.Conv2d(4, 4, 1),
        lif(),
        snn.Residual(Skips(), snn.Conv2d(4, 6, 1, stride=2), shortcut=snn.Conv2d(4, 6, 2, stride=2)),
        lif(),
        snn.Concat(snn.Residual(snn.Conv2d(6, 6, 1), lif()), nn.Identity(), snn.Conv2d(6, 1, 1)),
        snn.AvgPool2d(3),
        snn.Flatten(),
        snn.Add(snn.Linear(13, 5), nn.Sequential(snn.Linear(13, 5), lif()), snn.Linear(13, 5, bias=False)),
        lif(),
    )
    assert_equal(dyadic(model, seed), spikes((2, 6, 6), seed))


def test_findings_inside_joins_name_the_place() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x)

    model = nn.Sequential(
        snn.Linear(4, 4),
        lif(),
        snn.Residual(snn.Linear(4, 3)),
        snn.Residual(Odd()),
        snn.Add(nn.GRU(4, 4), nn.Identity()),
    )
    _, findings = to_graph(model, (4,), strict=False)
    assert [(f.code, f.where) for f in findings if f.code == "SHAPE"] == [("SHAPE", "2")]
    _, findings = to_graph(nn.Sequential(snn.Residual(Odd()), lif()), (4,), strict=False)
    (finding,) = findings
    assert finding.code == "UNSUPPORTED_CALL"
    assert "test_layers.py:" in finding.where
    _, findings = to_graph(nn.Sequential(snn.Add(nn.GRU(4, 4), nn.Identity()), lif()), (4,), strict=False)
    assert [(f.code, f.where) for f in findings] == [("UNKNOWN_MODULE", "0.0")]


@pytest.mark.parametrize("make", [
    lambda: (snn.Recurrent.dense(snn.CubaLIF(decay_syn=0.5, decay_mem=0.5), 6, bias=True), (6,)),
    lambda: (snn.Recurrent.one_to_one(lif(), 6), (6,)),
    lambda: (snn.Recurrent.one_to_one(lif(threshold=0.5), 2, bias=True), (2, 3, 3)),
    lambda: (snn.Recurrent.one_to_one(lif(), (2, 3, 3)), (2, 3, 3)),
    lambda: (snn.Recurrent.conv(lif(), 2), (2, 4, 4)),
    lambda: (snn.Recurrent.conv(lif(), 4, 3, groups=4), (4, 3, 3)),
    lambda: (snn.Recurrent(lif(), nn.Sequential(snn.Linear(6, 3), snn.Linear(3, 6))), (6,)),
    lambda: (snn.Recurrent(lif(), snn.Residual(snn.Linear(6, 6), shortcut=snn.OneToOne(6))), (6,)),
])  # fmt: skip
def test_recurrent_connections(make: Any) -> None:
    loop, shape = make()
    model = nn.Sequential(loop, snn.Flatten(), snn.Linear(int(np.prod(shape)), 3), lif())
    assert_equal(dyadic(model, 3), spikes(shape, 3))


def test_one_to_one_in_a_chain() -> None:
    for shape in (3, (3, 4, 4)):
        model = behind(snn.Conv2d(3, 3, 1), snn.OneToOne(shape, bias=True), flat=48)
        assert_equal(dyadic(model, 2), spikes((3, 4, 4), 2))
    _, findings = to_graph(nn.Sequential(snn.OneToOne(3), lif()), (4,), strict=False)
    assert [(f.code, f.where) for f in findings] == [("SHAPE", "0")]


@pytest.mark.parametrize("steps", [0, 2, [0, 3, 1]])
def test_delays_are_delays_of_connections(steps: Any) -> None:
    model = nn.Sequential(
        snn.Delay(steps),
        snn.Conv2d(3, 3, 2),
        lif(),
        snn.Delay(steps),
        snn.AvgPool2d(3),
        snn.Flatten(),
        snn.Linear(3, 4),
        lif(),
    )
    dyadic(model, 4)
    assert_equal(model, spikes((3, 4, 4), 4))
    graph = graph_of(model, (3, 4, 4))
    assert {c.delay for c in graph.connections} == (set(steps) if isinstance(steps, list) else {steps})
    lags = [p.lag for p in add_lag(graph).populations]
    assert lags[-1] == (1 if 0 in ([steps] if isinstance(steps, int) else steps) else 0)  # a delay takes in the lag


def test_delays_add_up_and_meet() -> None:
    class Paths(nn.Module):
        """Two ways of different delay from one layer to another."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = snn.Linear(5, 6), snn.Linear(6, 4, bias=False), snn.Linear(6, 4)
            self.one, self.two, self.each = snn.Delay(1), snn.Delay(2), snn.Delay([0, 1, 2, 3, 0, 1])
            self.first, self.last = lif(), lif()

        def forward(self, x: Tensor) -> Tensor:
            s = self.first(self.a(self.one(self.two(x))))
            return self.last(self.two(self.b(self.each(s))) + self.c(s))

    model = dyadic(Paths(), 1)
    assert_equal(model, spikes((5,), 1))
    graph = graph_of(model, (5,))
    assert sorted(c.delay for c in graph.connections) == [0, 2, 3, 3, 4, 5]
    pooled = nn.Sequential(lif(threshold=0.5), snn.Delay(2), snn.MaxPool2d(2), snn.Flatten(), snn.Linear(4, 2), lif())
    assert_equal(dyadic(pooled, 2), spikes((1, 4, 4), 1))


def test_what_a_delay_cannot_delay() -> None:
    for layers, code in (
        ([snn.Linear(4, 3), snn.Delay(1), snn.LIF()], "DELAYED_BIAS"),
        ([snn.Linear(4, 3), snn.LIF(), snn.Delay(1)], "OUTPUT_NOT_A_NEURON"),
        ([snn.Delay([1, 2]), snn.LIF()], "SHAPE"),
    ):
        _, findings = to_graph(nn.Sequential(*layers), (4,), strict=False)
        assert [f.code for f in findings] == [code]


def test_modules_of_torch_inside_over_time() -> None:
    """Inside, the batch is [T·B, …], so torch's own layers stand for ours."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.a(x) + x, self.b(x)], 1).flatten(1)

    inner = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.AvgPool2d(2), nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(2),
        nn.ConvTranspose2d(4, 2, 1), nn.Dropout2d(0.5),
    )  # fmt: skip
    model = nn.Sequential(
        snn.over_time(inner), lif(), snn.over_time(Own()), lif(threshold=0.5),
        snn.over_time(nn.Linear(12, 3)), lif(),
    )  # fmt: skip
    dyadic(model, 2)
    norm = inner[1]
    norm.running_mean.fill_(0.25), norm.running_var.fill_(0.25), norm.weight.data.fill_(0.5)
    norm.eps = 0.0
    assert_equal(model, spikes((2, 6, 6), 1))
    _, findings = to_graph(
        nn.Sequential(snn.over_time(nn.Sequential(nn.Linear(4, 4), nn.GELU())), lif()), (4,), strict=False
    )
    assert [(f.code, f.where) for f in findings] == [("UNKNOWN_MODULE", "0.module.1")]
    _, findings = to_graph(nn.Sequential(snn.over_time(nn.Flatten(0)), lif()), (4,), strict=False)
    assert [(f.code, f.where) for f in findings] == [("UNSUPPORTED_CALL", "0.module")]


def test_interpolations_without_synapses_of_their_own() -> None:
    _, findings = to_graph(nn.Sequential(snn.Upsample(scale_factor=2, mode="bicubic"), lif()), (1, 3, 3), strict=False)
    assert [(f.code, f.where) for f in findings] == [("INTERPOLATION", "0")]
