"""LinearLeakIF (integrate-and-fire with a constant leak and a floor), the definition: one step in torch operations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snnkit.kernels.lif.reference import reset
from snnkit.kernels.state import detach_state, move_state, zeros_like_step
from snnkit.surrogate.base import Surrogate
from snnkit.surrogate.heaviside import spike


class LinearLeakIFState(NamedTuple):
    """v [B, …]: membrane after the reset."""

    v: Tensor

    def detach(self) -> LinearLeakIFState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return detach_state(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LinearLeakIFState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        return move_state(self, device, dtype)


class LinearLeakIFParams(NamedTuple):
    """What a step needs beside input and state. Tensors broadcast against [B, …]; floor None for none."""

    leak: Tensor
    threshold: Tensor
    floor: Tensor | None
    reverses: bool
    reset_to_zero: bool
    detach_reset: bool
    surrogate: Surrogate


def initial_state(x: Tensor) -> LinearLeakIFState:
    """The state at rest for x [T, B, …]."""
    return LinearLeakIFState(zeros_like_step(x))


def step(x: Tensor, state: LinearLeakIFState, params: LinearLeakIFParams) -> tuple[Tensor, LinearLeakIFState]:
    """u = v + x; u = u + Ω·leak; s = [u ≥ threshold]; v after the reset, not below −floor. All [B, …]."""
    u = state.v + x
    u = u + (torch.sign(u.detach()) * params.leak if params.reverses else params.leak)
    s = spike(u - params.threshold, params.surrogate)
    v = reset(u, s, params.threshold, params.reset_to_zero, params.detach_reset, params.surrogate.smooth)
    if params.floor is not None:
        v = torch.maximum(v, -params.floor)
    return s, LinearLeakIFState(v)
