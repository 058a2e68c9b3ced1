"""ALIF (LIF with an adaptive threshold), the definition: one step in plain torch operations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snnkit.kernels.lif.reference import LIFParams, fire
from snnkit.kernels.state import counter, detach_state, move_state, zeros_like_step


class ALIFState(NamedTuple):
    """v [B, …]: membrane after the reset; a [B, …]: trace of spikes; wait [B, …] int32: refractory steps to come."""

    v: Tensor
    a: Tensor
    wait: Tensor

    def detach(self) -> ALIFState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return detach_state(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> ALIFState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        return move_state(self, device, dtype)


class ALIFParams(NamedTuple):
    """What a step needs beside input and state. Tensors broadcast against [B, …]."""

    decay_adapt: Tensor
    adaptation: Tensor
    lif: LIFParams


def initial_state(x: Tensor, refractory: int) -> ALIFState:
    """The state at rest for x [T, B, …]."""
    v = zeros_like_step(x)
    return ALIFState(v, zeros_like_step(x), counter(v, refractory))


def step(x: Tensor, state: ALIFState, params: ALIFParams) -> tuple[Tensor, ALIFState]:
    """u = decay·v + x, then as LIF with the threshold θ = threshold + adaptation·a; a = decay_adapt·a + s. All [B, …].

    In a refractory step the trace goes on, the membrane does not.
    """
    u = params.lif.decay * state.v + x
    theta = params.lif.threshold + params.adaptation * state.a
    s, v, wait = fire(u, state.v, state.wait, params.lif._replace(threshold=theta))
    return s, ALIFState(v, params.decay_adapt * state.a + s, wait)
