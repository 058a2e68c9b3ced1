"""CubaLIF on the CPU: as LIF's kernel, with the synaptic current in front of the membrane."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import allocate, at, below, counts, release, take
from snnkit.kernels.bfloat16 import read, target, write
from snnkit.kernels.cache import kernel
from snnkit.kernels.cubalif.tile import Current
from snnkit.kernels.lanes import streams
from snnkit.kernels.lif.steps import detached_steps, fire_steps, tile_size
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
from snnkit.kernels.rows import (
    after_reset,
    copy,
    fill,
    fire,
    fire_refractory,
    leak,
    load,
    retrace,
    retrace_refractory,
    store,
)


@kernel
def forward(
    first,
    last,
    block,
    x,
    i0,
    v0,
    wait0,
    syn,
    syn_repeat,
    decay,
    decay_repeat,
    threshold,
    threshold_repeat,
    to_zero,
    refractory,
    s,
    i_end,
    v_end,
    wait_end,
):
    """x [T, M] → s [T, M], final i_end, v_end, wait_end [M] (empty where not wanted); empty i0, v0, wait0 are zeros."""
    steps, width = x.shape
    one = decay.dtype.type(1)
    rows = allocate(10, block, one)
    (a, th, v, ai, cur, room, fired), wait = take(rows, 0, 7), counts(at(rows, 7, 0))
    end, cur_end = take(rows, 8, 2)
    for b in range(first, last):
        lo = b * block
        n = min(block, width - lo)
        fill(syn, syn_repeat, lo, n, ai)
        fill(decay, decay_repeat, lo, n, a)
        fill(threshold, threshold_repeat, lo, n, th)
        load(i0, lo, n, cur)
        load(v0, lo, n, v)
        if refractory == 0 and n >= tile_size(one):
            streamed, current = streams(s, lo), Current(ai, cur, cur_end, cur, cur_end)
            ahead = 0 if streamed else n
            fire_steps(
                current, at(x, 0, lo), width, n, a, th, to_zero, v, at(s, 0, lo), width, ahead, end, n, steps, streamed,
                one,
            )  # fmt: skip
            store(cur_end, lo, n, i_end)
            store(end, lo, n, v_end)
            continue
        if refractory == 0:
            for t in range(steps):
                ask_down(x, t, lo, n)
                leak(read(x, t, lo, n, room), ai, cur, n)
                out = target(s, t, lo, fired)
                fire(cur, a, th, to_zero, v, out, n, one)
                write(out, s, t, lo, n)
        else:
            load(wait0, lo, n, wait)
            for t in range(steps):
                ask_down(x, t, lo, n)
                leak(read(x, t, lo, n, room), ai, cur, n)
                out = target(s, t, lo, fired)
                fire_refractory(cur, a, th, to_zero, refractory, v, wait, out, n, one)
                write(out, s, t, lo, n)
            store(wait, lo, n, wait_end)
        store(cur, lo, n, i_end)
        store(v, lo, n, v_end)
    release(rows)


@kernel
def backward(
    first,
    last,
    block,
    x,
    i0,
    v0,
    wait0,
    syn,
    syn_repeat,
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
    grad_i_end,
    grad_v_end,
    grad_x,
    grad_i0,
    grad_v0,
    grad_syn,
    grad_decay,
    grad_threshold,
):
    """Gradients of `forward`; those of i0, v0, the decays and the threshold [M] are left out where empty."""
    steps, width = x.shape
    one = decay.dtype.type(1)
    masked = refractory > 0
    plain = detach and not masked and grad_threshold.shape[0] == 0  # the usual case, in fewer passes
    learns = grad_syn.shape[0] > 0
    tile = 1 + tile_size(one) * (steps + 1) // block  # rows for a tile of neurons over all steps, and once more
    rows = allocate(16 + max((1 + learns + masked) * steps, 2 * tile), block, one)
    a, th, v, g, gv, ga, gth = take(rows, 0, 7)
    ai, cur, gi, gai, room, gx_room = take(rows, 7, 6)
    wait, us = counts(at(rows, 13, 0)), below(rows, 14)
    currents, on = below(rows, 14 + steps), below(rows, 15 + (1 + learns) * steps)
    for b in range(first, last):
        lo = b * block
        n = min(block, width - lo)
        fill(syn, syn_repeat, lo, n, ai)
        fill(decay, decay_repeat, lo, n, a)
        fill(threshold, threshold_repeat, lo, n, th)
        load(i0, lo, n, cur)
        load(v0, lo, n, v)
        load(grad_i_end, lo, n, gi)
        load(grad_v_end, lo, n, gv)
        if plain and not learns and n >= tile_size(one):
            streamed, current = streams(grad_x, lo), Current(ai, cur, cur, gi, gai)
            ahead = 0 if streamed else n
            detached_steps(
                current, kind, peak, scale, at(x, 0, lo), width, n, a, th, to_zero, v, at(grad_s, 0, lo), width, n, gv,
                at(grad_x, 0, lo), width, ahead, g, ga, grad_decay.shape[0] > 0, at(us, 0, 0), at(us, tile, 0), n,
                steps, streamed, one,
            )  # fmt: skip
            store(gai, lo, n, grad_i0)
            store(g, lo, n, grad_v0)
            store(ga, lo, n, grad_decay)
            continue
        if masked:
            load(wait0, lo, n, wait)
        for t in range(steps):
            ask_down(x, t, lo, n)
            leak(read(x, t, lo, n, room), ai, cur, n)
            if grad_syn.shape[0] > 0:
                copy(cur, at(currents, t, 0), n)
            if masked:
                retrace_refractory(cur, a, th, to_zero, refractory, v, wait, at(us, t, 0), at(on, t, 0), n, one)
            else:
                retrace(cur, a, th, to_zero, v, at(us, t, 0), n, one)
        ask_up(grad_s, steps, lo, n)
        ask_up(grad_x, steps, lo, n)
        for i in range(n):
            ga[i] = 0
            gth[i] = 0
            gai[i] = 0
        for k in range(steps):
            t = steps - 1 - k
            u = at(us, t, 0)
            act = at(on, t if masked else 0, 0)
            ask_up(grad_s, t, lo, n)
            ask_up(grad_x, t, lo, n)
            gs, gx = read(grad_s, t, lo, n, room), target(grad_x, t, lo, gx_room)
            if plain:
                detached_gradient(kind, peak, scale, gs, u, th, a, to_zero, gv, gx, n, one)
            else:
                surrogate_row(kind, peak, scale, u, th, g, n, one)
                spike_gradient(gs, u, th, to_zero, detach, gv, g, n, one)
                if masked:
                    mask_row(act, g, n)
                if grad_threshold.shape[0] > 0:
                    threshold_gradient(u, th, act, masked, to_zero, gv, g, gth, n, one)
                membrane_gradient(u, th, act, masked, to_zero, gv, g, gx, n, one)
                back_through_leak(a, act, masked, gx, gv, n, one)
            if grad_decay.shape[0] > 0:
                if t == 0:
                    load(v0, lo, n, v)
                else:
                    after_reset(at(us, t - 1, 0), th, at(on, t - 1 if masked else 0, 0), masked, to_zero, v, n, one)
                add_product(gx, v, ga, n)
            for i in range(n):  # gi holds what later steps send back to the current
                gx[i] = gx[i] + gi[i]
            for i in range(n):
                gi[i] = ai[i] * gx[i]
            if grad_syn.shape[0] > 0:
                if t == 0:
                    load(i0, lo, n, cur)
                    add_product(gx, cur, gai, n)
                else:
                    add_product(gx, at(currents, t - 1, 0), gai, n)
            write(gx, grad_x, t, lo, n)
        store(gi, lo, n, grad_i0)
        store(gv, lo, n, grad_v0)
        store(gai, lo, n, grad_syn)
        store(ga, lo, n, grad_decay)
        store(gth, lo, n, grad_threshold)
    release(rows)
