"""Networks whose arithmetic is exact on a chip: integrators without leak, weights that are multiples of 1/8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnkit import nn as snn

Array = np.ndarray[Any, Any]
STEPS, BATCH = 8, 5


def neuron(**options: Any) -> snn.LIF:
    """Integrate and fire."""
    return snn.LIF(decay=1.0, **options)


def dyadic(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and biases k/8, batch norms that divide by 2."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randint(-6, 9, p.shape, generator=g) / 8)
        for m in model.modules():
            if isinstance(m, snn.BatchNorm):
                m.eps = 0.0
                m.running_var.fill_(4.0)
                m.running_mean.copy_(torch.randint(-2, 3, m.running_mean.shape, generator=g) / 4)
                m.weight.copy_(torch.randint(1, 3, m.weight.shape, generator=g))
    return model.eval()


class TwoInputs(nn.Module):
    """Two branches of different length that meet."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Sequential(snn.Linear(6, 8), neuron()), nn.Sequential(snn.Linear(4, 4), neuron())
        self.b2, self.head, self.out = nn.Sequential(snn.Linear(4, 4), neuron()), snn.Linear(12, 5), neuron()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.out(self.head(torch.cat([self.a(x), self.b2(self.b(y))], dim=2)))


def dense() -> nn.Module:
    return nn.Sequential(snn.Linear(12, 10), neuron(), snn.Linear(10, 4), neuron())


def recurrent() -> nn.Module:
    first = snn.Recurrent(neuron(), snn.Linear(10, 10))
    second = snn.Recurrent(neuron(refractory=1), snn.Linear(6, 6))
    return nn.Sequential(snn.Linear(12, 10), first, snn.Linear(10, 6), second)


def conv() -> nn.Module:
    return nn.Sequential(
        snn.Conv2d(2, 4, 3, padding=1, bias=False), snn.BatchNorm(4), snn.AvgPool2d(2), neuron(),
        snn.Conv2d(4, 3, 3), neuron(), snn.SumPool2d(2), snn.Flatten(), snn.Linear(3, 3), neuron(),
    )  # fmt: skip


def max_pool() -> nn.Module:
    return nn.Sequential(
        snn.Conv2d(2, 3, 3, padding=1), neuron(), snn.MaxPool2d(2), snn.Flatten(), snn.Linear(48, 3), neuron()
    )


def readout() -> nn.Module:
    return nn.Sequential(snn.Linear(12, 10), neuron(), snn.Linear(10, 4), snn.LI(decay=1.0))


def cuba() -> nn.Module:
    slow = snn.CubaLIF(decay_syn=1.0, decay_mem=1.0, refractory=2)
    return nn.Sequential(snn.Linear(12, 10), slow, snn.Linear(10, 4), neuron())


def single() -> nn.Module:
    return nn.Sequential(snn.Conv1d(1, 1, 3), neuron(), snn.Flatten(), snn.Linear(10, 1), neuron())


Shape = tuple[int, ...]
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Sequence[Any]]] = {
    "dense": (dense, (12,)),
    "recurrent": (recurrent, (12,)),
    "conv, norm, pools": (conv, (2, 8, 8)),
    "max pooling": (max_pool, (2, 8, 8)),
    "probed LI": (readout, (12,)),
    "CubaLIF": (cuba, (12,)),
    "one channel, one neuron": (single, (1, 12)),
    "two inputs": (TwoInputs, [(6,), (4,)]),
}


def spikes(shape: Sequence[Any], seed: int = 0, rate: float = 0.4) -> Any:
    """A raster [T, B, *shape] of uint8, or one per input by name for two shapes."""
    rng = np.random.default_rng(seed)
    if isinstance(shape[0], int):
        return (rng.random((STEPS, BATCH, *shape)) < rate).astype(np.uint8)
    return {name: spikes(s, seed + k, rate) for k, (name, s) in enumerate(zip("xy", shape))}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> tuple[nn.Module, Sequence[Any], Any]:
    """(model, input shape or shapes, samples) of every network in turn."""
    make, shape = NETWORKS[request.param]
    return dyadic(make()), shape, spikes(shape)


@pytest.fixture
def dense_network() -> tuple[nn.Module, Sequence[Any], Any]:
    """(model, input shape, samples) of the dense network."""
    return dyadic(dense()), (12,), spikes((12,))
