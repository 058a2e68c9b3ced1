"""spikingjelly's IF, LIF and parametric LIF with its own order of operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.li import LIState
from snnkit.kernels.state import state_dtype
from snnkit.nn.neurons.base import Neuron
from snnkit.surrogate import Surrogate
from snnkit.surrogate.heaviside import spike


class SpikingjellyNeuron(Neuron):
    """IF, LIF or parametric LIF of spikingjelly, bit for bit on the CPU; step by step, without a fused kernel.

    Equation, at each step, with r = v_reset (0 where None): h = v + x without a leak; h = v + (x − (v − r))/tau
    (`decay_input`) or h = v − (v − r)/tau + x; s = [h ≥ threshold]; v ← v_reset where s = 1, or h − threshold where
    v_reset is None. v starts at r. x, s: [T, B, features…].

    Args:
        tau: time constant in steps, decay = 1 − 1/tau; None for no leak, or where w is given.
        decay_input: the input is divided by tau too.
        threshold: in units of the membrane.
        v_reset: where the membrane goes after a spike, or None to subtract the threshold.
        detach_reset: no gradient through the reset.
        surrogate: for the backward pass.
        w: of the parametric LIF, 1/tau = sigmoid(w); learned where it requires a gradient.

    Raises:
        ShapeError: an input of fewer than 3 dimensions.

    Source: spikingjelly 2.0.0, `_ops/lif/reference.py`, `_ops/plif/reference.py`, `_ops/reset.py`.
    """

    def __init__(
        self,
        tau: float | None,
        decay_input: bool,
        threshold: float,
        v_reset: float | None,
        detach_reset: bool,
        surrogate: Surrogate,
        w: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.tau = tau
        self.decay_input = decay_input
        self.threshold = threshold
        self.v_reset = v_reset
        self.detach_reset = detach_reset
        self.surrogate = surrogate
        learns = w is not None and w.requires_grad
        self.w = None if w is None else torch.nn.Parameter(w.detach().clone(), requires_grad=learns)

    def initial_state(self, x: Tensor) -> LIState:
        """At v_reset, or at 0; for x [T, B, …]."""
        return LIState(torch.full(x.shape[1:], self.v_reset or 0.0, dtype=state_dtype(x), device=x.device))

    def params(self, x: Tensor) -> Tensor | None:
        """sigmoid(w), or tau as a tensor: by a plain number torch divides with its reciprocal on a GPU."""
        if self.w is not None:
            return torch.sigmoid(self.w)
        return None if self.tau is None else torch.full((), self.tau, dtype=state_dtype(x), device=x.device)

    def _leak(self, value: Tensor, rate: Tensor) -> Tensor:
        """value/tau, or value·sigmoid(w): not the same bits."""
        return value / rate if self.w is None else value * rate

    def step(self, x: Tensor, state: LIState, params: Any) -> tuple[Tensor, LIState]:
        v, rest = state.v, self.v_reset or 0.0

        if params is None:
            h = v + x
        elif self.decay_input:
            h = v + self._leak(x - (v - rest), params)
        else:
            h = v - self._leak(v - rest, params) + x
        s = spike(h - self.threshold, self.surrogate)
        r = s.detach() if self.detach_reset else s
        v = h - r * self.threshold if self.v_reset is None else r * self.v_reset + (1.0 - r) * h
        return s, LIState(v)

    def extra_repr(self) -> str:
        tau = "learned" if self.w is not None else self.tau
        return (
            f"tau={tau}, decay_input={self.decay_input}, threshold={self.threshold:g}, v_reset={self.v_reset}, "
            f"detach_reset={self.detach_reset}, surrogate={self.surrogate!r}"
        )
