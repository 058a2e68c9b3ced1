"""LI on the CPU: the whole sequence in one pass over memory in each direction."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import allocate, at, release, take
from snnkit.kernels.bfloat16 import read
from snnkit.kernels.cache import kernel
from snnkit.kernels.prefetch import ask_down, ask_up
from snnkit.kernels.row_gradients import add_product
from snnkit.kernels.rows import copy, fill, leak, load, store


@kernel
def forward(first, last, block, x, v0, decay, decay_repeat, out):
    """x [T, M] → out [T, M], the membrane at each step; v0 [M], empty for zeros."""
    steps, width = x.shape
    one = decay.dtype.type(1)
    rows = allocate(3, block, one)
    a, v, room = take(rows, 0, 3)
    for b in range(first, last):
        lo = b * block
        n = min(block, width - lo)
        fill(decay, decay_repeat, lo, n, a)
        load(v0, lo, n, v)
        for t in range(steps):
            ask_down(x, t, lo, n)
            leak(read(x, t, lo, n, room), a, v, n)
            copy(v, at(out, t, lo), n)
    release(rows)


@kernel
def backward(first, last, block, out, v0, decay, decay_repeat, grad_out, grad_x, grad_v0, grad_decay):
    """Gradients of `forward` from its output; grad_v0 and grad_decay [M] are left out where empty."""
    steps, width = out.shape
    rows = allocate(4, block, out.dtype.type(1))
    a, gv, ga, v = take(rows, 0, 4)
    for b in range(first, last):
        lo = b * block
        n = min(block, width - lo)
        fill(decay, decay_repeat, lo, n, a)
        for i in range(n):
            gv[i] = 0
            ga[i] = 0
        for k in range(steps):
            t = steps - 1 - k
            ask_up(grad_out, t, lo, n)
            ask_up(grad_x, t, lo, n)
            gx, go = at(grad_x, t, lo), at(grad_out, t, lo)
            for i in range(n):
                gx[i] = go[i] + gv[i]
            for i in range(n):
                gv[i] = a[i] * gx[i]
            if grad_decay.shape[0] > 0:
                if t == 0:
                    load(v0, lo, n, v)
                else:
                    copy(at(out, t - 1, lo), v, n)
                add_product(gx, v, ga, n)
        store(gv, lo, n, grad_v0)
        store(ga, lo, n, grad_decay)
    release(rows)
