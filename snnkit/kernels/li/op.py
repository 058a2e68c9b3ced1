"""LI over a sequence: what the fused kernels take."""

from __future__ import annotations

from snnkit.kernels.li.reference import LIParams, LIState, initial_state, step
from snnkit.kernels.recurrence import Given, Recurrence

RECURRENCE: Recurrence[LIState, LIParams] = Recurrence(
    "li",
    LIState,
    step,
    rest=lambda x, params: initial_state(x),
    given=lambda params: Given((params.decay,)),
    parameters=("decay",),
    from_output=True,
)

sequence = RECURRENCE.sequence
