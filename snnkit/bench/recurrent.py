"""A recurrent layer forward + backward: ours, a plain PyTorch loop and installed peers, beside its matrix products.

The layer is `Linear(256, 512)` and a CubaLIF of 512 neurons that all hear each other; the input is spikes. Every
contender has the same weights and computes the same: i ← 0.5·i + W·x + R·s, v ← 0.9·v + i, threshold 1, reset to zero
and detached, arctan surrogate with α = 2, from rest; where a peer cannot, its settings say what differs.

Products alone, the row all are compared with: that of the input over all steps and its weights' gradient, one of the
spikes per step, one of their gradient per step back, and one over all steps for the recurrent weights' gradient.
"""

from __future__ import annotations

import copy
import gc
import importlib.util
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.bench.recurrent_peers import ALPHA, MEM, PEERS, SYN, THRESHOLD, Weights
from snnkit.bench.rounds import on_device, once, peak, seeded, without_garbage
from snnkit.surrogate import Arctan
from snnkit.training.graphs import record

INPUTS, NEURONS = 256, 512
RATE = 0.1
"""Of the input's spikes."""


class Ours(nn.Module):
    """snnkit's layers."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        neurons, inputs = weights.feed.shape
        self.feed = snn.Linear(inputs, neurons, bias=False)
        neuron = snn.CubaLIF(decay_syn=SYN, decay_mem=MEM, threshold=THRESHOLD, surrogate=Arctan(ALPHA))
        self.recurrent = snn.Recurrent.dense(neuron, neurons)
        self.feed.weight = nn.Parameter(weights.feed.clone())
        self.recurrent.synapse.weight = nn.Parameter(weights.recur.clone())
        self.both = snn.Sequential(self.feed, self.recurrent)

    def forward(self, x: Tensor) -> Tensor:
        return self.both(x)  # type: ignore[no-any-return]


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, d: Tensor) -> Tensor:
        ctx.save_for_backward(d)
        return (d >= 0).to(d.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (d,) = ctx.saved_tensors
        return grad * (ALPHA / 2) / (1 + (torch.pi / 2 * ALPHA * d).square())


class PlainLoop(nn.Module):
    """What one writes without a library, one step after the other."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.feed, self.recur = nn.Parameter(weights.feed.clone()), nn.Parameter(weights.recur.clone())

    def currents(self, x: Tensor) -> Iterable[Tensor]:
        """W·x[t] of every step."""
        return (nn.functional.linear(x_t, self.feed) for x_t in x)

    def forward(self, x: Tensor) -> Tensor:
        i = v = s = x.new_zeros(x.shape[1], self.recur.shape[0])
        spikes = []
        for current in self.currents(x):
            i = SYN * i + (current + nn.functional.linear(s, self.recur))
            v = MEM * v + i
            s = _Spike.apply(v - THRESHOLD)
            v = v * (1 - s.detach())
            spikes.append(s)
        return torch.stack(spikes)


class InputFirst(PlainLoop):
    """The same with the input's product taken once, over all steps."""

    def currents(self, x: Tensor) -> Iterable[Tensor]:
        """W·x[t] of every step."""
        return nn.functional.linear(x, self.feed).unbind(0)


