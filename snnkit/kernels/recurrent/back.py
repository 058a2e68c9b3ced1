"""Recurrent neurons on the CPU: a step of the backward pass, once `cpu.recompute` has found the membranes."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

import numpy as np

from snnkit.kernels.address import head
from snnkit.kernels.cache import kernel, piece
from snnkit.kernels.recurrent.pieces import accumulate, add, copy, multiply
from snnkit.kernels.recurrent.usual import back_row
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
from snnkit.kernels.rows import after_reset, raised


@piece
def _back_through_current(t, b, syn, kept, i0, gx, grad_i, sum_syn, before, n):
    """Where there is a current in front of the membrane: gx, of the membrane's input, becomes that of x[t, b]."""
    if syn.shape[0] > 0:
        accumulate(grad_i[b], gx, n)
        multiply(syn, gx, grad_i[b], n)
        if sum_syn.shape[0] > 0:
            if t == 0:
                copy(i0[b], before, n)
            else:
                copy(kept[t - 1, b], before, n)
            add_product(gx, before, sum_syn[b], n)


@kernel
def detached(
    first,
    last,
    block,
    t,
    grad_s,
    back,
    kept,
    s,
    i0,
    v0,
    syn,
    decay,
    threshold,
    to_zero,
    kind,
    peak,
    scale,
    grad_x,
    grad_i,
    grad_v,
    sum_syn,
    sum_decay,
):
    """Step t of samples first … last−1 back, in the usual case: the reset is detached, the threshold is a constant, no
    neuron is refractory. As `attached`, with its arguments; empty threshold: LI.
    """
    n = grad_x.shape[2]
    one = grad_x.dtype.type(1)
    rows = np.empty((3, n), grad_x.dtype)
    u, gs, before = rows[0], rows[1], rows[2]
    filtered = syn.shape[0] > 0
    usual = threshold.shape[0] > 0 and sum_decay.shape[0] == 0 and sum_syn.shape[0] == 0
    for b in range(first, last):
        gx = grad_x[t, b]
        if usual:
            back_row(
                kind, peak, scale, head(grad_s[t, b]), head(back[b]), head(threshold), head(decay), to_zero, head(syn),
                filtered, head(gx), head(grad_i[b] if filtered else gs), head(grad_v[b]), head(before), n, one,
            )  # fmt: skip
            continue
        add(grad_s[t, b], back[b], gs, n)
        if threshold.shape[0] == 0:
            add(gs, grad_v[b], gx, n)
            multiply(decay, gx, grad_v[b], n)
        else:
            copy(gx, u, n)
            detached_gradient(kind, peak, scale, gs, u, threshold, decay, to_zero, grad_v[b], gx, n, one)
        if sum_decay.shape[0] > 0:
            if t == 0:
                copy(v0[b], before, n)
            elif threshold.shape[0] == 0:
                copy(s[t - 1, b], before, n)
            else:
                after_reset(grad_x[t - 1, b], threshold, threshold, False, to_zero, before, n, one)
            add_product(gx, before, sum_decay[b], n)
        _back_through_current(t, b, syn, kept, i0, gx, grad_i, sum_syn, before, n)


@kernel
def attached(
    first,
    last,
    block,
    t,
    grad_s,
    back,
    kept,
    traces,
    active,
    i0,
    v0,
    syn,
    decay,
    adapt,
    strength,
    threshold,
    to_zero,
    detach,
    refractory,
    kind,
    peak,
    scale,
    grad_x,
    grad_i,
    grad_v,
    grad_a,
    sum_syn,
    sum_decay,
    sum_adapt,
    sum_strength,
    sum_threshold,
):
    """Step t of samples first … last−1 back. grad_x [T, B, N] holds `recompute`'s us up to t, gradients behind it.

    back [B, N] is what later steps send back to the output. grad_i, grad_v, grad_a [B, N] go back in place; the sums
    [B, N] of gradients of parameters grow where there are such.
    """
    n = grad_x.shape[2]
    one = grad_x.dtype.type(1)
    masked = refractory > 0
    adapts = adapt.shape[0] > 0
    rows = np.empty((6, n), grad_x.dtype)
    u, theta, gs, g, of_threshold, before = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    copy(threshold, theta, n)
    for b in range(first, last):
        gx = grad_x[t, b]
        gv = grad_v[b]
        act = active[t if masked else 0, b if masked else 0]
        add(grad_s[t, b], back[b], gs, n)
        copy(gx, u, n)
        if adapts:
            accumulate(grad_a[b], gs, n)
            raised(threshold, strength, traces[t, b], theta, n)
        surrogate_row(kind, peak, scale, u, theta, g, n, one)
        spike_gradient(gs, u, theta, to_zero, detach, gv, g, n, one)
        if masked:
            mask_row(act, g, n)
        for i in range(n):
            of_threshold[i] = 0
        threshold_gradient(u, theta, act, masked, to_zero, gv, g, of_threshold, n, one)
        membrane_gradient(u, theta, act, masked, to_zero, gv, g, gx, n, one)
        back_through_leak(decay, act, masked, gx, gv, n, one)
        if sum_threshold.shape[0] > 0:
            accumulate(of_threshold, sum_threshold[b], n)
        if sum_decay.shape[0] > 0:
            if t == 0:
                copy(v0[b], before, n)
            else:
                if adapts:
                    raised(threshold, strength, traces[t - 1, b], theta, n)
                earlier = active[t - 1 if masked else 0, b if masked else 0]
                after_reset(grad_x[t - 1, b], theta, earlier, masked, to_zero, before, n, one)
            add_product(gx, before, sum_decay[b], n)
        if adapts:
            if sum_adapt.shape[0] > 0:
                add_product(grad_a[b], traces[t, b], sum_adapt[b], n)
            if sum_strength.shape[0] > 0:
                add_product(of_threshold, traces[t, b], sum_strength[b], n)
            ga = grad_a[b]
            for i in range(n):
                ga[i] = adapt[i] * ga[i] + strength[i] * of_threshold[i]
        _back_through_current(t, b, syn, kept, i0, gx, grad_i, sum_syn, before, n)
