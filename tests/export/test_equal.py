"""The graph run by the plain executor equals the torch model in eval mode, spike for spike, on dyadic networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.export import to_graph
from snnkit.graph.run import run
from snnkit.passes import add_lag, gate_bias, loop_findings

T, B = 6, 3


def dyadic(model: nn.Module, seed: int) -> nn.Module:
    """Weights, biases and norm parameters that are multiples of powers of two, so that every sum is exact."""
    g = torch.Generator().manual_seed(seed)
    for m in model.modules():
        for p in m.parameters(recurse=False):
            p.data = torch.randint(-8, 9, p.shape, generator=g).float() / 8
        if isinstance(m, snn.BatchNorm):
            assert m.running_mean is not None
            assert m.running_var is not None
            m.running_mean.copy_(torch.randint(-4, 5, m.running_mean.shape, generator=g).float() / 8)
            m.running_var.copy_(torch.tensor([0.25, 1.0, 4.0])[torch.randint(0, 3, m.running_var.shape, generator=g)])
            m.eps = 0.0
            m.weight.data = torch.randint(1, 5, m.weight.shape, generator=g).float() / 4
    return model.eval()


def spikes(shape: tuple[int, ...], seed: int, rate: float = 0.4) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(T, B, *shape, generator=g) < rate).float()


def assert_equal(model: nn.Module, *inputs: Tensor, readout: str | None = None) -> None:
    """Every neuron layer of model and graph fires alike, on both timelines."""
    shapes = [tuple(x.shape[2:]) for x in inputs]
    with torch.no_grad(), snn.record(model, spikes=True) as rec:
        out = model(*inputs)
    graph, findings = to_graph(model, shapes, steps=T, readout=readout)
    assert graph is not None
    assert not findings
    rasters = {i.name: x.reshape(T, B, -1).numpy().astype(np.uint8) for i, x in zip(graph.inputs, inputs)}
    chip = gate_bias(add_lag(graph))
    chip.validate()
    for g in (graph, chip):
        trace = run(g, rasters)
        for path, s in rec.spikes.items():
            got = trace.aligned(path)
            assert np.array_equal(got, s.reshape(T, B, -1).numpy()), (g.timeline, path)
        assert any(s.any() for s in trace.spikes.values()), "a silent network proves nothing"
        assert graph.readout is not None
        if graph.readout.rule == "count":
            assert np.array_equal(trace.scores(), out.sum(0).reshape(B, -1).numpy())
        elif graph.readout.rule == "last":
            assert np.array_equal(trace.scores(), out[-1].numpy())


def lif(**kw: object) -> snn.LIF:
    return snn.LIF(decay=0.5, **kw)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_sequential_conv_norm_pool(seed: int) -> None:
    model = nn.Sequential(
        snn.Conv2d(2, 4, 3, padding=1),
        snn.BatchNorm(4),
        snn.AvgPool2d(2),
        lif(),
        snn.Dropout(0.5),
        snn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
        lif(refractory=1),
        snn.SumPool2d(2),
        snn.Flatten(),
        snn.Linear(6, 5),
        snn.BatchNorm(5),
        lif(threshold=2.0),
    )
    assert_equal(dyadic(model, seed), spikes((2, 9, 9), seed))


@pytest.mark.parametrize(("size", "pool", "padding"), [(8, 2, 0), (8, 2, 1), (9, 2, 0), (9, 2, 1), (9, 4, 0)])
def test_pool_behind_the_neuron(size: int, pool: int, padding: int) -> None:
    """Also where the pool drops rows, or where padding makes the merge inexact and the product is used."""
    model = nn.Sequential(
        snn.Conv2d(1, 3, 1), lif(), snn.AvgPool2d(pool), snn.Conv2d(3, 2, 2, padding=padding), lif(threshold=0.5)
    )
    assert_equal(dyadic(model, 4), spikes((1, size, size), 4))


def test_conv1d_max_pool_and_membrane_readout() -> None:
    model = nn.Sequential(
        snn.Conv1d(2, 4, 3, padding=1, dilation=1), lif(), snn.Flatten(), snn.Linear(4 * 7, 6), snn.LI(decay=0.5)
    )
    assert_equal(dyadic(model, 1), spikes((2, 7), 1))
    model = nn.Sequential(
        snn.MaxPool2d(2), snn.Conv2d(2, 3, 2), lif(), snn.MaxPool2d(3, stride=1), snn.Flatten(), lif()
    )
    assert_equal(dyadic(model, 2), spikes((2, 9, 9), 2, rate=0.1))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(snn.Conv2d(2, 4, 3, padding=1), lif())
        self.block = nn.Sequential(snn.Conv2d(4, 4, 3, padding=1), snn.BatchNorm(4), lif(), snn.Conv2d(4, 4, 1))
        self.after, self.head = lif(), snn.Linear(4 * 36, 5)
        self.out = lif(reset="subtract")

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.out(self.head(self.after(self.block(h) + h * 0.5).flatten(2)))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (
            nn.Sequential(snn.Linear(6, 8), lif()),
            nn.Sequential(snn.Linear(4, 4), lif(), snn.Linear(4, 4), lif()),
        )
        self.head, self.out = snn.Linear(12 + 6, 5), snn.CubaLIF(decay_syn=0.5, decay_mem=0.75)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.out(self.head(torch.cat([self.a(x), self.b(y), x], dim=2)))


class CatChannels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Sequential(snn.Conv2d(1, 2, 3, padding=1), lif()), nn.Sequential(snn.Conv2d(1, 3, 1), lif())
        self.norm, self.pool, self.c, self.out = snn.BatchNorm(5), snn.AvgPool2d(2), snn.Conv2d(5, 4, 2), lif()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.c(self.pool(self.norm(torch.cat((self.a(x), self.b(x)), -3)))))


class RecurrentBranch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(snn.Linear(5, 8), lif())
        self.loop = snn.Recurrent(snn.LIF(decay=0.5), snn.Linear(8, 8))
        self.head, self.out = snn.Linear(8, 4), lif()

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.out(self.head(self.loop(h) + h))


@pytest.mark.parametrize(
    ("make", "shapes"),
    [(Residual, [(2, 6, 6)]), (TwoInputs, [(6,), (4,)]), (CatChannels, [(1, 6, 6)]), (RecurrentBranch, [(5,)])],
)
@pytest.mark.parametrize("seed", range(3))
def test_branches(make: Callable[[], nn.Module], shapes: list[tuple[int, ...]], seed: int) -> None:
    model = dyadic(make(), seed)
    assert_equal(model, *(spikes(s, seed + k) for k, s in enumerate(shapes)))


@settings(max_examples=15)
@given(
    st.lists(st.sampled_from(["conv", "norm", "avg", "sum", "lif", "cuba", "drop"]), min_size=1, max_size=7),
    st.integers(0, 10**6),
)
def test_random_sequences(kinds: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels, size, layers = 2, 10, []
    for kind in kinds:
        if kind == "conv":
            new, k = int(rng.integers(1, 4)), int(rng.integers(1, 4))
            stride, pad = int(rng.integers(1, 3)), int(rng.integers(0, 2))
            if size + 2 * pad < k:
                continue
            layers.append(snn.Conv2d(channels, new, k, stride=stride, padding=pad, bias=bool(rng.integers(2))))
            channels, size = new, (size + 2 * pad - k) // stride + 1
        elif kind in ("avg", "sum"):
            if size < 2:
                continue
            layers.append(snn.AvgPool2d(2) if kind == "avg" else snn.SumPool2d(2))
            size //= 2
        else:
            layers.append({"norm": snn.BatchNorm(channels), "lif": lif(), "drop": snn.Dropout(0.3),
                           "cuba": snn.CubaLIF(decay_syn=0.5, decay_mem=0.5, refractory=1)}[kind])  # fmt: skip
    model = nn.Sequential(lif(), *layers, snn.Flatten(), snn.Linear(channels * size * size, 3), lif())
    assert_equal(dyadic(model, seed), spikes((2, 10, 10), seed))


def test_loop_through_two_layers_is_named() -> None:
    from dataclasses import replace

    from snnkit.graph import Connection, Dense

    graph, _ = to_graph(dyadic(nn.Sequential(snn.Linear(3, 3), lif(), snn.Linear(3, 3), lif()), 0), (3,), steps=T)
    assert graph is not None
    back = Connection("back", "3", "1", Dense(np.eye(3)), delay=1)
    looped = graph.with_(connections=(*graph.connections, back))
    (finding,) = loop_findings(looped)
    assert finding.code == "LOOP_TOO_SHORT"
    assert "1" in finding.where
    assert "3" in finding.where
    assert finding.needed == 2
    assert not loop_findings(graph.with_(connections=(*graph.connections, replace(back, delay=2))))


@pytest.mark.parametrize("join", ["and", "iand"])
@pytest.mark.parametrize("deep", [False, True])
def test_spikes_joined_by_logic(join: str, deep: bool) -> None:
    """A gate is a layer of neurons without memory, a tick later; shorter branches wait for it."""
    shortcut = nn.Sequential(snn.Conv2d(3, 3, 1), snn.LIF(decay=0.5)) if deep else None
    body = [snn.Conv2d(3, 3, 3, padding=1), snn.LIF(decay=0.5), snn.Conv2d(3, 3, 1), snn.LIF(decay=0.5)]
    model = nn.Sequential(
        snn.Conv2d(2, 3, 3, padding=1), snn.LIF(decay=0.5), snn.Residual(*body, shortcut=shortcut, join=join),
        snn.Residual(snn.Conv2d(3, 3, 1), snn.LIF(decay=0.5), join=join), snn.Flatten(), snn.Linear(48, 4), snn.LIF(),
    )  # fmt: skip
    assert_equal(dyadic(model, 3), spikes((2, 4, 4), 1))
