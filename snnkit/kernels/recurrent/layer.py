"""A neuron layer and its matrix as the fused operator takes them, and whether it does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.alif.reference import ALIFParams, ALIFState
from snnkit.kernels.cubalif.reference import CubaLIFParams, CubaLIFState
from snnkit.kernels.layout import runs_fused
from snnkit.kernels.li.reference import LIParams, LIState
from snnkit.kernels.lif.reference import LIFParams, LIFState
from snnkit.kernels.recurrent.op import recurrent
from snnkit.kernels.state import idle, state_dtype


def takes(x: Tensor, weight: Tensor, params: Any) -> bool:
    """Whether the operator runs x [T, B, N] through a neuron of these parameters with this matrix.

    Otherwise the reference does: for surrogates without a compiled form, other devices than CPUs, mixed dtypes.
    """
    lif = params.lif if isinstance(params, CubaLIFParams | ALIFParams) else params
    if isinstance(lif, LIFParams):
        known = lif.surrogate.kind >= 0
    else:
        known = isinstance(lif, LIParams)
    return (
        known
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
    lif = params.lif if isinstance(params, CubaLIFParams | ALIFParams) else params
    fires = isinstance(lif, LIFParams)
    syn = params.decay_syn if isinstance(params, CubaLIFParams) else None
    adapt, strength = (params.decay_adapt, params.adaptation) if isinstance(params, ALIFParams) else (None, None)
    options: Any = (
        (lif.reset_to_zero, lif.detach_reset, lif.refractory, lif.surrogate.kind, *lif.surrogate.coefficients())
        if fires
        else (True, True, 0, 0, 1.0, 1.0)
    )
    dtype = state_dtype(x)
    given = {} if state is None else state._asdict()
    starts = [None if part not in given else given[part].to(dtype) for part in ("i", "v", "a")]
    tensors = [
        x.to(dtype).contiguous(),
        bias,
        out,
        weight,
        *starts,
        given["wait"] if fires and state is not None and lif.refractory else None,
        *(None if p is None else p.reshape(-1) for p in (syn, lif.decay, adapt, strength)),
        lif.threshold.reshape(-1) if fires else None,
    ]
    keep = torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in tensors)
    s, _, last, i, v, a, wait = recurrent(*tensors, *options, want_state, keep)
    if not want_state:
        return s, None, None
    if not fires:
        return s, LIState(v), last
    wait = wait if lif.refractory else idle(v)
    if syn is not None:
        return s, CubaLIFState(i, v, wait), last
    return s, (LIFState(v, wait) if adapt is None else ALIFState(v, a, wait)), last
