"""CubaLIF over a sequence: chooses the implementation."""

from __future__ import annotations

from torch import Tensor

from snnkit.kernels.cubalif.reference import CubaLIFParams, CubaLIFState, initial_state, step
from snnkit.kernels.sequence import run_steps


def sequence(
    x: Tensor, state: CubaLIFState | None, params: CubaLIFParams, want_state: bool = True
) -> tuple[Tensor, CubaLIFState | None]:
    """x [T, B, …] from `state` (None: at rest) → (out [T, B, …], final state)."""
    if state is None:
        state = initial_state(x, params.lif.refractory)
    return run_steps(step, x, state, params)
