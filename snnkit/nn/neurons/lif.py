"""LIF: the leaky integrate-and-fire neuron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from snnkit import surrogate as surrogates
from snnkit.errors import ParameterError, did_you_mean
from snnkit.kernels import lif as kernel
from snnkit.kernels.lif import LIFParams, LIFState
from snnkit.kernels.state import state_dtype
from snnkit.nn.neurons.base import Neuron, spikes_like
from snnkit.nn.neurons.parameters import (
    Number,
    along_features,
    decay_value,
    describe,
    effective_decay,
    register_decay,
    register_threshold,
    threshold_value,
)
from snnkit.surrogate import Surrogate

RESETS = ("zero", "subtract")


class Firing(Neuron):
    """What LIF, CubaLIF and ALIF share: threshold, reset, refractoriness and surrogate."""

    threshold: Tensor

    def __init__(
        self,
        threshold: Number,
        reset: str,
        detach_reset: bool,
        refractory: int,
        surrogate: str | Surrogate,
        learn_threshold: bool,
        shape: Sequence[int] | None,
    ) -> None:
        super().__init__()
        if reset not in RESETS:
            raise ParameterError(
                f"reset={reset!r}{did_you_mean(str(reset), RESETS)}",
                fix='use "zero" (v ← 0) or "subtract" (v ← v − threshold)',
            )
        if isinstance(refractory, bool) or not isinstance(refractory, int) or refractory < 0:
            raise ParameterError(f"refractory={refractory!r} is not a number of steps ≥ 0")
        self.reset = reset
        self.detach_reset = bool(detach_reset)
        self.refractory = refractory
        self.surrogate = surrogates.get(surrogate)
        register_threshold(self, threshold_value(threshold), learn_threshold, shape)

    def firing_params(self, x: Tensor, decay: Tensor, name: str) -> LIFParams:
        """The parameters of membrane and threshold for x [T, B, …]."""
        dtype = state_dtype(x)
        return LIFParams(
            along_features(self, name, decay, x, dtype),
            along_features(self, "threshold", self.threshold, x, dtype),
            self.reset == "zero",
            self.detach_reset,
            self.refractory,
            self.surrogate,
        )

    def firing_repr(self) -> str:
        """The shared part of `extra_repr`."""
        text = f"threshold={describe(self.threshold)}, reset={self.reset!r}, surrogate={self.surrogate!r}"
        if not self.detach_reset:
            text += ", detach_reset=False"
        return text + (f", refractory={self.refractory}" if self.refractory else "")


class LIF(Firing):
    """Leaky integrate-and-fire.

    Equation, at each step: v ← decay·v + x; s = [v ≥ threshold]; then, in the same step, v ← 0 (`reset="zero"`) or
    v ← v − threshold (`reset="subtract"`) where s = 1. The input has no gain. x, s: [T, B, features…].

    Args:
        tau: membrane time constant in steps, decay = exp(−1/tau); 2 where neither is given.
        decay: what remains of v after a step, 0 … 1.
        threshold: in units of the membrane, positive.
        reset: `"zero"` or `"subtract"`.
        detach_reset: no gradient through the reset.
        refractory: after a spike so many updates of v are skipped and their input is lost.
        surrogate: a name or a `Surrogate`; see `snnkit.surrogate`.
        learn_decay: the decay is the sigmoid of a learnable parameter.
        learn_threshold: the threshold is a learnable parameter.
        shape: gives decay and threshold this shape (one per channel [C] or per neuron [C, H, W]).
            tau, decay and threshold may also be given as such tensors.

    Raises:
        ParameterError: a value outside its range.
        ShapeError: an input of fewer than 3 dimensions, or one that does not fit a per-channel parameter.

    The same neuron elsewhere:

    - spikingjelly 2.0 `LIFNode(tau=1/(1−decay), decay_input=False, v_threshold=threshold, v_reset=0.0)`; subtract is
      `v_reset=None`. With `decay_input=True` their input is divided by their tau, which is 1/(1−decay), not ours.
    - snntorch 1.0 `Leaky(beta=decay, threshold=threshold, reset_mechanism=reset, reset_delay=False)`. It fires at
      v > threshold, we at v ≥ threshold; its default delays the reset by a step; with subtract it takes the threshold
      off once more, before the next step's test, where v was still above it after the reset.
    - norse 1.1 `LIFBoxCell(LIFBoxParameters(tau_mem_inv=(1−decay)/dt, v_th=(1−decay)·threshold), dt=dt)`: reset to
      zero, fires at v > threshold; its input is multiplied by 1−decay, hence the threshold.

    Source: Gerstner et al., Neuronal Dynamics (2014), doi:10.1017/CBO9781107447615, chapter 1, in discrete time.
    """

    def __init__(
        self,
        tau: Number | None = None,
        decay: Number | None = None,
        threshold: Number = 1.0,
        reset: str = "zero",
        detach_reset: bool = True,
        refractory: int = 0,
        surrogate: str | Surrogate = "arctan",
        learn_decay: bool = False,
        learn_threshold: bool = False,
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(threshold, reset, detach_reset, refractory, surrogate, learn_threshold, shape)
        register_decay(self, "decay", decay_value("", tau, decay), learn_decay, shape)

    @property
    def decay(self) -> Tensor:
        """The effective decay, float32: a scalar, [C] or [C, H, W]."""
        return effective_decay(self, "decay")

    def initial_state(self, x: Tensor) -> LIFState:
        """At rest: v = 0, not refractory; for x [T, B, …]."""
        return kernel.initial_state(x, self.refractory)

    def params(self, x: Tensor) -> LIFParams:
        return self.firing_params(x, self.decay, "decay")

    def step(self, x: Tensor, state: LIFState, params: LIFParams) -> tuple[Tensor, LIFState]:
        return kernel.step(x, state, params)

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        out, final = kernel.sequence(x, state, self.params(x), want_state)
        return spikes_like(out, x), final

    def extra_repr(self) -> str:
        return f"decay={describe(self.decay)}, {self.firing_repr()}"
