"""CubaLIF (current-based LIF), the definition: one step in plain torch operations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snnkit.kernels.lif.reference import LIFParams, fire
from snnkit.kernels.state import counter, detach_state, move_state, zeros_like_step


class CubaLIFState(NamedTuple):
    """i [B, …]: synaptic current; v [B, …]: membrane after the reset; wait [B, …] int32: refractory steps to come."""

    i: Tensor
    v: Tensor
    wait: Tensor

    def detach(self) -> CubaLIFState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return detach_state(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> CubaLIFState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        return move_state(self, device, dtype)


class CubaLIFParams(NamedTuple):
    """What a step needs beside input and state. Tensors broadcast against [B, …]."""

    decay_syn: Tensor
    lif: LIFParams


def initial_state(x: Tensor, refractory: int) -> CubaLIFState:
    """The state at rest for x [T, B, …]."""
    v = zeros_like_step(x)
    return CubaLIFState(zeros_like_step(x), v, counter(v, refractory))


def step(x: Tensor, state: CubaLIFState, params: CubaLIFParams) -> tuple[Tensor, CubaLIFState]:
    """i = decay_syn·i + x; u = decay_mem·v + i; then as LIF. All [B, …].

    In a refractory step the current goes on, the membrane does not.
    """
    i = params.decay_syn * state.i + x
    u = params.lif.decay * state.v + i
    s, v, wait = fire(u, state.v, state.wait, params.lif)
    return s, CubaLIFState(i, v, wait)
