"""LI: the leaky integrator, a membrane that does not fire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from snnkit.kernels import li as kernel
from snnkit.kernels.li import LIParams, LIState
from snnkit.kernels.state import state_dtype
from snnkit.nn.neurons.base import Neuron
from snnkit.nn.neurons.parameters import (
    Number,
    along_features,
    decay_value,
    describe,
    effective_decay,
    register_decay,
)


class LI(Neuron):
    """Leaky integrator, the usual read-out.

    Equation, at each step: v ← decay·v + x; the output is v. x, v: [T, B, features…]. Under bf16 autocast the output
    stays float32, so that the loss sees full precision.

    Args:
        tau: time constant in steps, decay = exp(−1/tau); 2 where neither is given.
        decay: what remains of v after a step, 0 … 1; 1 is a pure integrator (a running sum).
        learn_decay: the decay is the sigmoid of a learnable parameter.
        shape: gives the decay this shape (one per channel [C] or per neuron [C, H, W]).

    Raises:
        ParameterError: a value outside its range.
        ShapeError: an input of fewer than 3 dimensions, or one that does not fit a per-channel decay.

    The same elsewhere: spikingjelly 2.0 `NonSpikingLIFNode(tau=1/(1−decay))` and norse 1.1 `LIBoxCell(LIBoxParameters(
    tau_mem_inv=(1−decay)/dt), dt=dt)`, both with their input multiplied by 1−decay, so divide theirs by that; snntorch
    1.0 `Leaky(beta=decay, reset_mechanism="none")`, reading the membrane.

    Source: Gerstner et al., Neuronal Dynamics (2014), doi:10.1017/CBO9781107447615, chapter 1, in discrete time.
    """

    spiking = False

    def __init__(
        self,
        tau: Number | None = None,
        decay: Number | None = None,
        learn_decay: bool = False,
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        register_decay(self, "decay", decay_value("", tau, decay), learn_decay, shape)

    @property
    def decay(self) -> Tensor:
        """The effective decay, float32: a scalar, [C] or [C, H, W]."""
        return effective_decay(self, "decay")

    def initial_state(self, x: Tensor) -> LIState:
        """At rest: v = 0; for x [T, B, …]."""
        return kernel.initial_state(x)

    def params(self, x: Tensor) -> LIParams:
        return LIParams(along_features(self, "decay", self.decay, x, state_dtype(x)))

    def step(self, x: Tensor, state: LIState, params: LIParams) -> tuple[Tensor, LIState]:
        return kernel.step(x, state, params)

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        return kernel.sequence(x, state, self.params(x), want_state)

    def extra_repr(self) -> str:
        return f"decay={describe(self.decay)}"
