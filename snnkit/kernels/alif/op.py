"""ALIF over a sequence: what the fused kernels take."""

from __future__ import annotations

from snnkit.kernels.alif.reference import ALIFParams, ALIFState, initial_state, step
from snnkit.kernels.lif.op import firing_options
from snnkit.kernels.recurrence import REFRACTORY, RESET, SURROGATE, Given, Recurrence


def _given(params: ALIFParams) -> Given | None:
    lif, options = params.lif, firing_options(params.lif)
    values = lif.decay, params.decay_adapt, params.adaptation, lif.threshold
    return None if options is None else Given(values, options)


RECURRENCE = Recurrence(
    "alif",
    ALIFState,
    step,
    rest=lambda x, params: initial_state(x, params.lif.refractory),
    given=_given,
    parameters=("decay", "adapt", "strength", "threshold"),
    options=(*RESET, REFRACTORY, *SURROGATE),
)

sequence = RECURRENCE.sequence
