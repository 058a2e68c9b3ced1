"""LIF over a sequence: what the fused kernels take."""

from __future__ import annotations

from snnkit.kernels.lif.reference import LIFParams, LIFState, initial_state, step
from snnkit.kernels.recurrence import REFRACTORY, RESET, SURROGATE, Given, Recurrence


def firing_options(params: LIFParams) -> tuple[bool | int | float, ...] | None:
    """Values of the options of a neuron that fires like LIF; None for a surrogate that no kernel knows."""
    surrogate = params.surrogate
    if surrogate.kind < 0:
        return None
    reset = params.reset_to_zero, params.detach_reset
    return (*reset, params.refractory, surrogate.kind, *surrogate.coefficients())


def _given(params: LIFParams) -> Given | None:
    options = firing_options(params)
    return None if options is None else Given((params.decay, params.threshold), options)


RECURRENCE = Recurrence(
    "lif",
    LIFState,
    step,
    rest=lambda x, params: initial_state(x, params.refractory),
    given=_given,
    parameters=("decay", "threshold"),
    options=(*RESET, REFRACTORY, *SURROGATE),
)

sequence = RECURRENCE.sequence
