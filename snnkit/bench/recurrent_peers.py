"""The recurrent layer that is measured: its constants and weights, and other packages' versions of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

SYN, MEM, THRESHOLD, ALPHA = 0.5, 0.9, 1.0, 2.0


class Weights(NamedTuple):
    """W [N, inputs] and R [N, N]."""

    feed: Tensor
    recur: Tensor


class Spikingjelly(nn.Module):
    """Its container around its CubaLIF."""

    def __init__(self, weights: Weights) -> None:
        from spikingjelly.activation_based import lava_exchange, layer, surrogate

        super().__init__()
        neurons, inputs = weights.feed.shape
        self.feed = nn.Linear(inputs, neurons, bias=False)
        node = lava_exchange.CubaLIFNode(
            1 - SYN, 1 - MEM, THRESHOLD, surrogate_function=surrogate.ATan(ALPHA), detach_reset=True
        )
        self.container = layer.LinearRecurrentContainer(node, neurons, neurons, bias=False, step_mode="m")
        self.feed.weight = nn.Parameter(weights.feed.clone())
        own = torch.eye(neurons, device=weights.recur.device)
        self.container.rc.weight = nn.Parameter(torch.cat([own, weights.recur], 1))

    def forward(self, x: Tensor) -> Tensor:
        from spikingjelly.activation_based import functional

        functional.reset_net(self.container)
        return self.container(self.feed(x))  # type: ignore[no-any-return]


class Snntorch(nn.Module):
    """Its RSynaptic."""

    def __init__(self, weights: Weights) -> None:
        import snntorch
        from snntorch import surrogate

        super().__init__()
        neurons, inputs = weights.feed.shape
        self.feed = nn.Linear(inputs, neurons, bias=False)
        self.cell = snntorch.RSynaptic(
            alpha=SYN, beta=MEM, linear_features=neurons, threshold=THRESHOLD, reset_mechanism="zero",
            spike_grad=surrogate.atan(ALPHA),
        )  # fmt: skip
        self.cell.recurrent = nn.Linear(neurons, neurons, bias=False)
        self.feed.weight = nn.Parameter(weights.feed.clone())
        self.cell.recurrent.weight = nn.Parameter(weights.recur.clone())

    def forward(self, x: Tensor) -> Tensor:
        currents = self.feed(x)
        s = i = v = torch.zeros_like(currents[0])
        spikes = []
        for current in currents.unbind(0):
            s, i, v = self.cell(current, s, i, v)
            spikes.append(s)
        return torch.stack(spikes)


class Norse(nn.Module):
    """Its LIFRecurrent, which has both products inside."""

    def __init__(self, weights: Weights) -> None:
        from norse.torch import LIFParameters, LIFRecurrent

        super().__init__()
        neurons, inputs = weights.feed.shape
        parameters = LIFParameters(
            tau_syn_inv=torch.tensor((1 - SYN) / 0.001),
            tau_mem_inv=torch.tensor((1 - MEM) / 0.001),
            v_th=torch.tensor((1 - MEM) * THRESHOLD),  # the current reaches v multiplied by 1 − decay
            alpha=torch.tensor(100.0),
        )
        self.layer = LIFRecurrent(
            inputs,
            neurons,
            p=parameters,
            input_weights=nn.Parameter(weights.feed.clone()),
            recurrent_weights=nn.Parameter(weights.recur.clone()),
            autapses=True,
            dt=0.001,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]  # type: ignore[no-any-return]


PEERS: dict[str, tuple[Callable[[Weights], nn.Module], str]] = {
    "spikingjelly": (Spikingjelly, "states rounded to fixed point; one product of input and output, twice as large"),
    "snntorch": (Snntorch, "fires at v > threshold, resets a step later"),
    "norse": (Norse, "v > threshold, SuperSpike surrogate"),
}
