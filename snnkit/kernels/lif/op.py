"""LIF over a sequence: chooses the implementation."""

from __future__ import annotations

from torch import Tensor

from snnkit.kernels.lif.reference import LIFParams, LIFState, initial_state, step
from snnkit.kernels.sequence import run_steps


def sequence(
    x: Tensor, state: LIFState | None, params: LIFParams, want_state: bool = True
) -> tuple[Tensor, LIFState | None]:
    """x [T, B, …] from `state` (None: at rest) → (out [T, B, …], final state)."""
    if state is None:
        state = initial_state(x, params.refractory)
    return run_steps(step, x, state, params)
