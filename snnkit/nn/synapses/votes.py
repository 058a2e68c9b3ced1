"""Votes: several output neurons per class, counted together."""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.errors import ParameterError
from snnkit.nn.shapes import expect, shape_error


class Votes(torch.nn.Module):
    """y[c] = Σ x[c·K + k] over the K neurons of class c. x: [T, B, classes·K], y: [T, B, classes].

    The last layer of a network whose answer is the spike count of a group of neurons per class. On a chip it is the
    host that adds them up: the read-out says how many neurons a class has.

    Args:
        classes: number of classes.

    Raises:
        ParameterError: classes below 1.
        ShapeError: another number of dimensions, or neurons that do not divide among the classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        if classes < 1:
            raise ParameterError(f"Votes({classes})", fix="give the number of classes")
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        expect(self, x, "T B N")
        if x.shape[2] % self.classes:
            raise shape_error(self, x, f"a multiple of {self.classes} features", "give each class as many neurons")
        return x.unflatten(2, (self.classes, -1)).sum(3)

    def extra_repr(self) -> str:
        return f"{self.classes}"