class _Products(torch.autograd.Function):
    """The matrix products of the layer and its backward pass, on its spikes, without anything in between."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, feed: Tensor, recur: Tensor, s: Tensor) -> Tensor:
        currents = torch.mm(x.flatten(0, 1), feed.t()).view_as(s)
        back = torch.empty_like(s[0])
        for spikes in s.unbind(0):
            torch.mm(spikes, recur.t(), out=back)
        ctx.save_for_backward(x, recur, s)
        return currents

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor, None]:  # type: ignore[override]
        x, recur, s = ctx.saved_tensors
        back, flat = torch.empty_like(s[0]), grad.flatten(0, 1)
        for later in grad[1:].unbind(0):
            torch.mm(later, recur, out=back)
        of_recur = torch.mm(flat[s.shape[1] :].t(), s[:-1].flatten(0, 1))
        return None, torch.mm(flat.t(), x.flatten(0, 1)), of_recur, None


class Products(nn.Module):
    """The layer without its neurons; it gives no spikes."""

    def __init__(self, weights: Weights, spikes: Tensor) -> None:
        super().__init__()
        self.feed, self.recur = nn.Parameter(weights.feed.clone()), nn.Parameter(weights.recur.clone())
        self.spikes = spikes

    def forward(self, x: Tensor) -> Tensor:
        return _Products.apply(x, self.feed, self.recur, self.spikes)  # type: ignore[no-any-return]


def _afresh(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """The layer, which forgets the gradients of an earlier pass first, as a training step does."""

    def run(x: Tensor) -> Tensor:
        layer.zero_grad(set_to_none=True)
        return layer(x)  # type: ignore[no-any-return]

    return run


class _Captured:
    """Our layer and its backward pass in CUDA graphs, which take away what the calls cost."""

    def __init__(self, layer: nn.Module, x: Tensor) -> None:
        self.layer = copy.deepcopy(layer)
        self.run = record(self.layer, (x.clone(),))

    def __call__(self, x: Tensor) -> Tensor:
        self.layer.zero_grad(set_to_none=True)
        return self.run(x)  # type: ignore[no-any-return]


def run(
    quick: bool = False,
    rounds: int | None = None,
    steps: int = 100,
    batch: int = 64,
    device: str | torch.device = "cpu",
) -> list[dict[str, Any]]:
    """Measure the recurrent layer, round-robin over the implementations.

    Args:
        quick: fewer rounds.
        rounds: interleaved rounds; 3 or 7 where None.
        steps: T.
        batch: B.
        device: where to measure. On a GPU there is a row of our layer in CUDA graphs too.

    Returns:
        Rows with the keys of `snnkit.bench.neurons.run`; floor_ratio is against the matrix products alone, peak_ratio
        in units of the input [T, B, 256].
    """
    device = torch.device(device)
    with seeded():
        x = (torch.rand(steps, batch, INPUTS) < RATE).float().to(device)
        feed, recur = torch.randn(NEURONS, INPUTS) * 0.15, torch.randn(NEURONS, NEURONS) * 0.03
        weights = Weights(feed.to(device), recur.to(device))
        gradient = torch.randn(steps, batch, NEURONS).to(device)
    ours = Ours(weights).to(device)
    with torch.no_grad():
        expected = ours(x)
    makers: dict[str, nn.Module] = {
        "matrix products alone": Products(weights, expected),
        "snnkit fused": ours,
        "plain PyTorch loop": PlainLoop(weights),
        "plain PyTorch loop, input's product first": InputFirst(weights),
    }
    settings = dict.fromkeys(makers, "")
    for package, (make, difference) in PEERS.items():
        if importlib.util.find_spec(package) is not None:
            makers[package], settings[package] = make(weights).to(device), difference
    layers = {name: _afresh(layer) for name, layer in makers.items()}
    if device.type == "cuda":
        layers["snnkit fused, CUDA graph"], settings["snnkit fused, CUDA graph"] = _Captured(ours, x), ""
    peaks, differing = {}, {}
    for name, layer in layers.items():
        spikes = once(layer, x, gradient)[1]
        differing[name] = int((spikes.bool() != expected.bool()).sum())
        del spikes
        peaks[name] = peak(layer, x, gradient)
    differing["matrix products alone"] = None  # type: ignore[assignment]
    seconds: dict[str, list[float]] = {name: [] for name in layers}
    with without_garbage():
        for _ in range(rounds or (3 if quick else 7)):
            for name, layer in layers.items():
                gc.collect()
                seconds[name].append(once(layer, x, gradient)[0])
    floor = min(seconds["matrix products alone"])
    place = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    where = f"float32, {100 * expected.mean().item():.0f} % active, {place}"
    return [
        {
            "work": f"recurrent CubaLIF {INPUTS}->{NEURONS} T{steps} B{batch}",
            "impl": name,
            "settings": where
            + (f"; {settings[name]}" if settings[name] else "")
            + on_device(layers[name], x, gradient, statistics.median(times)),
            "ms_min": round(min(times) * 1e3, 2),
            "ms_median": round(statistics.median(times) * 1e3, 2),
            "floor_ratio": round(min(times) / floor, 2),
            "peak_ratio": None if peaks[name] != peaks[name] else round(peaks[name], 2),
            "differing_spikes": differing[name],
        }
        for name, times in seconds.items()
    ]
