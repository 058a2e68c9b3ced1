"""Logic of two spike trains."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from snnkit.errors import ParameterError, did_you_mean

Logic = Literal["and", "iand"]


class Gate(torch.nn.Module):
    """y = a·b ("and") or y = (1 − a)·b ("iand", b unless a) of two spike trains. a, b, y: [T, B, …], 0 or 1.

    On a chip it is a layer of neurons without memory (decay 0) and so adds a tick: of weights 1 and 1 and threshold 2,
    or of weights −1 and 1 and threshold 1. `snn.Residual(…, join="iand")` is the layer that uses it.

    Args:
        logic: "and" or "iand".

    Raises:
        ParameterError: another name.

    Source: the AND and IAND of Fang et al. 2021, arXiv:2102.04159.
    """

    def __init__(self, logic: Logic) -> None:
        super().__init__()
        known = get_args(Logic)
        if logic not in known:
            raise ParameterError(f"Gate({logic!r}){did_you_mean(str(logic), known)}", fix="one of " + ", ".join(known))
        self.logic = logic

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b if self.logic == "and" else b - a * b

    def extra_repr(self) -> str:
        return repr(self.logic)
