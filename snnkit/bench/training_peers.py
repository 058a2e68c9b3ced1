"""The network of `snnkit bench training` with the neurons of other packages, and what all of its networks share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

DECAY, CHANNELS, CLASSES = 0.9, 32, 11


class PerStep(nn.Module):
    """A neuron given as a function of [T, B, …], between layers that see [T*B, …]."""

    def __init__(self, steps: int, apply: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.steps, self.apply_neuron = steps, apply

    def forward(self, x: Tensor) -> Tensor:
        y = self.apply_neuron(x.reshape(self.steps, -1, *x.shape[1:]))
        return y.reshape(x.shape)


def peer_net(steps: int, size: int, neuron: Callable[[], Callable[[Tensor], Tensor]]) -> nn.Sequential:
    """The network with a peer's neurons; x: [T*B, 2, size, size]."""
    layers: list[nn.Module] = []
    channels = 2
    for _ in range(3):
        layers += [nn.Conv2d(channels, CHANNELS, 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS)]
        layers += [PerStep(steps, neuron()), nn.AvgPool2d(2)]
        channels = CHANNELS
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(CHANNELS * (size // 8) ** 2, CLASSES))


def spikingjelly() -> Callable[[Tensor], Tensor]:
    from spikingjelly.activation_based import neuron, surrogate

    node = neuron.LIFNode(tau=1 / (1 - DECAY), decay_input=False, v_threshold=1.0, v_reset=None,
                          surrogate_function=surrogate.ATan(2.0), detach_reset=True, step_mode="m")  # fmt: skip

    def run_node(x: Tensor) -> Tensor:
        node.to(x.device).reset()
        return node(x)

    return run_node


def snntorch() -> Callable[[Tensor], Tensor]:
    import snntorch
    from snntorch import surrogate

    leaky = snntorch.Leaky(beta=DECAY, threshold=1.0, spike_grad=surrogate.atan(2.0), reset_mechanism="subtract",
                           reset_delay=False)  # fmt: skip

    def run_leaky(x: Tensor) -> Tensor:
        mem = leaky.to(x.device).init_leaky()
        out = []
        for x_t in x.unbind(0):
            spike, mem = leaky(x_t, mem)
            out.append(spike)
        return torch.stack(out)

    return run_leaky
