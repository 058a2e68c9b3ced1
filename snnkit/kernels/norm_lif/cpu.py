"""Batch norm, LIF and average pooling on the CPU: the sequence in one pass over memory in each direction.

A block is some rows of pooling windows (some elements where nothing is pooled) over all steps, so that what the norm
gives, the membranes and the spikes never leave the cache. The backward pass recomputes them from the norm's input.
"""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

import numpy as np

from snnkit.kernels.bfloat16 import read, target, write
from snnkit.kernels.cache import kernel
from snnkit.kernels.norm_lif.rows import affine, fused_multiply_add, pool, settle, spread
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
    scale,
    shift,
    repeat,
    contract,
    window,
    before,
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
    """x [T, M] → s [T, M or P], final v_end and wait_end [M or P] (empty where not wanted).

    window: (columns, inner, height, width) of the pooling, all 1 for none; P = M / (height·width). `before`: it pools
    what the norm gives instead of the spikes. A block is `block` rows of windows.
    """
    steps, width = x.shape
    one = scale.dtype.type(1)
    columns, inner, high, wide = window
    group = columns * inner * high
    small = group // (high * wide)
    pooled = high * wide > 1
    after = pooled and not before
    rows = np.empty((8, block * group), scale.dtype)
    scales, shifts, y, a, th, v, means, spikes = (
        rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7],
    )  # fmt: skip
    room = np.empty(inner, scale.dtype)
    wait = np.empty(block * group, np.int32)
    for b in range(first, last):
        groups = min(block, width // group - b * block)
        lo, n = b * block * group, groups * group
        small_lo, small_n = b * block * small, groups * small
        at, m = (small_lo, small_n) if before else (lo, n)
        fill(scale, repeat, lo, n, scales)
        fill(shift, repeat, lo, n, shifts)
        fill(decay, decay_repeat, at, m, a)
        fill(threshold, threshold_repeat, at, m, th)
        load(v0, at, m, v)
        if refractory > 0:
            load(wait0, at, m, wait)
        for t in range(steps):
            ask_down(x, t, lo, n, n)
            affine(x[t, lo : lo + n], scales, shifts, contract, y, n)
            current = y
            if before and pooled:
                pool(y, groups, columns, inner, high, wide, room, x, means, one)
                current = means
            out = spikes if after else target(s, t, at, m, spikes)
            if refractory == 0:
                fire(current, a, th, to_zero, v, out, m, one)
            else:
                fire_refractory(current, a, th, to_zero, refractory, v, wait, out, m, one)
            if after:
                pool(spikes, groups, columns, inner, high, wide, room, x, s[t, small_lo : small_lo + small_n], one)
            else:
                write(out, s, t, at, m)
        if refractory > 0:
            store(wait, at, m, wait_end)
        store(v, at, m, v_end)


@kernel
def backward(
    first,
    last,
    block,
    x,
    scale,
    shift,
    repeat,
    contract,
    window,
    before,
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
    scaling,
    grad_s,
    grad_v_end,
    grad_y,
    grad_v0,
    grad_decay,
    grad_threshold,
):
    """Gradients of `forward` with respect to what the norm gives, grad_y [T, M], and to state and parameters of the
    neuron; grad_v0, grad_decay and grad_threshold are left out where empty."""
    steps, width = x.shape
    one = scale.dtype.type(1)
    columns, inner, high, wide = window
    group = columns * inner * high
    small = group // (high * wide)
    pooled = high * wide > 1
    after = pooled and not before
    masked = refractory > 0
    plain = detach and not masked and grad_threshold.shape[0] == 0  # the usual case, in fewer passes
    rows = np.empty((12, block * group), scale.dtype)
    scales, shifts, y, means, a, th, v, g, gv, ga, gth, wider = (
        rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7], rows[8], rows[9], rows[10], rows[11],
    )  # fmt: skip
    room = np.empty(inner, scale.dtype)
    us = np.empty((steps, block * group), scale.dtype)
    on = np.empty((steps if masked else 1, block * group), scale.dtype)
    wait = np.empty(block * group, np.int32)
    for b in range(first, last):
        groups = min(block, width // group - b * block)
        lo, n = b * block * group, groups * group
        small_lo, small_n = b * block * small, groups * small
        at, m = (small_lo, small_n) if before else (lo, n)
        out_lo, out_n = (small_lo, small_n) if pooled else (lo, n)
        fill(scale, repeat, lo, n, scales)
        fill(shift, repeat, lo, n, shifts)
        fill(decay, decay_repeat, at, m, a)
        fill(threshold, threshold_repeat, at, m, th)
        load(v0, at, m, v)
        if masked:
            load(wait0, at, m, wait)
        for t in range(steps):
            ask_down(x, t, lo, n, n)
            affine(x[t, lo : lo + n], scales, shifts, contract, y, n)
            current = y
            if before and pooled:
                pool(y, groups, columns, inner, high, wide, room, x, means, one)
                current = means
            if masked:
                retrace_refractory(current, a, th, to_zero, refractory, v, wait, us[t], on[t], m, one)
            else:
                retrace(current, a, th, to_zero, v, us[t], m, one)
        load(grad_v_end, at, m, gv)
        for i in range(m):
            ga[i] = 0
            gth[i] = 0
        for k in range(steps):
            t = steps - 1 - k
            u = us[t]
            act = on[t if masked else 0]
            ask_up(grad_y, grad_y, t, lo, n)
            if after:
                spread(grad_s[t, out_lo : out_lo + out_n], groups, columns, inner, high, wide, x, wider, one)
                gs = wider
            else:
                gs = read(grad_s, t, out_lo, out_n, wider)
            gu = means if before and pooled else target(grad_y, t, lo, n, y)
            if plain:
                detached_gradient(kind, peak, scaling, gs, u, th, a, to_zero, gv, gu, m, one)
            else:
                surrogate_row(kind, peak, scaling, u, th, g, m, one)
                spike_gradient(gs, u, th, to_zero, detach, gv, g, m, one)
                if masked:
                    mask_row(act, g, m)
                if grad_threshold.shape[0] > 0:
                    threshold_gradient(u, th, act, masked, to_zero, gv, g, gth, m, one)
                membrane_gradient(u, th, act, masked, to_zero, gv, g, gu, m, one)
                back_through_leak(a, act, masked, gu, gv, m, one)
            if grad_decay.shape[0] > 0:
                if t == 0:
                    load(v0, at, m, v)
                else:
                    after_reset(us[t - 1], th, on[t - 1 if masked else 0], masked, to_zero, v, m, one)
                add_product(gu, v, ga, m)
            if before and pooled:
                settle(x, means, m)
                spread(means, groups, columns, inner, high, wide, x, grad_y[t, lo : lo + n], one)
            else:
                write(gu, grad_y, t, lo, n)
        store(gv, at, m, grad_v0)
        store(ga, at, m, grad_decay)
        store(gth, at, m, grad_threshold)


@kernel
def sums(first, last, block, x, mean, squares):
    """Mean of each channel of x [N, C, S] and the sum of squared deviations, as torch takes them: float64 sums of one
    value after the other. A block is four channels, whose sums do not wait for each other."""
    samples, channels, size = x.shape
    count = samples * size
    for b in range(first, last):
        c = 4 * b
        d, e, f = min(c + 1, channels - 1), min(c + 2, channels - 1), min(c + 3, channels - 1)
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for k in range(samples):
            x0, x1, x2, x3 = x[k, c], x[k, d], x[k, e], x[k, f]
            for i in range(size):
                s0 += x0[i]
                s1 += x1[i]
                s2 += x2[i]
                s3 += x3[i]
        mean[c], mean[d], mean[e], mean[f] = s0 / count, s1 / count, s2 / count, s3 / count
        m0, m1, m2, m3 = mean[c], mean[d], mean[e], mean[f]
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for k in range(samples):
            x0, x1, x2, x3 = x[k, c], x[k, d], x[k, e], x[k, f]
            for i in range(size):
                s0 += np.float64((x0[i] - m0) * (x0[i] - m0))
                s1 += np.float64((x1[i] - m1) * (x1[i] - m1))
                s2 += np.float64((x2[i] - m2) * (x2[i] - m2))
                s3 += np.float64((x3[i] - m3) * (x3[i] - m3))
        squares[c], squares[d], squares[e], squares[f] = s0, s1, s2, s3


@kernel
def terms(mean, rate, gain, bias, contract, scale, shift):
    """scale = rate·gain and shift = bias − mean·scale of each channel; rounded once where `contract`."""
    for c in range(mean.shape[0]):
        scale[c] = rate[c] * gain[c]
        if contract:
            shift[c] = fused_multiply_add(-mean[c], scale[c], bias[c])
        else:
            shift[c] = bias[c] - mean[c] * scale[c]


@kernel
def apply(x, scale, shift, contract, y):
    """y = scale·x + shift for x, y [N, C, S]."""
    samples, channels, size = x.shape
    a, b = np.empty(size, scale.dtype), np.empty(size, scale.dtype)
    for c in range(channels):
        a[:], b[:] = scale[c], shift[c]
        for k in range(samples):
            affine(x[k, c], a, b, contract, y[k, c], size)
