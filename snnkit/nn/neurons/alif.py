"""ALIF: leaky integrate-and-fire with an adaptive threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import ParameterError
from snnkit.kernels import alif as kernel
from snnkit.kernels.alif import ALIFParams, ALIFState
from snnkit.kernels.state import state_dtype
from snnkit.nn.neurons.base import spikes_like
from snnkit.nn.neurons.lif import Firing
from snnkit.nn.neurons.parameters import (
    Number,
    along_features,
    decay_value,
    describe,
    effective_decay,
    register_decay,
    spread,
    tensor_of,
)
from snnkit.surrogate import Surrogate


class ALIF(Firing):
    """Leaky integrate-and-fire whose threshold rises with each spike and falls back: a memory over `tau_adapt` steps.

    Equation, at each step: v ← decay_mem·v + x; θ = threshold + adaptation·a; s = [v ≥ θ]; then, in the same step,
    v ← 0 (`reset="zero"`) or v ← v − θ (`reset="subtract"`) where s = 1, and a ← decay_adapt·a + s, which the next step
    sees. x, s: [T, B, features…]. `detach_reset` concerns v alone; the gradient always goes through a.

    Args:
        tau_mem: time constant of the membrane in steps, decay = exp(−1/tau); 2 where neither is given.
        decay_mem: what remains of v after a step, 0 … 1.
        tau_adapt: time constant of the threshold in steps; 20 where neither is given.
        decay_adapt: what remains of a after a step, 0 … 1.
        adaptation: what a spike adds to the threshold, finite; 0 is a `LIF`, negative makes spikes come in bursts.
        threshold: at rest, in units of the membrane, positive.
        reset: `"zero"` or `"subtract"`.
        detach_reset: no gradient through the reset.
        refractory: after a spike so many updates of v are skipped and their input is lost; a goes on.
        surrogate: a name or a `Surrogate`; see `snnkit.surrogate`.
        learn_decay: both decays are sigmoids of learnable parameters.
        learn_threshold: the threshold at rest is a learnable parameter.
        learn_adaptation: the adaptation is a learnable parameter.
        shape: gives decays, adaptation and threshold this shape (one per channel [C] or per neuron [C, H, W]).

    Raises:
        ParameterError: a value outside its range.
        ShapeError: an input of fewer than 3 dimensions, or one that does not fit a per-channel parameter.

    The same neuron elsewhere: the first source is `reset="subtract"` with its inputs multiplied by 1−decay_mem and its
    β = adaptation/(1−decay_adapt); the second subtracts the threshold at rest instead of θ. norse 1.1 `LSNNCell` has a
    current before the membrane, and its threshold falls for a step before the test; spikingjelly 2.0 and snntorch 1.0
    have none.

    Source: Bellec et al. 2018, "Long short-term memory and learning-to-learn in networks of spiking neurons",
    arXiv:1803.09574; Bellec et al. 2020, doi:10.1038/s41467-020-17236-y.
    """

    adaptation: Tensor

    def __init__(
        self,
        tau_mem: Number | None = None,
        decay_mem: Number | None = None,
        tau_adapt: Number | None = None,
        decay_adapt: Number | None = None,
        adaptation: Number = 0.1,
        threshold: Number = 1.0,
        reset: str = "zero",
        detach_reset: bool = True,
        refractory: int = 0,
        surrogate: str | Surrogate = "arctan",
        learn_decay: bool = False,
        learn_threshold: bool = False,
        learn_adaptation: bool = False,
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(threshold, reset, detach_reset, refractory, surrogate, learn_threshold, shape)
        if tau_adapt is None and decay_adapt is None:
            tau_adapt = 20.0
        register_decay(self, "decay_mem", decay_value("_mem", tau_mem, decay_mem), learn_decay, shape)
        register_decay(self, "decay_adapt", decay_value("_adapt", tau_adapt, decay_adapt), learn_decay, shape)
        strength = tensor_of("adaptation", adaptation)
        if not bool(strength.isfinite().all()):
            raise ParameterError(f"adaptation={adaptation!r} is not finite")
        strength = spread("adaptation", strength, shape)
        if learn_adaptation:
            self.register_parameter("adaptation", torch.nn.Parameter(strength))
        else:
            self.register_buffer("adaptation", strength)

    @property
    def decay_mem(self) -> Tensor:
        """The effective decay of the membrane, float32: a scalar, [C] or [C, H, W]."""
        return effective_decay(self, "decay_mem")

    @property
    def decay_adapt(self) -> Tensor:
        """The effective decay of the spikes' trace, float32: a scalar, [C] or [C, H, W]."""
        return effective_decay(self, "decay_adapt")

    def initial_state(self, x: Tensor) -> ALIFState:
        """At rest: v = a = 0, not refractory; for x [T, B, …]."""
        return kernel.initial_state(x, self.refractory)

    def params(self, x: Tensor) -> ALIFParams:
        dtype = state_dtype(x)
        return ALIFParams(
            along_features(self, "decay_adapt", self.decay_adapt, x, dtype),
            along_features(self, "adaptation", self.adaptation, x, dtype),
            self.firing_params(x, self.decay_mem, "decay_mem"),
        )

    def step(self, x: Tensor, state: ALIFState, params: ALIFParams) -> tuple[Tensor, ALIFState]:
        return kernel.step(x, state, params)

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        out, final = kernel.sequence(x, state, self.params(x), want_state)
        return spikes_like(out, x), final

    def extra_repr(self) -> str:
        return (
            f"decay_mem={describe(self.decay_mem)}, decay_adapt={describe(self.decay_adapt)}, "
            f"adaptation={describe(self.adaptation)}, {self.firing_repr()}"
        )
