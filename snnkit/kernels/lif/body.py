"""LIF over a sequence on the CPU, whatever is around it: a block of neurons at a time, over all steps.

Time runs inside a block, so what a block needs never leaves the cache; in the usual case of `lif.steps` inside a tile
of it. The backward pass keeps only the input and recomputes the membrane: 20 bytes of traffic per float32 element where
nothing is around, both directions together.

What is around the neurons is up to the pieces `elements`, `place`, `enter`, `room` and `leave`, and their like for the
way back: those of `lif.alone`, or of the module that the type of `around` is from.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import allocate, at, below, counts, release, take
from snnkit.kernels.cache import piece
from snnkit.kernels.lif.alone import ROWS
from snnkit.kernels.lif.pieces import piece_of
from snnkit.kernels.lif.steps import tile_size
from snnkit.kernels.prefetch import ask_down, ask_up
from snnkit.kernels.row_gradients import (
    add_product,
    back_through_leak,
    mask_row,
    membrane_gradient,
    spike_gradient,
    surrogate_row,
    threshold_gradient,
)
from snnkit.kernels.rows import after_reset, fill, fire_refractory, load, retrace, retrace_refractory, store

elements, place, enter, room, leave = map(piece_of, ("elements", "place", "enter", "room", "leave"))
enter_back, room_back, leave_back = map(piece_of, ("enter_back", "room_back", "leave_back"))
kept, forward_steps, backward_steps = map(piece_of, ("kept", "forward_steps", "backward_steps"))


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
    size = max(elements(around, block), tile_size(one))
    plain = refractory == 0  # the usual case
    rows = allocate(ROWS + 5 + (kept(around, False) * steps if plain else 0), size, one)
    (a, th, v, end), wait = take(rows, ROWS, 4), counts(at(rows, ROWS + 4, 0))
    for b in range(first, last):
        lo, n, own, m, to, k = place(around, b, b == first, block, width, rows)
        fill(decay, decay_repeat, own, m, a)
        fill(threshold, threshold_repeat, own, m, th)
        load(v0, own, m, v)
        if plain:
            neurons = (a, th, v, end)
            forward_steps(around, x, lo, n, s, to, k, neurons, m, to_zero, below(rows, ROWS + 5), rows, one)
            store(end, own, m, v_end)
            continue
        load(wait0, own, m, wait)
        for t in range(steps):
            ask_down(x, t, lo, n)
            now = enter(around, x, t, lo, n, rows, at(rows, ROWS - 1, 0))
            out = room(around, s, t, to, rows)
            fire_refractory(now, a, th, to_zero, refractory, v, wait, out, m, one)
            leave(around, out, s, t, to, k, rows)
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
    plain = detach and not masked and grad_threshold.shape[0] == 0  # the usual case
    size = max(elements(around, block), tile_size(one))
    tile = 1 + tile_size(one) * (steps + 1) // size  # rows for a tile of neurons over all steps, and once more
    rows = allocate(
        ROWS + 8 + (2 * tile + kept(around, True) * steps if plain else (2 if masked else 1) * steps), size, one
    )
    (a, th, v, g, gv, ga, gth), wait = take(rows, ROWS, 7), counts(at(rows, ROWS + 7, 0))
    us = ROWS + 8
    on = us + steps if masked else us
    for b in range(first, last):
        lo, n, own, m, to, k = place(around, b, b == first, block, width, rows)
        fill(decay, decay_repeat, own, m, a)
        fill(threshold, threshold_repeat, own, m, th)
        load(v0, own, m, v)
        load(grad_v_end, own, m, gv)
        if plain:
            neurons, tiles = (a, th, v, gv, g, ga), (at(rows, us, 0), at(rows, us + tile, 0))
            learns, surrogate, keep = grad_decay.shape[0] > 0, (kind, peak, scale), below(rows, us + 2 * tile)
            backward_steps(
                around, x, lo, n, grad_s, to, k, grad_x, neurons, m, to_zero, surrogate, keep, learns, tiles, rows, one
            )
            store(g, own, m, grad_v0)
            store(ga, own, m, grad_decay)
            continue
        if masked:
            load(wait0, own, m, wait)
        for t in range(steps):
            ask_down(x, t, lo, n)
            now, u = enter(around, x, t, lo, n, rows, at(rows, ROWS - 1, 0)), at(rows, us + t, 0)
            if masked:
                retrace_refractory(now, a, th, to_zero, refractory, v, wait, u, at(rows, on + t, 0), m, one)
            else:
                retrace(now, a, th, to_zero, v, u, m, one)
        ask_up(grad_s, steps, to, k)
        ask_up(grad_x, steps, lo, n)
        for i in range(m):
            ga[i] = 0
            gth[i] = 0
        for back in range(steps):
            t = steps - 1 - back
            u, act = at(rows, us + t, 0), at(rows, on + t, 0)
            ask_up(grad_s, t, to, k)
            ask_up(grad_x, t, lo, n)
            gs = enter_back(around, grad_s, t, to, k, rows, at(rows, ROWS - 1, 0))
            gx = room_back(around, grad_x, t, lo, rows)
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
