"""LinearLeakIF on the CPU: the whole sequence in one pass, forward; one more with recomputation, backward."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import allocate, at, below, release, take
from snnkit.kernels.bfloat16 import read, target, write
from snnkit.kernels.cache import kernel, row
from snnkit.kernels.prefetch import ask_down, ask_up
from snnkit.kernels.row_gradients import membrane_gradient, spike_gradient, surrogate_row, threshold_gradient
from snnkit.kernels.rows import after_reset, fill, fire, load, retrace, store


@row
def _integrate(x, leak, reverses, v, n, one):
    """v = v + x, then + leak, away from 0 where it `reverses` (towards 0 for a negative leak)."""
    zero = one - one
    if reverses:
        for i in range(n):
            u = v[i] + x[i]
            v[i] = u + (leak[i] if u > zero else (-leak[i] if u < zero else zero))
    else:
        for i in range(n):
            v[i] = v[i] + x[i] + leak[i]


@row
def _signs(x, v, sign, n, one):
    """sign of v + x."""
    zero = one - one
    for i in range(n):
        u = v[i] + x[i]
        sign[i] = one if u > zero else (-one if u < zero else zero)


@row
def _hold(bottom, v, n):
    """v, not below the bottom."""
    for i in range(n):
        v[i] = bottom[i] if v[i] < bottom[i] else v[i]


@row
def _back_through_hold(v, bottom, grad_v, n, one):
    """∂L/∂v before `_hold` from that after it; half of it where both are equal, as torch.maximum has it."""
    zero = one - one
    half = one / (one + one)
    for i in range(n):
        grad_v[i] = grad_v[i] * (zero if v[i] < bottom[i] else (half if v[i] == bottom[i] else one))


@kernel
def forward(
    first,
    last,
    block,
    x,
    v0,
    leak,
    leak_repeat,
    threshold,
    threshold_repeat,
    floor,
    floor_repeat,
    reverses,
    to_zero,
    s,
    v_end,
):
    """x [T, M] → s [T, M], final v_end [M] (empty where not wanted); v0 [M], empty for zeros; floor empty for none."""
    steps, width = x.shape
    one = leak.dtype.type(1)
    rows = allocate(8, block, one)
    rate, th, bottom, v, ones, nothing = take(rows, 0, 6)
    room, fired = take(rows, 6, 2)
    held = floor.shape[0] > 0
    for i in range(block):
        ones[i] = 1
        nothing[i] = 0
    for b in range(first, last):
        lo = b * block
        n = min(block, width - lo)
        fill(leak, leak_repeat, lo, n, rate)
        fill(threshold, threshold_repeat, lo, n, th)
        if held:
            fill(floor, floor_repeat, lo, n, bottom)
            for i in range(n):
                bottom[i] = -bottom[i]
        load(v0, lo, n, v)
        for t in range(steps):
            ask_down(x, t, lo, n)
            out = target(s, t, lo, fired)
            _integrate(read(x, t, lo, n, room), rate, reverses, v, n, one)
            fire(nothing, ones, th, to_zero, v, out, n, one)
            write(out, s, t, lo, n)
            if held:
                _hold(bottom, v, n)
        store(v, lo, n, v_end)
    release(rows)


@kernel
def backward(
    first,
    last,
    block,
    x,
    v0,
    leak,
    leak_repeat,
    threshold,
    threshold_repeat,
    floor,
    floor_repeat,
    reverses,
    to_zero,
    detach,
    kind,
    peak,
    scale,
    grad_s,
    grad_v_end,
    grad_x,
    grad_v0,
    grad_leak,
    grad_threshold,
):
    """Gradients of `forward`; all but grad_x [M] are left out where empty."""
    steps, width = x.shape
    one = leak.dtype.type(1)
    signed = reverses and grad_leak.shape[0] > 0
    rows = allocate(13 + (2 if signed else 1) * steps, block, one)
    rate, th, bottom, v, ones, nothing = take(rows, 0, 6)
    g, gv, sum_leak, sum_threshold, room, gx_room = take(rows, 6, 6)
    us, signs = below(rows, 12), below(rows, 12 + steps)
    held = floor.shape[0] > 0
    for i in range(block):
        ones[i] = 1
        nothing[i] = 0
    for b in range(first, last):
        lo = b * block
        n = min(block, width - lo)
        fill(leak, leak_repeat, lo, n, rate)
        fill(threshold, threshold_repeat, lo, n, th)
        if held:
            fill(floor, floor_repeat, lo, n, bottom)
            for i in range(n):
                bottom[i] = -bottom[i]
        load(v0, lo, n, v)
        for t in range(steps):
            ask_down(x, t, lo, n)
            now = read(x, t, lo, n, room)
            if signed:
                _signs(now, v, at(signs, t, 0), n, one)
            _integrate(now, rate, reverses, v, n, one)
            retrace(nothing, ones, th, to_zero, v, at(us, t, 0), n, one)
            if held:
                _hold(bottom, v, n)
        ask_up(grad_s, steps, lo, n)
        ask_up(grad_x, steps, lo, n)
        load(grad_v_end, lo, n, gv)
        for i in range(n):
            sum_leak[i] = 0
            sum_threshold[i] = 0
        for k in range(steps):
            t = steps - 1 - k
            u = at(us, t, 0)
            ask_up(grad_s, t, lo, n)
            ask_up(grad_x, t, lo, n)
            gs, gx = read(grad_s, t, lo, n, room), target(grad_x, t, lo, gx_room)
            if held:
                after_reset(u, th, ones, False, to_zero, v, n, one)
                _back_through_hold(v, bottom, gv, n, one)
            surrogate_row(kind, peak, scale, u, th, g, n, one)
            spike_gradient(gs, u, th, to_zero, detach, gv, g, n, one)
            if grad_threshold.shape[0] > 0:
                threshold_gradient(u, th, ones, False, to_zero, gv, g, sum_threshold, n, one)
            membrane_gradient(u, th, ones, False, to_zero, gv, g, gx, n, one)
            for i in range(n):
                gv[i] = gx[i]
            if signed:
                for i in range(n):
                    sum_leak[i] += gx[i] * at(signs, t, 0)[i]
            elif grad_leak.shape[0] > 0:
                for i in range(n):
                    sum_leak[i] += gx[i]
            write(gx, grad_x, t, lo, n)
        store(gv, lo, n, grad_v0)
        store(sum_leak, lo, n, grad_leak)
        store(sum_threshold, lo, n, grad_threshold)
    release(rows)
