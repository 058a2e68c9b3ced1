"""CubaLIF: the current-based leaky integrate-and-fire neuron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from snnkit.kernels import cubalif as kernel
from snnkit.kernels.cubalif import CubaLIFParams, CubaLIFState
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
)
from snnkit.surrogate import Surrogate


class CubaLIF(Firing):
    """Current-based leaky integrate-and-fire: a synaptic current in front of the membrane.

    Equation, at each step: i ← decay_syn·i + x; v ← decay_mem·v + i; s = [v ≥ threshold]; then, in the same step,
    v ← 0 (`reset="zero"`) or v ← v − threshold (`reset="subtract"`) where s = 1. x, s: [T, B, features…].

    Args:
        tau_syn: time constant of the current in steps, decay = exp(−1/tau); 2 where neither is given.
        decay_syn: what remains of i after a step, 0 … 1.
        tau_mem: time constant of the membrane in steps; 2 where neither is given.
        decay_mem: what remains of v after a step, 0 … 1.
        threshold: in units of the membrane, positive.
        reset: `"zero"` or `"subtract"`.
        detach_reset: no gradient through the reset.
        refractory: after a spike so many updates of v are skipped; the current goes on.
        surrogate: a name or a `Surrogate`; see `snnkit.surrogate`.
        learn_decay: both decays are sigmoids of learnable parameters.
        learn_threshold: the threshold is a learnable parameter.
        shape: gives decays and threshold this shape (one per channel [C] or per neuron [C, H, W]).

    Raises:
        ParameterError: a value outside its range.
        ShapeError: an input of fewer than 3 dimensions, or one that does not fit a per-channel parameter.

    The same neuron elsewhere:

    - spikingjelly 2.0: `lava_exchange.CubaLIFNode(current_decay=1−decay_syn, voltage_decay=1−decay_mem,
      v_threshold=threshold)` is the same equation with decays and states rounded to fixed point.
    - snntorch 1.0 `Synaptic(alpha=decay_syn, beta=decay_mem, threshold=threshold, reset_mechanism=reset,
      reset_delay=False)`; the differences are those of its `Leaky`, see `LIF`.
    - norse 1.1 `LIFCell(LIFParameters(tau_syn_inv=(1−decay_syn)/dt, tau_mem_inv=(1−decay_mem)/dt,
      v_th=(1−decay_mem)·threshold), dt=dt)`: reset to zero, fires at v > threshold; the current reaches v multiplied
      by 1−decay_mem, hence the threshold.

    Source: Davies et al. 2018 (Loihi), doi:10.1109/MM.2018.112130359, without its integer arithmetic.
    """

    def __init__(
        self,
        tau_syn: Number | None = None,
        decay_syn: Number | None = None,
        tau_mem: Number | None = None,
        decay_mem: Number | None = None,
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
        register_decay(self, "decay_syn", decay_value("_syn", tau_syn, decay_syn), learn_decay, shape)
        register_decay(self, "decay_mem", decay_value("_mem", tau_mem, decay_mem), learn_decay, shape)

    @property
    def decay_syn(self) -> Tensor:
        """The effective decay of the current, float32: a scalar, [C] or [C, H, W]."""
        return effective_decay(self, "decay_syn")

    @property
    def decay_mem(self) -> Tensor:
        """The effective decay of the membrane, float32: a scalar, [C] or [C, H, W]."""
        return effective_decay(self, "decay_mem")

    def initial_state(self, x: Tensor) -> CubaLIFState:
        """At rest: i = v = 0, not refractory; for x [T, B, …]."""
        return kernel.initial_state(x, self.refractory)

    def params(self, x: Tensor) -> CubaLIFParams:
        syn = along_features(self, "decay_syn", self.decay_syn, x, state_dtype(x))
        return CubaLIFParams(syn, self.firing_params(x, self.decay_mem, "decay_mem"))

    def step(self, x: Tensor, state: CubaLIFState, params: CubaLIFParams) -> tuple[Tensor, CubaLIFState]:
        return kernel.step(x, state, params)

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        out, final = kernel.sequence(x, state, self.params(x), want_state)
        return spikes_like(out, x), final

    def extra_repr(self) -> str:
        return f"decay_syn={describe(self.decay_syn)}, decay_mem={describe(self.decay_mem)}, {self.firing_repr()}"
