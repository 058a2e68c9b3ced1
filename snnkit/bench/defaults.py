"""The peers of `snnkit bench neurons` under their own defaults, whatever neuron those make.

What one gets by writing the class's name; their spikes differ from ours, because the mathematics does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.bench.rounds import Contender, Layer


def _spikingjelly(reset: str) -> Layer:
    from spikingjelly.activation_based import neuron

    layer = neuron.LIFNode(step_mode="m")

    def run(x: Tensor) -> Tensor:
        layer.to(x.device).reset()
        return layer(x)

    return run


def _snntorch(reset: str) -> Layer:
    import snntorch

    layer = snntorch.Leaky(beta=0.9)

    def run(x: Tensor) -> Tensor:
        v = layer.to(x.device).init_leaky()
        spikes = []
        for step in range(x.shape[0]):  # as its tutorials have it
            s, v = layer(x[step], v)
            spikes.append(s)
        return torch.stack(spikes)

    return run


def _norse(reset: str) -> Layer:
    from norse.torch import LIF

    layer = LIF()

    def run(x: Tensor) -> Tensor:
        return layer.to(x.device)(x)[0]  # type: ignore[no-any-return]

    return run


DEFAULTS = (
    Contender(
        "spikingjelly, defaults",
        _spikingjelly,
        "tau 2, input divided by tau, reset to zero and attached, sigmoid surrogate",
        memory=16.0,
        package="spikingjelly",
    ),
    Contender(
        "snntorch, defaults",
        _snntorch,
        "beta 0.9 (it has no default), reset by subtraction a step later, x[t] in a loop",
        memory=18.0,
        package="snntorch",
    ),
    Contender(
        "norse, defaults",
        _norse,
        "LIF with a current, tau_mem 10 ms and tau_syn 5 ms of 1 ms steps",
        memory=24.0,
        package="norse",
    ),
)
"""What they are, in their own words' order; see `Contender`."""
