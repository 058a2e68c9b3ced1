"""The networks of the PLIF paper: convolutions with max pooling, learned decays, and votes."""

from __future__ import annotations

from collections import OrderedDict

import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError


class PLIFNet(snn.Sequential):
    """[conv 3×3 – batch norm – PLIF – max pool 2×2] × blocks, two × (dropout, linear – PLIF), votes.

    A PLIF is a LIF whose decay is learned, one per layer. The paper's nets are `blocks=2, hidden=2048` for N-MNIST
    (2, 34, 34), `blocks=4, hidden=512` for CIFAR10-DVS and `blocks=5, hidden=512` for DVS128 Gesture (2, 128, 128).

    The paper's neuron multiplies its input by 1/τ = 1 − decay; ours has no gain. Weights start times 1 − decay, so that
    at the start both compute the same; from then on our gain is learned with the weights instead of with the decay.

    Args:
        input_shape: (channels, height, width) of one step.
        num_classes: number of outputs.
        channels: of every convolution.
        blocks: convolutions.
        hidden: neurons of the first linear layer.
        votes: output neurons per class, whose spikes are added up; the paper takes their mean.
        decay: at the start, 1 − 1/τ.
        learn_decay: False makes them plain LIF layers.
        surrogate: name of the surrogate gradient.
        dropout: share dropped before each linear layer, the same over time.

    Shapes: [T, B, C, H, W] → [T, B, num_classes], spikes of all votes of a class per step.

    Raises:
        ParameterError: a size below 1, or a decay outside 0..1.
        ShapeError: more pooling than pixels.

    Source: Fang et al. 2021, doi:10.1109/ICCV48922.2021.00266, table 1 and eq. 6-9.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (2, 34, 34),
        num_classes: int = 10,
        channels: int = 128,
        blocks: int = 2,
        hidden: int = 2048,
        votes: int = 10,
        decay: float = 0.5,
        learn_decay: bool = True,
        surrogate: str = "arctan",
        dropout: float = 0.5,
    ) -> None:
        if min(channels, blocks, hidden, votes, num_classes) < 1:
            raise ParameterError(
                f"PLIFNet(channels={channels}, blocks={blocks}, hidden={hidden}, votes={votes}, "
                f"num_classes={num_classes}) has a size below 1"
            )
        c, h, w = input_shape
        layers: OrderedDict[str, torch.nn.Module] = OrderedDict()

        def neuron() -> snn.LIF:
            return snn.LIF(decay=decay, learn_decay=learn_decay, surrogate=surrogate)

        for k in range(1, blocks + 1):
            if min(h, w) < 2:
                raise ShapeError(f"block {k} gets {h}x{w} pixels and cannot pool 2x2", fix="use fewer blocks")
            layers[f"conv{k}"] = snn.Conv2d(c, channels, 3, padding=1, bias=False)
            layers[f"norm{k}"] = snn.BatchNorm(channels)
            layers[f"lif{k}"] = neuron()
            layers[f"pool{k}"] = snn.MaxPool2d(2)
            c, h, w = channels, h // 2, w // 2
        layers["flatten"] = snn.Flatten()
        n = c * h * w
        for name, m in (("linear", hidden), ("head", num_classes * votes)):
            layers[f"{name}_dropout"] = snn.Dropout(dropout)
            layers[name] = snn.Linear(n, m)
            layers[f"{name}_lif"] = neuron()
            n = m
        layers["votes"] = snn.Votes(num_classes)
        super().__init__(layers)
        with torch.no_grad():
            for module in self.children():
                if isinstance(module, snn.BatchNorm):
                    module.weight.mul_(1 - decay)
                elif isinstance(module, snn.Linear):
                    module.weight.mul_(1 - decay)
                    module.bias.mul_(1 - decay)
