"""snntorch's neurons with its own order of operations."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.kernels.state import detach_state, move_state, zeros_like_step
from snnkit.nn.neurons.base import Neuron
from snnkit.surrogate import Surrogate
from snnkit.surrogate.heaviside import spike


class SnntorchState(NamedTuple):
    """v [B, …]: snntorch's `mem`; i [B, …]: its `syn`; out [B, …]: its `spk`. What a neuron has not stays 0."""

    v: Tensor
    i: Tensor
    out: Tensor

    def detach(self) -> SnntorchState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return detach_state(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SnntorchState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        return move_state(self, device, dtype)


class SnntorchNeuron(Neuron):
    """Leaky, RLeaky, Synaptic, RSynaptic or Lapicque of snntorch, bit for bit; step by step, without a fused kernel.

    Equation, at each step: r = [v > threshold] of the step before; i ← alpha·i + x where there is an alpha, else i = x;
    h = beta·v + i, plus synapse(out) in front of v or i; with the reset "subtract" h ← h − r·threshold, with "zero"
    h ← (1 − r)·h (Leaky: beta·(1 − r)·v + x); s = [h > threshold]; without delay the reset follows in the same step,
    h ← h − (s − r)·threshold or h ← (1 − (s − r))·h; v ← h. x, s: [T, B, features…].

    Args:
        beta: what remains of v after a step, kept within 0 … 1 as there.
        threshold: in units of the membrane.
        reset: "zero", "subtract" or "none".
        delayed: the reset comes with the next step.
        early: of the reset to zero: v is cleared before the step's input comes (Leaky), not after.
        surrogate: an even one, for the backward pass.
        alpha: what remains of i after a step; None without a current.
        synapse: from the spikes of the step before to the input, or None.
        lapicque: (R, C, time_step): h = x·R·(1/(R·C))·time_step + (1 − time_step/(R·C))·v.

    Raises:
        ShapeError: an input of fewer than 3 dimensions.

    Source: snntorch 1.0.0, `_neurons/leaky.py`, `rleaky.py`, `synaptic.py`, `rsynaptic.py`, `lapicque.py`.
    """

    beta: Tensor
    threshold: Tensor
    alpha: Tensor | None
    R: Tensor | None
    C: Tensor | None
    time_step: Tensor | None

    def __init__(
        self,
        beta: Tensor,
        threshold: Tensor,
        reset: str,
        delayed: bool,
        early: bool,
        surrogate: Surrogate,
        alpha: Tensor | None = None,
        synapse: torch.nn.Module | None = None,
        lapicque: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        for name, tensor in (("beta", beta), ("threshold", threshold), ("alpha", alpha)):
            value = None if tensor is None else tensor.detach().clone()
            if isinstance(tensor, torch.nn.Parameter) and value is not None:
                self.register_parameter(name, torch.nn.Parameter(value, requires_grad=tensor.requires_grad))
            else:
                self.register_buffer(name, value)
        self.reset, self.delayed, self.early = reset, delayed, early
        self.surrogate = surrogate
        self.synapse: torch.nn.Module | None = synapse
        names = ("R", "C", "time_step")
        for name, constant in zip(names, (None,) * 3 if lapicque is None else lapicque):
            self.register_buffer(name, None if constant is None else constant.detach().clone())

    def initial_state(self, x: Tensor) -> SnntorchState:
        """At rest and silent; for x [T, B, …]."""
        return SnntorchState(zeros_like_step(x), zeros_like_step(x), zeros_like_step(x))

    def params(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.beta.clamp(0, 1), None if self.alpha is None else self.alpha.clamp(0, 1)

    def _above(self, v: Tensor) -> Tensor:
        """[v > threshold]: not [v ≤ threshold]; the derivative is the surrogate's, which is even."""
        return 1 - spike(self.threshold - v, self.surrogate)

    def step(self, x: Tensor, state: SnntorchState, params: Any) -> tuple[Tensor, SnntorchState]:
        beta, alpha = params
        r = self._above(state.v).detach()
        v = (1 - r) * state.v if self.reset == "zero" and self.early else state.v
        back = None if self.synapse is None else self.synapse(state.out[None])[0]
        i = state.i
        if self.R is not None and self.C is not None and self.time_step is not None:
            leak = 1 - self.time_step / (self.R * self.C)
            h = x * self.R * (1 / (self.R * self.C)) * self.time_step + leak * v
        elif alpha is None:
            h = beta * v + x
            h = h if back is None else h + back
        else:
            i = alpha * i + x
            i = i if back is None else i + back
            h = beta * v + i
        if self.reset == "subtract":
            h = h - r * self.threshold
        elif self.reset == "zero" and not self.early:
            h = h - r * h
        s = self._above(h)
        if not self.delayed:
            now = s - r
            if self.reset == "subtract":
                h = h - now * self.threshold
            elif self.reset == "zero":
                h = h - now * h
        return s, SnntorchState(h, i, s)

    def extra_repr(self) -> str:
        kind = "lapicque" if self.C is not None else "" if self.alpha is None else "current"
        delayed = ", delayed" if self.delayed and self.reset != "none" else ""
        return f"{self.reset}{delayed}{', ' + kind if kind else ''}, surrogate={self.surrogate!r}"
