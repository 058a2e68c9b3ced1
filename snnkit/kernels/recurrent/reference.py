"""A recurrence around a neuron, the definition: one step of its synapse and one of the neuron, in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from snnkit.kernels.sequence import Step
from snnkit.kernels.state import state_dtype


def run_steps(
    step: Step, synapse: Callable[[Tensor], Tensor], x: Tensor, state: Any, out: Tensor, params: Any
) -> tuple[list[Tensor], list[Any]]:
    """x [T, B, …] through out[t] = step(x[t] + synapse(out[t−1])): (outputs [B, …] and states of all steps).

    Args:
        step: the neuron's.
        synapse: from its output [B, …] to its input, of the shape of x[t].
        x: the input.
        state: of the neuron before the first step.
        out: its output [B, …] at the step before the first.
        params: what `step` needs.
    """
    outputs, states = [], []
    for x_t in x.to(state_dtype(x)).unbind(0):
        out, state = step(x_t + synapse(out).to(x_t.dtype), state, params)
        outputs.append(out)
        states.append(state)
    return outputs, states
