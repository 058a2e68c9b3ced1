"""Spiking VGG networks."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError

Depth = Literal[5, 11, 13, 16]

STAGES: dict[int, tuple[tuple[int, ...], ...]] = {
    5: ((32,), (64,), (128,)),
    11: ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    13: ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    16: ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
}
"""Channels of the convolutions in front of each max pool. 11, 13, 16: Simonyan & Zisserman 2015, arXiv:1409.1556,
table 1, columns A, B and D. 5 is a small one of our own."""


class SpikingVGG(snn.Sequential):
    """[(conv 3×3 – batch norm – LIF) × n, max pool 2×2] per stage, mean to grid × grid, linear layers, linear, LI.

    Args:
        input_shape: (channels, height, width) of one step; any size that the pools leave pixels of.
        num_classes: number of outputs.
        depth: layers with weights: 11, 13 or 16, or 5, a small one (32, 64, 128 channels, one hidden layer).
        grid: pixels along each axis that are left for the linear layers; the original's is 7, for 224 × 224. 1 is the
            global mean, as for small sensors.
        hidden: neurons of the linear layers in between, two of them (one for depth 5); the original's are 4096.
        decay: of all neurons.
        learn_decay: decays are learned, one per layer.
        surrogate: name of the surrogate gradient.
        dropout: share dropped before the linear layers, the same over time.
        readout_decay: decay of the read-out's membrane; 1 sums up over time.

    Shapes: [T, B, C, H, W] → [T, B, num_classes].

    Raises:
        ParameterError: another depth, or a size below 1.
        ShapeError: more pooling than pixels.

    Source: Simonyan & Zisserman 2015, arXiv:1409.1556; as spiking network Sengupta et al. 2019,
    doi:10.3389/fnins.2019.00095. Batch norm and max pooling of spikes as in spikingjelly's.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (2, 34, 34),
        num_classes: int = 10,
        depth: Depth = 5,
        grid: int = 1,
        hidden: int = 256,
        decay: float = 0.5,
        learn_decay: bool = False,
        surrogate: str = "arctan",
        dropout: float = 0.5,
        readout_decay: float = 1.0,
    ) -> None:
        if depth not in STAGES or min(num_classes, grid, hidden) < 1:
            raise ParameterError(
                f"SpikingVGG(depth={depth!r}, grid={grid}, hidden={hidden}, num_classes={num_classes})",
                fix="depth 5, 11, 13 or 16, and sizes of at least 1",
            )
        c, h, w = input_shape
        layers: OrderedDict[str, torch.nn.Module] = OrderedDict()

        def neuron() -> snn.LIF:
            return snn.LIF(decay=decay, learn_decay=learn_decay, surrogate=surrogate)

        k = 0
        for stage, widths in enumerate(STAGES[depth], 1):
            for n in widths:
                k += 1
                layers[f"conv{k}"] = snn.Conv2d(c, n, 3, padding=1, bias=False)
                layers[f"norm{k}"] = snn.BatchNorm(n)
                layers[f"lif{k}"] = neuron()
                c = n
            if min(h, w) < 2:
                raise ShapeError(f"stage {stage} gets {h}x{w} pixels and cannot pool 2x2", fix="give larger frames")
            layers[f"pool{stage}"] = snn.MaxPool2d(2)
            h, w = h // 2, w // 2
        layers["mean"] = snn.AdaptiveAvgPool2d(grid)
        layers["flatten"] = snn.Flatten()
        n = c * grid * grid
        for i in range(1, 2 if depth == 5 else 3):
            layers[f"linear{i}"] = snn.Linear(n, hidden)
            layers[f"linear{i}_lif"] = neuron()
            layers[f"dropout{i}"] = snn.Dropout(dropout)
            n = hidden
        layers["head"] = snn.Linear(n, num_classes)
        layers["readout"] = snn.LI(decay=readout_decay)
        super().__init__(layers)
