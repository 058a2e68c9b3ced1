"""Dropout that keeps one mask for the whole sequence."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import ParameterError
from snnkit.kernels.state import detach_state, move_state, state_dtype
from snnkit.nn.module import Stateful


class DropoutState(NamedTuple):
    """mask [B, …]: 0 or 1/(1−p), the same for every step."""

    mask: Tensor

    def detach(self) -> DropoutState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return detach_state(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> DropoutState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        return move_state(self, device, dtype)


class Dropout(Stateful):
    """y[t] = m ⊙ x[t], with one mask m for the whole sequence: 0 with probability p, else 1/(1−p), in training.

    One mask per sequence: the same synapse is missing at every step, and chunks of one sequence share it through the
    state. In evaluation the layer does nothing. x: [T, B, …].

    Args:
        p: probability, 0 … 1.

    Raises:
        ParameterError: p outside 0 … 1.

    Source: Srivastava et al. 2014, jmlr.org/papers/v15/srivastava14a.html; one mask per sequence as in Gal &
    Ghahramani 2016 (arXiv:1512.05287).
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ParameterError(f"Dropout(p={p!r}): p must be a probability, 0 to 1")
        self.p = float(p)

    def initial_state(self, x: Tensor) -> DropoutState:
        """A fresh mask for x [T, B, …]; in evaluation all ones."""
        dtype = state_dtype(x)
        if not self.training or self.p == 0:
            return DropoutState(torch.ones((), dtype=dtype, device=x.device).expand(x.shape[1:]))
        mask = torch.empty(x.shape[1:], dtype=dtype, device=x.device)
        if self.p == 1:
            return DropoutState(mask.zero_())
        return DropoutState(mask.bernoulli_(1 - self.p).div_(1 - self.p))

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        if state is None:
            if not want_state and (not self.training or self.p == 0):
                return x, None
            state = self.initial_state(x)
        if not self.training or self.p == 0:
            return x, state
        return x * state.mask.to(x.dtype), state

    def check_state(self, state: Any, x: Tensor) -> None:
        self.expect_state(state, DropoutState(x.new_empty(0, dtype=state_dtype(x))), x)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"
