"""LIF, the definition: one step in plain torch operations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snnkit.kernels.state import counter, detach_state, move_state, zeros_like_step
from snnkit.surrogate.base import Surrogate
from snnkit.surrogate.heaviside import spike


class LIFState(NamedTuple):
    """v [B, …]: membrane after the reset; wait [B, …] int32: steps of refractoriness still to come."""

    v: Tensor
    wait: Tensor

    def detach(self) -> LIFState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return detach_state(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LIFState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        return move_state(self, device, dtype)


class LIFParams(NamedTuple):
    """What a step needs beside input and state. Tensors broadcast against [B, …]."""

    decay: Tensor
    threshold: Tensor
    reset_to_zero: bool
    detach_reset: bool
    refractory: int
    surrogate: Surrogate


def initial_state(x: Tensor, refractory: int) -> LIFState:
    """The state at rest for x [T, B, …]."""
    v = zeros_like_step(x)
    return LIFState(v, counter(v, refractory))


def fire(u: Tensor, v: Tensor, wait: Tensor, params: LIFParams) -> tuple[Tensor, Tensor, Tensor]:
    """Threshold, reset and refractoriness: membrane u before the test, v of the step before → (s, v, wait)."""
    s = spike(u - params.threshold, params.surrogate)
    if params.refractory:
        active = wait == 0
        s = s * active
    r = s.detach()
    if params.reset_to_zero:
        after = torch.where(r > 0, 0.0, u)
        if not params.detach_reset:  # adds 0, and the gradient of u·(1 − s) with respect to s
            after = after + (r - s) * torch.nan_to_num(u.detach())
    else:
        after = u - params.threshold * (r if params.detach_reset else s)
    if params.refractory:
        after = torch.where(active, after, v)
        wait = torch.where(s > 0, params.refractory, (wait - 1).clamp(min=0)).to(torch.int32)
    return s, after, wait


def step(x: Tensor, state: LIFState, params: LIFParams) -> tuple[Tensor, LIFState]:
    """u = decay·v + x; s = [u ≥ threshold]; v = 0 or u − threshold where s = 1, else u. All [B, …].

    In a refractory step nothing is integrated: v stays as it is, s = 0.
    """
    u = params.decay * state.v + x
    s, v, wait = fire(u, state.v, state.wait, params)
    return s, LIFState(v, wait)
