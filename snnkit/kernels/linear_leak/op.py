"""LinearLeakIF over a sequence: what the fused kernels take."""

from __future__ import annotations

from snnkit.kernels.linear_leak.reference import LinearLeakIFParams, LinearLeakIFState, initial_state, step
from snnkit.kernels.recurrence import RESET, SURROGATE, Given, Option, Recurrence


def _given(params: LinearLeakIFParams) -> Given | None:
    surrogate, floor = params.surrogate, params.floor
    if surrogate.kind < 0 or (floor is not None and floor.requires_grad):  # no kernel has the gradient of a floor
        return None
    reset = params.reset_to_zero, params.detach_reset
    options = (params.reverses, *reset, surrogate.kind, *surrogate.coefficients())
    return Given((params.leak, params.threshold, floor), options)


RECURRENCE = Recurrence(
    "linear_leak",
    LinearLeakIFState,
    step,
    rest=lambda x, params: initial_state(x),
    given=_given,
    parameters=("leak", "threshold"),
    options=(Option("reverses", "bool", constant=True), *RESET, *SURROGATE),
    fixed=("floor",),
)

sequence = RECURRENCE.sequence
