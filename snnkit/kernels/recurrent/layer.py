"""A neuron layer and its matrix as the fused operator takes them, and whether it does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.alif.op import RECURRENCE as ALIF
from snnkit.kernels.alif.reference import ALIFParams
from snnkit.kernels.cubalif.op import RECURRENCE as CUBALIF
from snnkit.kernels.cubalif.reference import CubaLIFParams
from snnkit.kernels.layout import runs_fused
from snnkit.kernels.li.op import RECURRENCE as LI
from snnkit.kernels.li.reference import LIParams
from snnkit.kernels.lif.op import RECURRENCE as LIF
from snnkit.kernels.lif.reference import LIFParams
from snnkit.kernels.recurrent.op import Recurrent
from snnkit.kernels.state import idle, state_dtype

OPERATORS: dict[type[Any], Recurrent] = {
    LIFParams: Recurrent(LIF),
    CubaLIFParams: Recurrent(CUBALIF),
    ALIFParams: Recurrent(ALIF),
    LIParams: Recurrent(LI),
}
"""Of the neurons that have one, by their parameters."""


def takes(x: Tensor, weight: Tensor, params: Any) -> bool:
    """Whether the operator runs x [T, B, N] through a neuron of these parameters with this matrix.

    Otherwise the reference does: for surrogates without a compiled form, devices without kernels, mixed dtypes.
    """
    operators = OPERATORS.get(type(params))
    return (
        operators is not None
        and operators.recurrence.given(params) is not None
        and runs_fused(x, on_gpu=True)
        and not torch.is_autocast_enabled(x.device.type)
        and x.dim() == 3
        and weight.shape == (x.shape[2], x.shape[2])
        and weight.dtype == state_dtype(x)
        and weight.device == x.device
    )


def sequence(
    x: Tensor,
    state: Any,
    out: Tensor | None,
    params: Any,
    weight: Tensor,
    bias: Tensor | None,
    want_state: bool = True,
) -> tuple[Tensor, Any, Tensor | None]:
    """out[t] = step(x[t] + W·out[t−1] + b) for x [T, B, N] and the neuron of `params`: (out, final state, final out).

    The spikes are those of the reference bit for bit, since the products are the same calls of the same routine.

    Args:
        x: what `takes`.
        state: of the neuron before the first step, None at rest.
        out: its output [B, N] before the first step, None for silence.
        params: the neuron's.
        weight: W [N, N].
        bias: b [N].
        want_state: whether the final state and output are wanted.
    """
    operators = OPERATORS[type(params)]
    recurrence = operators.recurrence
    given = recurrence.given(params)
    assert given is not None
    dtype, refractory = state_dtype(x), recurrence.refractory(given.options)
    starts: list[Tensor | None] = [None] * len(recurrence.fields)
    if state is not None:
        for k, value in enumerate(state[: len(recurrence.states)]):
            starts[k] = value.to(dtype)
        if refractory:
            starts[-1] = state[-1]
    tensors = [x.to(dtype).contiguous(), weight, bias, out, *starts]
    parameters = [None if value is None else value.reshape(-1) for value in given.parameters]
    keep = torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in tensors + parameters)
    values = [part for value in parameters for part in (value, 1)]
    s, _, last, *ends = operators.forward(*tensors, *values, *given.options, want_state, keep)
    if not want_state:
        return s, None, None
    if len(ends) > len(recurrence.states) and not refractory:
        ends[-1] = idle(ends[0])
    return s, recurrence.state(*ends), last
