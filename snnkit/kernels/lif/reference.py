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
        s = torch.where(active, s, 0.0)  # a step that is not integrated loses its input, whatever that was
    after = reset(u, s, params.threshold, params.reset_to_zero, params.detach_reset, params.surrogate.smooth)
    if params.refractory:
        after = torch.where(active, after, v)
        fired = active & (u >= params.threshold) if params.surrogate.smooth else s > 0
        wait = torch.where(fired, params.refractory, (wait - 1).clamp(min=0)).to(torch.int32)
    return s, after, wait


def reset(u: Tensor, s: Tensor, threshold: Tensor, to_zero: bool, detach: bool, smooth: bool) -> Tensor:
    """v after the reset, from the membrane u before it and the spikes s; all [B, …]."""
    if smooth:  # s is a ramp: an attached reset follows it, a detached one the step
        r = (u >= threshold).to(u.dtype) if detach else s
        return u - r * (u if to_zero else threshold)
    r = s.detach()
    if not to_zero:
        return u - threshold * (r if detach else s)
    after = torch.where(r > 0, 0.0, u)
    if detach:
        return after
    # adds 0, and the gradient of u·(1 − s) with respect to s; at infinity there is none
    return after + (r - s) * torch.nan_to_num(u.detach(), nan=0.0, posinf=0.0, neginf=0.0)


def step(x: Tensor, state: LIFState, params: LIFParams) -> tuple[Tensor, LIFState]:
    """u = decay·v + x; s = [u ≥ threshold]; v = 0 or u − threshold where s = 1, else u. All [B, …].

    In a refractory step nothing is integrated: v stays as it is, s = 0.
    """
    u = params.decay * state.v + x
    s, v, wait = fire(u, state.v, state.wait, params)
    return s, LIFState(v, wait)
