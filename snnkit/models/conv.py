"""A convolutional classifier of event frames."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError


class ConvClassifier(snn.Sequential):
    """[conv – batch norm – average pool – LIF] × n, dropout, linear, leaky integrator.

    Pooling stands before the neuron, so that each block has one synapse and one spiking layer after norm and pool are
    folded into the weights; a strided convolution (`stride=2, pool=1`) costs less and does the same with more freedom.
    The last layer does not fire: its membrane [T, B, num_classes] is read.

    Args:
        input_shape: (channels, height, width) of one step.
        num_classes: number of outputs.
        channels: output channels of each block.
        kernel_size: side of the square kernels, odd; "same" padding.
        stride: step of the convolutions.
        pool: side of the pooling windows; 1 for none.
        decay: membrane decay of the LIF layers; one value, or one per block.
        learn_decay: decays are learned, one per layer.
        surrogate: name of the surrogate gradient.
        dropout: share of the last block's outputs dropped in training.
        readout_decay: decay of the read-out's membrane; 1 sums up over time.

    Shapes: [T, B, C, H, W] → [T, B, num_classes].

    Raises:
        ParameterError: a size that is not positive, or a wrong number of decays.
        ShapeError: more pooling than pixels; names the block.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (2, 34, 34),
        num_classes: int = 10,
        channels: Sequence[int] = (16, 32, 64),
        kernel_size: int = 3,
        stride: int = 1,
        pool: int = 2,
        decay: float | Sequence[float] = 0.6,
        learn_decay: bool = False,
        surrogate: str = "arctan",
        dropout: float = 0.3,
        readout_decay: float = 1.0,
    ) -> None:
        if not channels or min(*channels, *channels, num_classes, pool, kernel_size, stride) < 1:
            raise ParameterError(
                f"ConvClassifier(channels={list(channels)}, num_classes={num_classes}, pool={pool}, "
                f"kernel_size={kernel_size}, stride={stride}) has a size below 1"
            )
        if kernel_size % 2 == 0:
            raise ParameterError(f"kernel_size is {kernel_size}", fix="give an odd size, so that the padding is even")
        decays = [float(decay)] * len(channels) if isinstance(decay, (int, float)) else [float(d) for d in decay]
        if len(decays) != len(channels):
            raise ParameterError(f"{len(decays)} decays for {len(channels)} blocks", fix="give one, or one per block")
        c, h, w = input_shape
        layers: OrderedDict[str, torch.nn.Module] = OrderedDict()
        for k, (n, d) in enumerate(zip(channels, decays), 1):
            h, w = -(-h // stride), -(-w // stride)
            if min(h, w) < pool:
                raise ShapeError(
                    f"block {k} (conv{k}) gets {h}x{w} pixels and cannot pool {pool}x{pool}",
                    fix="use fewer blocks, less pooling, or larger frames",
                )
            layers[f"conv{k}"] = snn.Conv2d(c, n, kernel_size, stride, kernel_size // 2, bias=False)
            layers[f"norm{k}"] = snn.BatchNorm(n)
            if pool > 1:
                layers[f"pool{k}"] = snn.AvgPool2d(pool)
            layers[f"lif{k}"] = snn.LIF(decay=d, learn_decay=learn_decay, surrogate=surrogate)
            c, h, w = n, h // pool, w // pool
        layers["flatten"] = snn.Flatten()
        layers["dropout"] = snn.Dropout(dropout)
        layers["head"] = snn.Linear(c * h * w, num_classes, bias=False)
        layers["readout"] = snn.LI(decay=readout_decay)
        super().__init__(layers)
