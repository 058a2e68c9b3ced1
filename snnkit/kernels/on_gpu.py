"""Recurrences on a GPU: one launch of a Triton kernel of a folder's `gpu.py` for the whole sequence.

`forward(x, …, s, …)` takes the input, the initial states, each parameter with its count and repeat, then the memory for
output and final states, room for the states at the start of each chunk, which it fills for the way back where that is
given, then its numbers. `backward` takes the same inputs, room for the states at the start of each
chunk of steps, the gradients of output and final states, the memory for those of input, initial states and parameters,
then its numbers. What is absent is None; switches are constants. `halves` of the file says how short the chunks are,
`MOST`, where it has one, how many registers the compiler is told to take where neurons learn parameters of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from snnkit.kernels.on_cpu import reduced
from snnkit.kernels.state import state_dtype
from snnkit.kernels.tiles import Plan, launch, many, plan, spread, state_row

if TYPE_CHECKING:
    from snnkit.kernels.recurrence import Parts, Recurrence


MOST_KEPT = 0.5
"""What is kept for the way back, at most, in units of the input, which is kept too. It stays from one way to the other
in all layers at once; where chunks are short it would be more than it is worth."""


class Kept(NamedTuple):
    """What the way forward has left for the one back."""

    way: Plan
    rooms: list[Tensor | None]
    """For each state at the start of each chunk, the refractory counter last; None where it is not kept."""

    def backward(self, recurrence: Recurrence[Any, Any], rooms: list[Tensor | None], *args: Any) -> tuple[Tensor, ...]:
        """The operator's, with these rooms."""
        return backward(recurrence, *args, kept=self._replace(rooms=rooms))


def forward(recurrence: Recurrence[Any, Any], x: Tensor, *args: Any) -> Tensor | tuple[Tensor, ...]:
    """The operator `snnkit::<name>`: x [T, M] → s [T, M] and final states [M], empty where they are not wanted."""
    return _forward(recurrence, recurrence.split(args), x, None)


def forward_keeping(
    recurrence: Recurrence[Any, Any], needs: Sequence[bool], x: Tensor, *args: Any
) -> tuple[Tensor | tuple[Tensor, ...], Kept | None]:
    """As `forward`, and what spares the way back walking down the steps first; None where it does not have to.

    needs: which of x and args may need a gradient.
    """
    parts, kept = recurrence.split(args), None
    if not recurrence.from_output:
        wants = [needs[k] for k in recurrence.learn]
        way = _plan(recurrence, x, parts, wants)
        if _keeps(recurrence, x, parts, way, _learned(recurrence, parts, wants)):
            kept = Kept(way, _rooms(recurrence, x, parts, way))
    return _forward(recurrence, parts, x, kept), kept


def _forward(
    recurrence: Recurrence[Any, Any], parts: Parts, x: Tensor, kept: Kept | None
) -> Tensor | tuple[Tensor, ...]:
    out = torch.empty_like(x, dtype=state_dtype(x) if recurrence.from_output else None)
    numbers, constants = _options(recurrence, parts, backward=False)
    given = (x, *_inputs(recurrence, parts), out)
    kernel = recurrence.kernels("gpu").forward
    if recurrence.from_output:
        launch(kernel, *given, *numbers, **constants)
        return out
    wanted, refractory = parts.wants[0], recurrence.refractory(parts.options)
    ends = [state_row(x, wanted) for _ in recurrence.states]
    if len(recurrence.fields) > len(ends):
        ends.append(state_row(x, wanted and refractory > 0, torch.int32))
    rooms = [None] * len(recurrence.fields) if kept is None else kept.rooms
    launch(kernel, *given, *ends, *rooms, *numbers, STEPS=1 if kept is None else kept.way.each, **constants)
    return out, *ends


def backward(recurrence: Recurrence[Any, Any], *args: Any, kept: Kept | None = None) -> tuple[Tensor, ...]:
    """The operator `snnkit::<name>_backward`: gradients of x [T, M], initial states [M] and parameters [P].

    kept: what the way forward has left, of the same input.
    """
    ends = 1 + recurrence.ends
    grads, x = args[:ends], args[ends]
    parts = recurrence.split(args[ends + 1 :])
    kernels = recurrence.kernels("gpu")
    grad_x = torch.empty_like(x)
    found = [state_row(x, want) for want in parts.wants]
    rooms: list[Tensor | None] = []
    numbers, constants = _options(recurrence, parts, backward=True)
    if not recurrence.from_output:
        way = _plan(recurrence, x, parts, parts.wants) if kept is None else kept.way
        rooms = _rooms(recurrence, x, parts, way) if kept is None else kept.rooms
        constants |= way.options() | {"FILLED": kept is not None}
        if (
            hasattr(kernels, "MOST")
            and many(_learned(recurrence, parts, parts.wants))
            and not _masked(recurrence, parts)
        ):
            constants["maxnreg"] = kernels.MOST
    launch(
        kernels.backward, x, *_inputs(recurrence, parts), *rooms, *grads, grad_x, *found, *numbers, **constants
    )  # fmt: skip
    return grad_x, *reduced(recurrence, found, parts)


def _masked(recurrence: Recurrence[Any, Any], parts: Parts) -> bool:
    return recurrence.refractory(parts.options) > 0


def _learned(recurrence: Recurrence[Any, Any], parts: Parts, wants: Sequence[bool]) -> list[Tensor]:
    """The parameters whose gradients are wanted."""
    values = parts.values[: 2 * len(recurrence.parameters) : 2]
    return [v for v, want in zip(values, wants[len(recurrence.states) :]) if want]


def _plan(recurrence: Recurrence[Any, Any], x: Tensor, parts: Parts, wants: Sequence[bool]) -> Plan:
    """How to go back."""
    values = parts.values[: 2 * len(recurrence.parameters) : 2]
    masked = _masked(recurrence, parts)
    return plan(x, recurrence.kernels("gpu").halves(values, _learned(recurrence, parts, wants), masked))


def _keeps(recurrence: Recurrence[Any, Any], x: Tensor, parts: Parts, way: Plan, learned: list[Tensor]) -> bool:
    """Whether there is something to keep, and little; and whether the way back, which then is a kernel of its own, has
    the registers it may have: with attached resets and gradients of parameters it would take more."""
    attached = any(o.name == "detach" and not value for o, value in zip(recurrence.options, parts.options))
    if way.chunks <= 1 or (attached and learned):
        return False
    states = len(recurrence.fields) if _masked(recurrence, parts) else len(recurrence.states)
    each = way.chunks * (x.element_size() if x.dtype == torch.float64 else 4)  # bytes of a state, per neuron
    return states * each <= MOST_KEPT * x.shape[0] * x.element_size()


def _rooms(recurrence: Recurrence[Any, Any], x: Tensor, parts: Parts, way: Plan) -> list[Tensor | None]:
    rooms = [way.room(x) for _ in recurrence.states]
    if len(recurrence.fields) > len(rooms):
        rooms.append(way.room(x, torch.int32) if _masked(recurrence, parts) else None)
    return rooms


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
