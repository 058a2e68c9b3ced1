"""LIF over a sequence on the CPU, whatever is around it: a block of neurons at a time, over all steps.

Time runs inside a block, so what a block needs never leaves the cache. The backward pass keeps only the input and
recomputes the membrane: 20 bytes of traffic per float32 element where nothing is around, both directions together.

What is around the neurons is up to the pieces `elements`, `place`, `enter`, `room` and `leave`, and their like for the
way back: those of `lif.alone`, or of the module that the type of `around` is from.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

import importlib
from typing import Any

from numba.core import types
from numba.extending import overload

from snnkit.kernels.address import allocate, at, counts, release, take
from snnkit.kernels.cache import piece, piece_options
from snnkit.kernels.lif.alone import ROWS
from snnkit.kernels.prefetch import ask_down, ask_up
from snnkit.kernels.row_gradients import (
    add_product,
    back_through_leak,
    detached_gradient,
    mask_row,
    membrane_gradient,
    spike_gradient,
    surrogate_row,
    threshold_gradient,
)
from snnkit.kernels.rows import after_reset, fill, fire, fire_refractory, load, retrace, retrace_refractory, store


def _piece(name: str) -> Any:
    """The function of that name which belongs to the type of `around`, its first argument: of the module of its class,
    or of `lif.alone` for None."""

    def stub(around: Any, *args: Any) -> Any:
        raise NotImplementedError

    def choose(around, *args):
        place = "snnkit.kernels.lif.alone" if around is types.none else around.instance_class.__module__
        return getattr(importlib.import_module(place), name).py_func

    overload(stub, strict=False, jit_options=piece_options())(choose)
    return stub


elements, place, enter, room, leave = map(_piece, ("elements", "place", "enter", "room", "leave"))
enter_back, room_back, leave_back = map(_piece, ("enter_back", "room_back", "leave_back"))


@piece
def run(
    around,
    first,
    last,
    block,
    x,
    v0,
    wait0,
    decay,
    decay_repeat,
    threshold,
    threshold_repeat,
    to_zero,
    refractory,
    s,
    v_end,
    wait_end,
):
    """x [T, M] → s [T, …], final v_end and wait_end of the neurons (empty where not wanted)."""
    steps, width = x.shape
    one = decay.dtype.type(1)
    size = elements(around, block)
    rows = allocate(ROWS + 4, size, one)
    (a, th, v), wait = take(rows, ROWS, 3), counts(at(rows, ROWS + 3, 0))
    for b in range(first, last):
        lo, n, own, m, to, k = place(around, b, block, width, rows)
        fill(decay, decay_repeat, own, m, a)
        fill(threshold, threshold_repeat, own, m, th)
        load(v0, own, m, v)
        if refractory > 0:
            load(wait0, own, m, wait)
        for t in range(steps):
            ask_down(x, t, lo, n)
            now = enter(around, x, t, lo, n, rows)
            out = room(around, s, t, to, rows)
            if refractory == 0:
                fire(now, a, th, to_zero, v, out, m, one)
            else:
                fire_refractory(now, a, th, to_zero, refractory, v, wait, out, m, one)
            leave(around, out, s, t, to, k, rows)
        if refractory > 0:
            store(wait, own, m, wait_end)
        store(v, own, m, v_end)
    release(rows)


@piece
def run_back(
    around,
    first,
    last,
    block,
    x,
    v0,
    wait0,
    decay,
    decay_repeat,
    threshold,
    threshold_repeat,
    to_zero,
    detach,
    refractory,
    kind,
    peak,
    scale,
    grad_s,
    grad_v_end,
    grad_x,
    grad_v0,
    grad_decay,
    grad_threshold,
):
    """Gradients of `run`, grad_x [T, M] with respect to what `enter` gives; grad_v0, grad_decay and grad_threshold
    of the neurons are left out where empty."""
    steps, width = x.shape
    one = decay.dtype.type(1)
    masked = refractory > 0
    plain = detach and not masked and grad_threshold.shape[0] == 0  # the usual case, in fewer passes
    size = elements(around, block)
    rows = allocate(ROWS + 8 + (2 if masked else 1) * steps, size, one)
    (a, th, v, g, gv, ga, gth), wait = take(rows, ROWS, 7), counts(at(rows, ROWS + 7, 0))
    us = ROWS + 8
    on = us + steps if masked else us
    for b in range(first, last):
        lo, n, own, m, to, k = place(around, b, block, width, rows)
        fill(decay, decay_repeat, own, m, a)
        fill(threshold, threshold_repeat, own, m, th)
        load(v0, own, m, v)
        if masked:
            load(wait0, own, m, wait)
        for t in range(steps):
            ask_down(x, t, lo, n)
            now, u = enter(around, x, t, lo, n, rows), at(rows, us + t, 0)
            if masked:
                retrace_refractory(now, a, th, to_zero, refractory, v, wait, u, at(rows, on + t, 0), m, one)
            else:
                retrace(now, a, th, to_zero, v, u, m, one)
        ask_up(grad_s, steps, to, k)
        ask_up(grad_x, steps, lo, n)
        load(grad_v_end, own, m, gv)
        for i in range(m):
            ga[i] = 0
            gth[i] = 0
        for back in range(steps):
            t = steps - 1 - back
            u, act = at(rows, us + t, 0), at(rows, on + t, 0)
            ask_up(grad_s, t, to, k)
            ask_up(grad_x, t, lo, n)
            gs, gx = enter_back(around, grad_s, t, to, k, rows), room_back(around, grad_x, t, lo, rows)
            if plain:
                detached_gradient(kind, peak, scale, gs, u, th, a, to_zero, gv, gx, m, one)
            else:
                surrogate_row(kind, peak, scale, u, th, g, m, one)
                spike_gradient(gs, u, th, to_zero, detach, gv, g, m, one)
                if masked:
                    mask_row(act, g, m)
                if grad_threshold.shape[0] > 0:
                    threshold_gradient(u, th, act, masked, to_zero, gv, g, gth, m, one)
                membrane_gradient(u, th, act, masked, to_zero, gv, g, gx, m, one)
                back_through_leak(a, act, masked, gx, gv, m, one)
            if grad_decay.shape[0] > 0:
                if t == 0:
                    load(v0, own, m, v)
                else:
                    after_reset(at(rows, us + t - 1, 0), th, at(rows, on + t - 1, 0), masked, to_zero, v, m, one)
                add_product(gx, v, ga, m)
            leave_back(around, gx, grad_x, t, lo, n, m, rows)
        store(gv, own, m, grad_v0)
        store(ga, own, m, grad_decay)
        store(gth, own, m, grad_threshold)
    release(rows)
