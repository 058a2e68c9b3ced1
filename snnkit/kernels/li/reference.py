"""LI (leaky integrator), the definition: one step in plain torch operations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snnkit.kernels.state import detach_state, move_state, zeros_like_step


class LIState(NamedTuple):
    """v [B, …]: the membrane."""

    v: Tensor

    def detach(self) -> LIState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return detach_state(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LIState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        return move_state(self, device, dtype)


class LIParams(NamedTuple):
    """What a step needs beside input and state; broadcasts against [B, …]."""

    decay: Tensor


def initial_state(x: Tensor) -> LIState:
    """The state at rest for x [T, B, …]."""
    return LIState(zeros_like_step(x))


def step(x: Tensor, state: LIState, params: LIParams) -> tuple[Tensor, LIState]:
    """v = decay·v + x; the output is v. All [B, …]."""
    v = params.decay * state.v + x
    return v, LIState(v)
