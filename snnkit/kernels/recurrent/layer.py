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
from snnkit.kernels.recurrence import Recurrence
from snnkit.kernels.recurrent.op import recurrent
from snnkit.kernels.state import idle, state_dtype

RECURRENCES: dict[type[Any], Recurrence[Any, Any]] = {
    LIFParams: LIF,
    CubaLIFParams: CUBALIF,
    ALIFParams: ALIF,
    LIParams: LI,
}
"""Neurons that the operator knows, by their parameters."""

STATES = ("i", "v", "a")
PARAMETERS = ("syn", "decay", "adapt", "strength", "threshold")
OPTIONS = {"to_zero": True, "detach": True, "refractory": 0, "kind": 0, "peak": 1.0, "scale": 1.0}
"""The operator's, with what stands for one that a neuron does not have."""


def takes(x: Tensor, weight: Tensor, params: Any) -> bool:
    """Whether the operator runs x [T, B, N] through a neuron of these parameters with this matrix.

    Otherwise the reference does: for surrogates without a compiled form, other devices than CPUs, mixed dtypes.
    """
    recurrence = RECURRENCES.get(type(params))
    return (
        recurrence is not None
        and recurrence.given(params) is not None
        and runs_fused(x)
        and not torch.is_autocast_enabled("cpu")
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
    recurrence = RECURRENCES[type(params)]
    given = recurrence.given(params)
    assert given is not None
    options = OPTIONS | {option.name: value for option, value in zip(recurrence.options, given.options)}
    values = dict(zip(recurrence.parameters, given.parameters))
    starts = {} if state is None else dict(zip(recurrence.fields, state))
    dtype = state_dtype(x)
    tensors = [
        x.to(dtype).contiguous(),
        bias,
        out,
        weight,
        *(starts[name].to(dtype) if name in starts else None for name in STATES),
        starts.get("wait") if options["refractory"] else None,
        *(None if (value := values.get(name)) is None else value.reshape(-1) for name in PARAMETERS),
    ]
    keep = torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in tensors)
    s, _, last, i, v, a, wait = recurrent(*tensors, *options.values(), want_state, keep)
    if not want_state:
        return s, None, None
    ends = {"i": i, "v": v, "a": a, "wait": wait if options["refractory"] else idle(v)}
    return s, recurrence.state(*(ends[name] for name in recurrence.fields)), last
