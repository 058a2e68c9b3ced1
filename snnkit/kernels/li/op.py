"""LI over a sequence: chooses the implementation."""

from __future__ import annotations

from torch import Tensor

from snnkit.kernels.li.reference import LIParams, LIState, initial_state, step
from snnkit.kernels.sequence import run_steps


def sequence(
    x: Tensor, state: LIState | None, params: LIParams, want_state: bool = True
) -> tuple[Tensor, LIState | None]:
    """x [T, B, …] from `state` (None: at rest) → (out [T, B, …], final state)."""
    if state is None:
        state = initial_state(x)
    return run_steps(step, x, state, params)
