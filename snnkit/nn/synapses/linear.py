"""Fully connected synapses."""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.nn.shapes import expect
from snnkit.nn.synapses.fold import plastic


class Linear(torch.nn.Linear):
    """y[t] = W·x[t] + b. x: [T, B, in_features], y: [T, B, out_features]; arguments as torch.nn.Linear.

    Raises:
        ShapeError: another number of dimensions or of features.
    """

    def forward(self, input: Tensor) -> Tensor:
        expect(self, input, "T B N", self.in_features, "features")
        return plastic(self, super().forward, input)
