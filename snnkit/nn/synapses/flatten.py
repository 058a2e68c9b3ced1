"""Features in one dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.nn.shapes import refuse_list, shape_error


class Flatten(torch.nn.Module):
    """[T, B, C, H, W] → [T, B, C·H·W]; channel-major, as torch.nn.Flatten per step.

    Raises:
        ShapeError: fewer than 3 dimensions.
    """

    def forward(self, x: Tensor) -> Tensor:
        refuse_list(x, self)
        if x.dim() < 3:
            raise shape_error(self, x, "at least 3 dimensions [T, B, features…]")
        return x.flatten(2)
