"""LinearLeakIF: the integrate-and-fire neuron of digital chips, whose leak is a constant amount per step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snnkit import surrogate as surrogates
from snnkit.errors import ParameterError, did_you_mean
from snnkit.kernels import linear_leak as kernel
from snnkit.kernels.linear_leak import LinearLeakIFParams, LinearLeakIFState
from snnkit.kernels.state import state_dtype
from snnkit.nn.neurons.base import Neuron, spikes_like
from snnkit.nn.neurons.lif import RESETS
from snnkit.nn.neurons.parameters import (
    Number,
    along_features,
    describe,
    register_threshold,
    spread,
    tensor_of,
    threshold_value,
)
from snnkit.surrogate import Surrogate


class LinearLeakIF(Neuron):
    """Integrate-and-fire with a linear leak and a floor, in the order of IBM's TrueNorth.

    Equation, at each step: v ← v + x; v ← v + Ω·leak, Ω = sgn(v) if `leak_reversal`, else 1; s = [v ≥ threshold];
    then v ← 0 (`reset="zero"`) or v ← v − threshold (`reset="subtract"`) where s = 1, else v ← max(v, −floor).
    x, s: [T, B, features…]. With weights, leak, threshold and floor that are integers, or multiples of one power of
    two, float32 computes it exactly, and so does the chip.

    A negative leak with reversal pulls v towards 0, and past it where |v| is smaller than the leak, as the equation
    says. A leak without reversal is a constant input; 0 is a pure integrator.

    Args:
        leak: added at each step, after the input.
        leak_reversal: the leak takes the sign of v; at v = 0 there is none.
        threshold: in units of the membrane, positive.
        floor: how far v may stay below 0 after a step, at least 0; None for no limit.
        reset: `"zero"` or `"subtract"`.
        detach_reset: no gradient through the reset.
        surrogate: a name or a `Surrogate`; see `snnkit.surrogate`.
        learn_leak: the leak is a learnable parameter.
        learn_threshold: the threshold is a learnable parameter.
        shape: gives leak, threshold and floor this shape (one per channel [C] or per neuron [C, H, W]).

    Raises:
        ParameterError: a value outside its range.
        ShapeError: an input of fewer than 3 dimensions, or one that does not fit a per-channel parameter.

    The same neuron elsewhere: spikingjelly 2.0 `IFNode(v_threshold=threshold, v_reset=0.0)` for leak 0 and no floor.

    Source: Cassidy et al. 2013, doi:10.1109/IJCNN.2013.6707077, without its random draws.
    """

    threshold: Tensor
    leak: Tensor
    floor: Tensor | None

    def __init__(
        self,
        leak: Number = 0.0,
        leak_reversal: bool = False,
        threshold: Number = 1.0,
        floor: Number | None = None,
        reset: str = "zero",
        detach_reset: bool = True,
        surrogate: str | Surrogate = "arctan",
        learn_leak: bool = False,
        learn_threshold: bool = False,
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if reset not in RESETS:
            raise ParameterError(
                f"reset={reset!r}{did_you_mean(str(reset), RESETS)}",
                fix='use "zero" (v ← 0) or "subtract" (v ← v − threshold)',
            )
        amount = tensor_of("leak", leak)
        if not bool(amount.isfinite().all()):
            raise ParameterError(f"leak={leak!r} is not finite")
        self.reset, self.leak_reversal, self.detach_reset = reset, bool(leak_reversal), bool(detach_reset)
        self.surrogate = surrogates.get(surrogate)
        register_threshold(self, threshold_value(threshold), learn_threshold, shape)
        amount = spread("leak", amount, shape)
        if learn_leak:
            self.register_parameter("leak", torch.nn.Parameter(amount))
        else:
            self.register_buffer("leak", amount)
        depth = None if floor is None else tensor_of("floor", floor)
        if depth is not None and not bool(((depth >= 0) & depth.isfinite()).all()):
            raise ParameterError(f"floor={floor!r} is not a number from 0 on", fix="v then stays at or above -floor")
        self.register_buffer("floor", None if depth is None else spread("floor", depth, shape))

    def initial_state(self, x: Tensor) -> LinearLeakIFState:
        """At rest: v = 0; for x [T, B, …]."""
        return kernel.initial_state(x)

    def params(self, x: Tensor) -> LinearLeakIFParams:
        dtype = state_dtype(x)
        return LinearLeakIFParams(
            along_features(self, "leak", self.leak, x, dtype),
            along_features(self, "threshold", self.threshold, x, dtype),
            None if self.floor is None else along_features(self, "floor", self.floor, x, dtype),
            self.leak_reversal,
            self.reset == "zero",
            self.detach_reset,
            self.surrogate,
        )

    def step(self, x: Tensor, state: LinearLeakIFState, params: LinearLeakIFParams) -> tuple[Tensor, LinearLeakIFState]:
        return kernel.step(x, state, params)

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        out, final = kernel.sequence(x, state, self.params(x), want_state)
        return spikes_like(out, x), final

    def extra_repr(self) -> str:
        text = f"leak={describe(self.leak)}, threshold={describe(self.threshold)}, reset={self.reset!r}"
        if self.leak_reversal:
            text += ", leak_reversal=True"
        floor = math.inf if self.floor is None else describe(self.floor)
        return text + f", floor={floor}, surrogate={self.surrogate!r}"
