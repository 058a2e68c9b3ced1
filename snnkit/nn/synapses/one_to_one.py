"""A synapse from each neuron to itself or to its counterpart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snnkit.errors import ParameterError
from snnkit.nn.neurons.parameters import along_features
from snnkit.nn.shapes import refuse_list, shape_error


class OneToOne(torch.nn.Module):
    """y[t] = w ⊙ x[t] + b: one synapse per neuron. x, y: [T, B, features…].

    Args:
        shape: of w and b: a number of neurons N or channels C, or the features [C, H, W]. With one value per channel
            of [C, H, W] its pixels share the weight.
        bias: whether there is a b.

    Weights and biases start uniform in −1 … 1, the rule of torch.nn.Linear for a fan-in of 1.

    Raises:
        ParameterError: a shape that is not made of positive numbers.
        ShapeError: features that fit neither per neuron nor per channel.
    """

    bias: Tensor | None

    def __init__(self, shape: int | Sequence[int], bias: bool = False) -> None:
        super().__init__()
        sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
        if not sizes or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sizes):
            raise ParameterError(f"OneToOne({shape!r})", fix="give a number of neurons, or a shape such as (C, H, W)")
        self.weight = torch.nn.Parameter(torch.empty(sizes))
        self.register_parameter("bias", torch.nn.Parameter(torch.empty(sizes)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases anew."""
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -1, 1)

    def forward(self, x: Tensor) -> Tensor:
        refuse_list(x, self)
        if x.dim() < 3:
            raise shape_error(self, x, "at least 3 dimensions [T, B, features…]", "time comes first, then the batch")
        dtype = torch.promote_types(x.dtype, self.weight.dtype)
        y = x * along_features(self, "weight", self.weight, x, dtype)
        return y if self.bias is None else y + along_features(self, "bias", self.bias, x, dtype)

    def extra_repr(self) -> str:
        shape = tuple(self.weight.shape)
        return f"{shape[0] if len(shape) == 1 else shape}, bias={self.bias is not None}"
