"""Fully connected synapses, and those with a limited number of inputs per neuron."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.errors import ParameterError
from snnkit.nn.shapes import expect
from snnkit.nn.synapses.fold import plastic
from snnkit.nn.synapses.limited import drawn_mask, start


class Linear(torch.nn.Linear):
    """y[t] = W·x[t] + b. x: [T, B, in_features], y: [T, B, out_features].

    Chips limit the inputs of a neuron (a TrueNorth core has 128 of trinary weight). With `groups` output group g sees
    input group g alone; with `fan_in` every output sees that many inputs of its group, drawn at random in such a way
    that all inputs are used alike. Synapses that are not there have weight 0 in `effective_weight`, and no gradient.

    Args:
        in_features, out_features, bias, device, dtype: as torch.nn.Linear.
        groups: divides inputs and outputs into so many parts of equal size.
        fan_in: inputs of an output, at most in_features/groups; None for all.
        seed: of the draw of inputs.

    Raises:
        ParameterError: groups that do not divide the features, or a fan-in that is not 1 to in_features/groups.
        ShapeError: another number of dimensions or of features.
    """

    mask: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        groups: int = 1,
        fan_in: int | None = None,
        seed: int = 0,
    ) -> None:
        if groups < 1 or in_features % groups or out_features % groups:
            raise ParameterError(
                f"Linear({in_features}, {out_features}, groups={groups})",
                fix="groups must divide the number of inputs and the number of outputs",
            )
        part = in_features // groups
        if fan_in is not None and not 1 <= fan_in <= part:
            raise ParameterError(
                f"Linear({in_features}, {out_features}, groups={groups}, fan_in={fan_in})",
                fix=f"every group has {part} inputs: give a fan_in from 1 to {part}",
            )
        super().__init__(in_features, out_features, bias, device, dtype)
        self.groups, self.fan_in, self.seed = groups, fan_in, seed
        limited = groups > 1 or (fan_in is not None and fan_in < part)
        mask = drawn_mask(in_features, out_features, groups, fan_in or part, seed) if limited else None
        self.register_buffer("mask", None if mask is None else mask.to(self.weight.device))
        if mask is not None:
            start(self.weight, self.bias, mask, fan_in or part)

    @property
    def effective_weight(self) -> Tensor:
        """The weights as the synapse uses them, [out_features, in_features]: `weight`, 0 where there is no synapse."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, input: Tensor) -> Tensor:
        expect(self, input, "T B N", self.in_features, "features")
        weight = self.effective_weight
        return plastic(self, lambda x: F.linear(x, weight, self.bias), input)

    def extra_repr(self) -> str:
        text = super().extra_repr() + (f", groups={self.groups}" if self.groups > 1 else "")
        return text + (f", fan_in={self.fan_in}, seed={self.seed}" if self.fan_in is not None else "")
