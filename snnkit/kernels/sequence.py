"""Any recurrence over a sequence, step by step: the reference that every fused kernel is tested against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.state import state_dtype

Step = Callable[[Tensor, Any, Any], tuple[Tensor, Any]]
"""(x [B, …], state, params) → (out [B, …], state): the definition of a neuron."""


def run_steps(step: Step, x: Tensor, state: Any, params: Any) -> tuple[Tensor, Any]:
    """x [T, B, …] through `step` for t = 0 … T−1; returns (out [T, B, …], final state).

    `unbind`, not `x[t]`: the backward of T separate selections would be quadratic in T.
    """
    outputs = []
    for x_t in x.to(state_dtype(x)).unbind(0):
        out, state = step(x_t, state, params)
        outputs.append(out)
    return torch.stack(outputs), state
