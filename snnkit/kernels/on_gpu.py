"""Recurrences on a GPU: one launch of a Triton kernel of a folder's `gpu.py` for the whole sequence.

`forward(x, …, s, …)` takes the input, the initial states, each parameter with its count and repeat, then the memory for
output and final states, then its numbers. `backward` takes the same inputs, room for the states at the start of each
chunk of steps, the gradients of output and final states, the memory for those of input, initial states and parameters,
then its numbers. What is absent is None; switches are constants. `halves` of the file says how short the chunks are,
`MOST`, where it has one, how many registers the compiler is told to take where neurons learn parameters of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnkit.kernels.on_cpu import reduced
from snnkit.kernels.state import state_dtype
from snnkit.kernels.tiles import launch, many, plan, spread, state_row

if TYPE_CHECKING:
    from snnkit.kernels.recurrence import Parts, Recurrence


def forward(recurrence: Recurrence[Any, Any], x: Tensor, *args: Any) -> Tensor | tuple[Tensor, ...]:
    """The operator `snnkit::<name>`: x [T, M] → s [T, M] and final states [M], empty where they are not wanted."""
    parts = recurrence.split(args)
    out = torch.empty_like(x, dtype=state_dtype(x) if recurrence.from_output else None)
    ends: list[Tensor] = []
    if not recurrence.from_output:
        wanted, refractory = parts.wants[0], recurrence.refractory(parts.options)
        ends = [state_row(x, wanted) for _ in recurrence.states]
        if len(recurrence.fields) > len(ends):
            ends.append(state_row(x, wanted and refractory > 0, torch.int32))
    numbers, constants = _options(recurrence, parts, backward=False)
    launch(recurrence.kernels("gpu").forward, x, *_inputs(recurrence, parts), out, *ends, *numbers, **constants)
    return out if recurrence.from_output else (out, *ends)


def backward(recurrence: Recurrence[Any, Any], *args: Any) -> tuple[Tensor, ...]:
    """The operator `snnkit::<name>_backward`: gradients of x [T, M], initial states [M] and parameters [P]."""
    ends = 1 + recurrence.ends
    grads, x = args[:ends], args[ends]
    parts = recurrence.split(args[ends + 1 :])
    kernels = recurrence.kernels("gpu")
    grad_x = torch.empty_like(x)
    found = [state_row(x, want) for want in parts.wants]
    rooms: list[Tensor | None] = []
    numbers, constants = _options(recurrence, parts, backward=True)
    if not recurrence.from_output:
        wants = parts.wants[len(recurrence.states) :]
        values = parts.values[: 2 * len(recurrence.parameters) : 2]
        refractory = recurrence.refractory(parts.options)
        learned = [v for v, want in zip(values, wants) if want]
        way = plan(x, kernels.halves(values, learned, refractory > 0))
        rooms = [way.room(x) for _ in recurrence.states]
        if len(recurrence.fields) > len(rooms):
            rooms.append(way.room(x, torch.int32) if refractory else None)
        constants |= way.options()
        if hasattr(kernels, "MOST") and many(learned) and not refractory:
            constants["maxnreg"] = kernels.MOST
    launch(
        kernels.backward, x, *_inputs(recurrence, parts), *rooms, *grads, grad_x, *found, *numbers, **constants
    )  # fmt: skip
    return grad_x, *reduced(recurrence, found, parts)


def _inputs(recurrence: Recurrence[Any, Any], parts: Parts) -> list[Any]:
    starts = list(parts.starts)
    if len(starts) > len(recurrence.states) and not recurrence.refractory(parts.options):
        starts[-1] = None
    values = zip(parts.values[::2], parts.values[1::2])
    return starts + [part for value, repeat in values for part in spread(value, repeat)]


def _options(recurrence: Recurrence[Any, Any], parts: Parts, backward: bool) -> tuple[list[Any], dict[str, Any]]:
    """(numbers, constants) of a kernel."""
    numbers, constants = [], {}
    for option, value in zip(recurrence.options, parts.options):
        if option.backward_only and not backward:
            continue
        if option.constant:
            constants[option.name.upper()] = value
        else:
            numbers.append(value)
    if len(recurrence.fields) > len(recurrence.states):
        constants["MASKED"] = recurrence.refractory(parts.options) > 0
    return numbers, constants
