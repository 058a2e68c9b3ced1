"""Arguments without memory for what stands around a neuron, to be compiled ahead of time; see `ahead`."""

from __future__ import annotations

from typing import Any

import torch

from snnkit.kernels.layout import Layout
from snnkit.kernels.lif.reference import LIFParams
from snnkit.kernels.norm_lif import op
from snnkit.kernels.norm_lif.statistics import Norm
from snnkit.kernels.recurrent.layer import OPERATORS
from snnkit.kernels.state import state_dtype
from snnkit.surrogate import SURROGATES

SHAPE = (16, 16, 32, 32, 32)
"""[T, B, C, H, W] of a convolution's output."""


def norm(
    shape: tuple[int, ...] = SHAPE,
    dtype: torch.dtype = torch.float32,
    pool: tuple[int, int] | None = (2, 2),
    before: bool = False,
    last: bool = False,
    where: str = "layer",
    to_zero: bool = True,
    detach: bool = True,
    refractory: int = 0,
    kind: str = "arctan",
    state: bool = False,
    learn: bool = False,
    once: bool = True,
) -> tuple[list[Any], list[Any]]:
    """Arguments of `norm_lif.on_gpu`'s forward and backward.

    last: channels come last in memory; where: decay and threshold are the layer's, or of each channel or neuron; state:
    an initial state is given and the final one wanted; learn: so are the gradients of the parameters.
    """
    x = torch.empty(shape, dtype=dtype, device="meta")
    low = state_dtype(x)

    def empty(*sizes: int, dtype: torch.dtype = low) -> torch.Tensor:
        return torch.empty(sizes, dtype=dtype, device="meta")

    order = (0, 1, 3, 4, 2) if last else (0, 1, 2, 3, 4)
    windows = None if pool is None else op.Pool(*pool, before)
    layout = Layout(order, tuple(shape[d] for d in order))
    pooled = shape if windows is None else windows.shape(x)
    small = Layout(order, tuple(pooled[d] for d in order))
    neurons, features = (small, pooled[2:]) if before else (layout, shape[2:])
    channels = empty(shape[2])
    value = empty(*{"layer": (1,), "channel": (shape[2], 1, 1), "neuron": features}[where])
    values, repeat = neurons.parameter(value)
    plan = op.Plan(
        layout=layout,
        small=small,
        neurons=neurons,
        repeat=layout.parameter(channels.view(-1, 1, 1))[1],
        window=(1, 1, 1, 1) if windows is None else op.image(layout, windows),
        before=before,
        decay_repeat=repeat,
        threshold_repeat=repeat,
        params=LIFParams(value, value, to_zero, detach, refractory, SURROGATES[kind]()),
        norm=Norm(channels, channels, None, 1e-5),
        once=once,
        want_state=state,
    )
    row = empty(neurons.width) if state else None
    wait = empty(neurons.width, dtype=torch.int32) if state and refractory else None
    given = [empty(shape[0], layout.width, dtype=dtype), channels, channels, row, wait, values, values]
    grad = empty(shape[0], plan.out.width, dtype=dtype)
    return [plan, *given], [plan, grad, row, (state, learn, learn), *given]


def recurrent(
    name: str,
    steps: int = 2,
    batch: int = 64,
    features: int = 512,
    dtype: torch.dtype = torch.float32,
    per: int = 1,
    to_zero: bool = True,
    detach: bool = True,
    refractory: int = 0,
    kind: int = 0,
    state: bool = False,
    learn: bool = False,
) -> tuple[list[Any], list[Any]]:
    """Arguments of `recurrent.on_gpu`'s forward and backward for the recurrence of that name; as `ahead.arguments`."""
    (recurrence,) = (o.recurrence for o in OPERATORS.values() if o.recurrence.name == name)

    def empty(*sizes: int, dtype: torch.dtype = dtype) -> torch.Tensor:
        return torch.empty(sizes, dtype=dtype, device="meta")

    x, weight, row = empty(steps, batch, features), empty(features, features), empty(batch, features)
    starts = [row if state else None for _ in recurrence.states]
    if len(recurrence.fields) > len(starts):
        starts.append(empty(batch, features, dtype=torch.int32) if state and refractory else None)
    values = [part for _ in recurrence.parameters for part in (empty(per), 1)]
    usual = {"to_zero": to_zero, "detach": detach, "refractory": refractory, "kind": kind, "peak": 1.0, "scale": 1.0}
    options = [usual[option.name] for option in recurrence.options]
    wants = [True, learn, state, *[state] * len(recurrence.states), *[learn] * len(recurrence.parameters)]
    forward = [recurrence, x, weight, None, None, *starts, *values, *options, state, True]
    kept = empty(0, 0, 0) if recurrence.from_output else x
    grads = [None] * (1 + len(recurrence.states))
    return forward, [recurrence, x, *grads, x, kept, weight, None, *starts, *values, *options, *wants]
