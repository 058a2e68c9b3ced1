"""A whole training step (forward, loss, backward, optimiser) of a convolutional network, ours and installed peers.

conv 3×3 – batch norm – neuron – average pool, three times, then linear on the mean over time; the same weights and the
same mathematics in every row (decay 0.9, threshold 1, subtract reset, detached, arctan of width 2). The row "no neuron"
shows what the rest costs. Peers run under their own default back end for multi-step mode.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.surrogate import Arctan

DECAY, CHANNELS, CLASSES = 0.9, 32, 11


class _PerStep(nn.Module):
    """A neuron given as a function of [T, B, …], between layers that see [T*B, …]."""

    def __init__(self, steps: int, apply: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.steps, self.apply_neuron = steps, apply

    def forward(self, x: Tensor) -> Tensor:
        y = self.apply_neuron(x.reshape(self.steps, -1, *x.shape[1:]))
        return y.reshape(x.shape)


def _peer_net(steps: int, size: int, neuron: Callable[[], Callable[[Tensor], Tensor]]) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 2
    for _ in range(3):
        layers += [nn.Conv2d(channels, CHANNELS, 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS)]
        layers += [_PerStep(steps, neuron()), nn.AvgPool2d(2)]
        channels = CHANNELS
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(CHANNELS * (size // 8) ** 2, CLASSES))


def _our_net(size: int, neuron: Callable[[], nn.Module]) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 2
    for _ in range(3):
        layers += [snn.Conv2d(channels, CHANNELS, 3, padding=1, bias=False), snn.BatchNorm(CHANNELS), neuron()]
        layers.append(snn.AvgPool2d(2))
        channels = CHANNELS
    return nn.Sequential(*layers, snn.Flatten(), snn.Linear(CHANNELS * (size // 8) ** 2, CLASSES))


class _Eager(nn.Module):
    """Our neuron's definition, step by step under autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.neuron = _lif()

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron.reference(x)[0]


def _lif() -> snn.LIF:
    return snn.LIF(decay=DECAY, reset="subtract", surrogate=Arctan(2.0))


def _spikingjelly() -> Callable[[Tensor], Tensor]:
    from spikingjelly.activation_based import neuron, surrogate

    node = neuron.LIFNode(tau=1 / (1 - DECAY), decay_input=False, v_threshold=1.0, v_reset=None,
                          surrogate_function=surrogate.ATan(2.0), detach_reset=True, step_mode="m")  # fmt: skip

    def run_node(x: Tensor) -> Tensor:
        node.reset()
        return node(x)

    return run_node


def _snntorch() -> Callable[[Tensor], Tensor]:
    import snntorch
    from snntorch import surrogate

    leaky = snntorch.Leaky(beta=DECAY, threshold=1.0, spike_grad=surrogate.atan(2.0), reset_mechanism="subtract")

    def run_leaky(x: Tensor) -> Tensor:
        mem = leaky.init_leaky()
        out = []
        for x_t in x.unbind(0):
            spike, mem = leaky(x_t, mem)
            out.append(spike)
        return torch.stack(out)

    return run_leaky


def _step(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> Callable[[], float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        out = model(x)
        out = out.reshape(steps, -1, CLASSES).mean(0)
        loss = nn.functional.cross_entropy(out, y)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def run(quick: bool = False, rounds: int = 7, shape: Sequence[int] = (16, 16, 32)) -> list[dict[str, Any]]:
    """Time training steps, round-robin over the implementations.

    Args:
        quick: fewer rounds and steps. shape: T, B and the sensor's side.

    Returns:
        Rows {work, impl, settings, first_ms, ms_min, ms_median, times_ours, loss}.
    """
    steps, batch, size = (8, 8, 32) if quick else shape
    rounds = 3 if quick else rounds
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(steps, batch, 2, size, size, generator=generator) < 0.1).float()
    y = torch.randint(0, CLASSES, (batch,), generator=generator)
    makers: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
        "snnkit": lambda: (_our_net(size, _lif), x),
        "snnkit, eager loop": lambda: (_our_net(size, _Eager), x),
        "no neuron": lambda: (_our_net(size, nn.Identity), x),
    }
    for name, make in (("spikingjelly", _spikingjelly), ("snntorch", _snntorch)):
        if importlib.util.find_spec(name):
            makers[name] = lambda make=make: (_peer_net(steps, size, make), x.flatten(0, 1))  # type: ignore[misc]
    todo, first, loss = {}, {}, {}
    for name, maker in makers.items():
        torch.manual_seed(0)
        model, frames = maker()
        todo[name] = _step(model, frames, y, steps)
        clock = time.perf_counter()
        loss[name] = todo[name]()
        first[name] = time.perf_counter() - clock
    times: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(rounds):
        for name, step in todo.items():
            clock = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - clock)
    settings = f"T={steps} B={batch} 2x{size}x{size}, {CHANNELS} channels, threads={torch.get_num_threads()}"
    ours = min(times["snnkit"])
    return [
        {
            "work": "training step",
            "impl": name,
            "settings": settings,
            "first_ms": round(first[name] * 1e3, 1),
            "ms_min": round(min(t) * 1e3, 1),
            "ms_median": round(statistics.median(t) * 1e3, 1),
            "times_ours": round(min(t) / ours, 2),
            "loss": round(loss[name], 6),
        }
        for name, t in times.items()
    ]
