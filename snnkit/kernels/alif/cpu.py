"""ALIF on the CPU: the whole sequence in one pass over memory, forward; one more with recomputation, backward.

The rows are those of LIF, with a threshold that is worked out anew at each step.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import allocate, at, below, counts, release, take
from snnkit.kernels.bfloat16 import read, target, write
from snnkit.kernels.cache import kernel, row
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
from snnkit.kernels.rows import (
    after_reset,
    copy,
    fill,
    fire,
    fire_refractory,
    leak,
    load,
    raised,
    retrace,
    retrace_refractory,
    store,
)


@row
def _fired(u, theta, active, masked, s, n, one):
    """s as `fire` gave it, from what `retrace` has kept."""
    zero = one - one
    for i in range(n):
        s[i] = one if u[i] >= theta[i] else (zero if u[i] < theta[i] else u[i] + theta[i])
    if masked:
        for i in range(n):
            s[i] = s[i] if active[i] > zero else zero


@kernel
def forward(
    first,
    last,
    block,
    x,
    v0,
    a0,
    wait0,
    decay,
    decay_repeat,
    adapt,
    adapt_repeat,
    strength,
    strength_repeat,
    threshold,
    threshold_repeat,
    to_zero,
    refractory,
    s,
    v_end,
    a_end,
    wait_end,
):
    """x [T, M] → s [T, M], final v_end, a_end, wait_end [M] (empty where not wanted); empty v0, a0, wait0 are zeros."""
    steps, width = x.shape
    one = decay.dtype.type(1)
    rows = allocate(10, block, one)
    al, th, v, rho, beta, trace, theta = take(rows, 0, 7)
    (room, fired), wait = take(rows, 7, 2), counts(at(rows, 9, 0))
    for b in range(first, last):
        lo = b * block
        n = min(block, width - lo)
        fill(decay, decay_repeat, lo, n, al)
        fill(adapt, adapt_repeat, lo, n, rho)
        fill(strength, strength_repeat, lo, n, beta)
        fill(threshold, threshold_repeat, lo, n, th)
        load(v0, lo, n, v)
        load(a0, lo, n, trace)
        if refractory > 0:
            load(wait0, lo, n, wait)
        for t in range(steps):
            ask_down(x, t, lo, n)
            now, out = read(x, t, lo, n, room), target(s, t, lo, fired)
            raised(th, beta, trace, theta, n)
            if refractory == 0:
                fire(now, al, theta, to_zero, v, out, n, one)
            else:
                fire_refractory(now, al, theta, to_zero, refractory, v, wait, out, n, one)
            leak(out, rho, trace, n)
            write(out, s, t, lo, n)
        store(v, lo, n, v_end)
        store(trace, lo, n, a_end)
        if refractory > 0:
            store(wait, lo, n, wait_end)
    release(rows)


@kernel
def backward(
    first,
    last,
    block,
    x,
    v0,
    a0,
    wait0,
    decay,
    decay_repeat,
    adapt,
    adapt_repeat,
    strength,
    strength_repeat,
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
    grad_a_end,
    grad_x,
    grad_v0,
    grad_a0,
    grad_decay,
    grad_adapt,
    grad_strength,
    grad_threshold,
):
    """Gradients of `forward`; all but grad_x [M] are left out where empty."""
    steps, width = x.shape
    one = decay.dtype.type(1)
    masked = refractory > 0
    rows = allocate(20 + (3 if masked else 2) * steps, block, one)
    al, th, v, rho, beta, trace, theta, g = take(rows, 0, 8)
    gs, gv, ga, gth = take(rows, 8, 4)
    sum_decay, sum_adapt, sum_strength, sum_threshold = take(rows, 12, 4)
    room, gx_room = take(rows, 16, 2)
    wait, us = counts(at(rows, 18, 0)), below(rows, 19)
    traces, on = below(rows, 19 + steps), below(rows, 19 + 2 * steps)  # traces before each step
    for b in range(first, last):
        lo = b * block
        n = min(block, width - lo)
        fill(decay, decay_repeat, lo, n, al)
        fill(adapt, adapt_repeat, lo, n, rho)
        fill(strength, strength_repeat, lo, n, beta)
        fill(threshold, threshold_repeat, lo, n, th)
        load(v0, lo, n, v)
        load(a0, lo, n, trace)
        if masked:
            load(wait0, lo, n, wait)
        for t in range(steps):
            ask_down(x, t, lo, n)
            act, now = at(on, t if masked else 0, 0), read(x, t, lo, n, room)
            copy(trace, at(traces, t, 0), n)
            raised(th, beta, trace, theta, n)
            if masked:
                retrace_refractory(now, al, theta, to_zero, refractory, v, wait, at(us, t, 0), act, n, one)
            else:
                retrace(now, al, theta, to_zero, v, at(us, t, 0), n, one)
            _fired(at(us, t, 0), theta, act, masked, gs, n, one)
            leak(gs, rho, trace, n)
        ask_up(grad_s, steps, lo, n)
        ask_up(grad_x, steps, lo, n)
        load(grad_v_end, lo, n, gv)
        load(grad_a_end, lo, n, ga)
        for i in range(n):
            sum_decay[i] = 0
            sum_adapt[i] = 0
            sum_strength[i] = 0
            sum_threshold[i] = 0
        for k in range(steps):
            t = steps - 1 - k
            u = at(us, t, 0)
            act = at(on, t if masked else 0, 0)
            ask_up(grad_s, t, lo, n)
            ask_up(grad_x, t, lo, n)
            gx, out = target(grad_x, t, lo, gx_room), read(grad_s, t, lo, n, room)
            for i in range(n):  # a spike is seen, and raises the threshold of later steps
                gs[i] = out[i] + ga[i]
                gth[i] = 0
            raised(th, beta, at(traces, t, 0), theta, n)
            surrogate_row(kind, peak, scale, u, theta, g, n, one)
            spike_gradient(gs, u, theta, to_zero, detach, gv, g, n, one)
            if masked:
                mask_row(act, g, n)
            threshold_gradient(u, theta, act, masked, to_zero, gv, g, gth, n, one)
            membrane_gradient(u, theta, act, masked, to_zero, gv, g, gx, n, one)
            back_through_leak(al, act, masked, gx, gv, n, one)
            if grad_decay.shape[0] > 0:
                if t == 0:
                    load(v0, lo, n, v)
                else:
                    raised(th, beta, at(traces, t - 1, 0), theta, n)
                    after_reset(at(us, t - 1, 0), theta, at(on, t - 1 if masked else 0, 0), masked, to_zero, v, n, one)
                add_product(gx, v, sum_decay, n)
            if grad_adapt.shape[0] > 0:
                add_product(ga, at(traces, t, 0), sum_adapt, n)
            if grad_strength.shape[0] > 0:
                add_product(gth, at(traces, t, 0), sum_strength, n)
            for i in range(n):
                sum_threshold[i] += gth[i]
            for i in range(n):
                ga[i] = rho[i] * ga[i] + beta[i] * gth[i]
            write(gx, grad_x, t, lo, n)
        store(gv, lo, n, grad_v0)
        store(ga, lo, n, grad_a0)
        store(sum_decay, lo, n, grad_decay)
        store(sum_adapt, lo, n, grad_adapt)
        store(sum_strength, lo, n, grad_strength)
        store(sum_threshold, lo, n, grad_threshold)
    release(rows)
