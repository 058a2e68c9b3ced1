"""A tile of neurons with a synaptic current in front of the membrane, in registers: what `lif.steps` asks about it."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from typing import Any, NamedTuple

from snnkit.kernels.cache import piece
from snnkit.kernels.lanes import get, put
from snnkit.kernels.lif.alone import ask, ask_back, ask_out, give, given_back, keep, take, tile_at

__all__ = ["Current", "ask", "ask_back", "ask_out", "give", "given_back", "keep", "take", "tile_at"]


class Current(NamedTuple):
    """Rows of the block."""

    decay: Any
    start: Any
    end: Any
    """The current before the first step, and after the last."""
    grad_end: Any
    grad_start: Any
    """The gradients of these; on the way forward unused."""


@piece
def begin(current, where, one):
    return get(current.decay, where, one), get(current.start, where, one)


@piece
def given(current, x, start, where, front, one):
    decay, now = front
    now = decay * now + get(x, start + where, one)
    return now, (decay, now)


@piece
def finish(current, front, where):
    put(front[1], current.end, where, False)


@piece
def begin_back(current, where, one):
    return get(current.decay, where, one), get(current.grad_end, where, one)


@piece
def give_back(current, grad, grad_x, start, where, rear, streamed):
    decay, later = rear  # what later steps send back to the current
    grad = grad + later
    put(grad, grad_x, start + where, streamed)
    return decay, decay * grad


@piece
def finish_back(current, rear, where):
    put(rear[1], current.grad_start, where, False)
