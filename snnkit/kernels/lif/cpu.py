"""LIF on the CPU: the whole sequence in one pass over memory, forward; one more with recomputation, backward.

Time runs inside a block of elements, so the membrane never leaves the cache. The backward pass keeps only the
input and recomputes the membrane: 20 bytes of traffic per float32 element, both directions together.
"""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

import numpy as np

from snnkit.kernels.bfloat16 import read, target, write
from snnkit.kernels.cache import kernel
from snnkit.kernels.prefetch import ask_down, ask_up
from snnkit.kernels.rows import (
    add_product,
    after_reset,
    back_through_leak,
    detached_gradient,
    fill,
    fire,
    fire_refractory,
    load,
    mask_row,
    membrane_gradient,
    retrace,
    retrace_refractory,
    spike_gradient,
    store,
    surrogate_row,
    threshold_gradient,
)


@kernel
def forward(
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
    """x [T, M] → s [T, M], final v_end and wait_end [M] (empty where not wanted); v0, wait0 [M], empty for zeros."""
    steps, width = x.shape
    one = decay.dtype.type(1)
    rows = np.empty((5, block), decay.dtype)
    a, th, v, room, fired = rows[0], rows[1], rows[2], rows[3], rows[4]
    wait = np.empty(block, np.int32)
    for b in range(first, last):
        lo = b * block
        n = min(block, width - lo)
        fill(decay, decay_repeat, lo, n, a)
        fill(threshold, threshold_repeat, lo, n, th)
        load(v0, lo, n, v)
        if refractory == 0:
            for t in range(steps):
                ask_down(x, t, lo, n, block)
                out = target(s, t, lo, n, fired)
                fire(read(x, t, lo, n, room), a, th, to_zero, v, out, n, one)
                write(out, s, t, lo, n)
        else:
            load(wait0, lo, n, wait)
            for t in range(steps):
                ask_down(x, t, lo, n, block)
                out = target(s, t, lo, n, fired)
                fire_refractory(read(x, t, lo, n, room), a, th, to_zero, refractory, v, wait, out, n, one)
                write(out, s, t, lo, n)
            store(wait, lo, n, wait_end)
        store(v, lo, n, v_end)


@kernel
def backward(
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
    """Gradients of `forward`; grad_v0, grad_decay and grad_threshold [M] are left out where empty."""
    steps, width = x.shape
    one = decay.dtype.type(1)
    masked = refractory > 0
    plain = detach and not masked and grad_threshold.shape[0] == 0  # the usual case, in fewer passes
    rows = np.empty((9, block), decay.dtype)
    a, th, v, g, gv, ga, gth = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6]
    room, gx_room = rows[7], rows[8]
    us = np.empty((steps, block), decay.dtype)
    on = np.empty((steps if masked else 1, block), decay.dtype)
    wait = np.empty(block, np.int32)
    for b in range(first, last):
        lo = b * block
        n = min(block, width - lo)
        fill(decay, decay_repeat, lo, n, a)
        fill(threshold, threshold_repeat, lo, n, th)
        load(v0, lo, n, v)
        if masked:
            load(wait0, lo, n, wait)
            for t in range(steps):
                ask_down(x, t, lo, n, block)
                now = read(x, t, lo, n, room)
                retrace_refractory(now, a, th, to_zero, refractory, v, wait, us[t], on[t], n, one)
        else:
            for t in range(steps):
                ask_down(x, t, lo, n, block)
                retrace(read(x, t, lo, n, room), a, th, to_zero, v, us[t], n, one)
        ask_up(grad_s, grad_x, steps, lo, n)
        load(grad_v_end, lo, n, gv)
        for i in range(n):
            ga[i] = 0
            gth[i] = 0
        for k in range(steps):
            t = steps - 1 - k
            u = us[t]
            act = on[t if masked else 0]
            ask_up(grad_s, grad_x, t, lo, n)
            gs, gx = read(grad_s, t, lo, n, room), target(grad_x, t, lo, n, gx_room)
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
                    after_reset(us[t - 1], th, on[t - 1 if masked else 0], masked, to_zero, v, n, one)
                add_product(gx, v, ga, n)
            write(gx, grad_x, t, lo, n)
        store(gv, lo, n, grad_v0)
        store(ga, lo, n, grad_decay)
        store(gth, lo, n, grad_threshold)
