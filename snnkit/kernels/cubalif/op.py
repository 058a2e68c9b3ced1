"""CubaLIF over a sequence: what the fused kernels take."""

from __future__ import annotations

from snnkit.kernels.cubalif.reference import CubaLIFParams, CubaLIFState, initial_state, step
from snnkit.kernels.lif.op import firing_options
from snnkit.kernels.recurrence import REFRACTORY, RESET, SURROGATE, Given, Recurrence


def _given(params: CubaLIFParams) -> Given | None:
    options = firing_options(params.lif)
    return None if options is None else Given((params.decay_syn, params.lif.decay, params.lif.threshold), options)


RECURRENCE = Recurrence(
    "cubalif",
    CubaLIFState,
    step,
    rest=lambda x, params: initial_state(x, params.lif.refractory),
    given=_given,
    parameters=("syn", "decay", "threshold"),
    options=(*RESET, REFRACTORY, *SURROGATE),
)

sequence = RECURRENCE.sequence
