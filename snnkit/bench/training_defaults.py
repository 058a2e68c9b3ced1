"""`snnkit bench training` with everybody's own defaults: what one gets by writing the classes' names.

Their spikes differ from ours, because the mathematics does. spikingjelly goes layer by layer over [T, B, …], snntorch
through the whole network step by step, as its tutorials have it, so that its batch norms see one step at a time. Ours
is what `snnkit train` makes of the network: LIF with its defaults, and the precision and memory format that are picked
for it on this machine where a recipe says nothing (`snnkit.training.precision`), with freed memory kept as `fit` keeps
it, which the others' scripts do not; frames come with channels first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.bench.training import Entry, our_net
from snnkit.bench.training_peers import CHANNELS, CLASSES, peer_net
from snnkit.training.precision import choose


class _StepByStep(nn.Module):
    """snntorch's network, called once per step with x[t]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        import snntorch

        self.convolutions, self.norms, self.neurons = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = 2
        for _ in range(3):
            self.convolutions.append(nn.Conv2d(channels, CHANNELS, 3, padding=1, bias=False))
            self.norms.append(nn.BatchNorm2d(CHANNELS))
            self.neurons.append(snntorch.Leaky(beta=0.9))
            channels = CHANNELS
        self.head = nn.Linear(CHANNELS * (size // 8) ** 2, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        states: list[Any] = [neuron.init_leaky() for neuron in self.neurons]  # type: ignore[operator]
        outputs = []
        for step in range(x.shape[0]):
            h = x[step]
            for k, (convolution, norm, neuron) in enumerate(zip(self.convolutions, self.norms, self.neurons)):
                h, states[k] = neuron(norm(convolution(h)), states[k])
                h = nn.functional.avg_pool2d(h, 2)
            outputs.append(self.head(h.flatten(1)))
        return torch.stack(outputs)


def _spikingjelly() -> Callable[[Tensor], Tensor]:
    from spikingjelly.activation_based import neuron

    node = neuron.LIFNode(step_mode="m")

    def run(x: Tensor) -> Tensor:
        node.reset()
        return node(x)  # type: ignore[no-any-return]

    return run


def defaults(x: Tensor, size: int) -> dict[str, Callable[[], Entry]]:
    """The networks by name; x: [T, B, 2, size, size]."""

    def ours() -> Entry:
        model = our_net(size, snn.LIF)
        chosen = choose("auto", "auto", x.device.type, model, [x.shape[2:]], x.shape[0], x.shape[1])
        settings = f"LIF's defaults, {chosen.precision}, {chosen.memory_format}, freed memory kept"
        return Entry(model, x, model[2], settings, chosen.precision == "bf16-mixed", chosen.memory_format, True)

    def spikingjelly() -> Entry:
        model = peer_net(x.shape[0], size, _spikingjelly)
        return Entry(model, x.flatten(0, 1), model[2], "LIFNode's defaults")

    def snntorch() -> Entry:
        model = _StepByStep(size)
        return Entry(model, x, model.neurons[0], "Leaky's defaults, beta 0.9, step by step")

    return {"snnkit, defaults": ours, "spikingjelly, defaults": spikingjelly, "snntorch, defaults": snntorch}
