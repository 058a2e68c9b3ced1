"""Recurrent neurons on the CPU: what surrounds the matrix product of a step, in one pass over the step's memory.

One set of kernels for all neurons, since they differ in few rows: a current in front of the membrane (CubaLIF), a
trace that raises the threshold (ALIF), no threshold at all (LI). What a neuron lacks comes as an empty array.

Forward keeps one value per neuron and step, what is added to the leaking membrane; from it the backward pass recomputes
the membrane, in the memory that the input's gradient will take. The rows are those of the kernels without recurrence.
"""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

import numpy as np

from snnkit.kernels.cache import kernel, row
from snnkit.kernels.rows import (
    add_product,
    after_reset,
    back_through_leak,
    detached_gradient,
    fire,
    fire_refractory,
    leak,
    mask_row,
    membrane_gradient,
    raised,
    retrace,
    retrace_refractory,
    spike_gradient,
    surrogate_row,
    threshold_gradient,
)


@row
def _copy(source, out, n):
    """out = source."""
    for i in range(n):
        out[i] = source[i]


@row
def _add(a, b, out, n):
    """out = a + b."""
    for i in range(n):
        out[i] = a[i] + b[i]


@row
def _accumulate(a, total, n):
    """total ← total + a."""
    for i in range(n):
        total[i] += a[i]


@row
def _multiply(a, b, out, n):
    """out = a·b."""
    for i in range(n):
        out[i] = a[i] * b[i]


@row
def _tally(u, theta, found, n):
    """found ← found + (how often u ≥ theta, how often neither that nor u < theta)."""
    reached, below = 0, 0
    for i in range(n):
        reached += u[i] >= theta[i]
        below += u[i] < theta[i]
    found[0] += reached
    found[1] += n - reached - below


@kernel
def forward(
    first,
    last,
    block,
    t,
    x,
    back,
    kept,
    s,
    out,
    current,
    v,
    trace,
    wait,
    syn,
    decay,
    adapt,
    strength,
    threshold,
    to_zero,
    refractory,
):
    """Step t of samples first … last−1: x [T, B, N] and the product back [B, N] → s [T, B, N] and out [B, N].

    current, v, trace and wait [B, N] go on in place; kept [T, B, N], where wanted, gets what is added to the membrane.
    Parameters: [N].
    """
    n = x.shape[2]
    one = x.dtype.type(1)
    rows = np.empty((2, n), x.dtype)
    drive, theta = rows[0], rows[1]
    for b in range(first, last):
        spikes = s[t, b]
        _add(x[t, b], back[b], drive, n)
        if syn.shape[0] > 0:
            leak(drive, syn, current[b], n)
            _copy(current[b], drive, n)
        if kept.shape[0] > 0:
            _copy(drive, kept[t, b], n)
        if threshold.shape[0] == 0:
            leak(drive, decay, v[b], n)
            _copy(v[b], spikes, n)
        else:
            if adapt.shape[0] > 0:
                raised(threshold, strength, trace[b], theta, n)
            else:
                _copy(threshold, theta, n)
            if refractory == 0:
                fire(drive, decay, theta, to_zero, v[b], spikes, n, one)
            else:
                fire_refractory(drive, decay, theta, to_zero, refractory, v[b], wait[b], spikes, n, one)
            if adapt.shape[0] > 0:
                leak(spikes, adapt, trace[b], n)
        _copy(spikes, out[b], n)


@kernel
def recompute(
    first,
    last,
    block,
    kept,
    s,
    v,
    trace,
    wait,
    decay,
    adapt,
    strength,
    threshold,
    to_zero,
    refractory,
    us,
    traces,
    active,
    found,
):
    """All steps of samples first … last−1 again: us [T, B, N], the membrane before the test.

    v, trace and wait [B, N] start as at the first step and go on in place. traces, the trace before each step, and
    active (`retrace_refractory`) are [T, B, N] where there are such. found [B, 2]: how many membranes reached the
    threshold, refractory ones included, and how many compare with none.
    """
    steps, _, n = kept.shape
    one = kept.dtype.type(1)
    theta = np.empty(n, kept.dtype)
    _copy(threshold, theta, n)
    for b in range(first, last):
        for t in range(steps):
            if adapt.shape[0] > 0:
                _copy(trace[b], traces[t, b], n)
                raised(threshold, strength, trace[b], theta, n)
            if refractory == 0:
                retrace(kept[t, b], decay, theta, to_zero, v[b], us[t, b], n, one)
            else:
                retrace_refractory(
                    kept[t, b], decay, theta, to_zero, refractory, v[b], wait[b], us[t, b], active[t, b], n, one
                )
            if adapt.shape[0] > 0:
                leak(s[t, b], adapt, trace[b], n)
            _tally(us[t, b], theta, found[b], n)


@row
def _back_through_current(t, b, syn, kept, i0, gx, grad_i, sum_syn, before, n):
    """Where there is a current in front of the membrane: gx, of the membrane's input, becomes that of x[t, b]."""
    if syn.shape[0] > 0:
        _accumulate(grad_i[b], gx, n)
        _multiply(syn, gx, grad_i[b], n)
        if sum_syn.shape[0] > 0:
            if t == 0:
                _copy(i0[b], before, n)
            else:
                _copy(kept[t - 1, b], before, n)
            add_product(gx, before, sum_syn[b], n)


@kernel
def backward_detached(
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
    neuron is refractory. As `backward`, with its arguments; empty threshold: LI.
    """
    n = grad_x.shape[2]
    one = grad_x.dtype.type(1)
    rows = np.empty((3, n), grad_x.dtype)
    u, gs, before = rows[0], rows[1], rows[2]
    for b in range(first, last):
        gx = grad_x[t, b]
        _add(grad_s[t, b], back[b], gs, n)
        if threshold.shape[0] == 0:
            _add(gs, grad_v[b], gx, n)
            _multiply(decay, gx, grad_v[b], n)
        else:
            _copy(gx, u, n)
            detached_gradient(kind, peak, scale, gs, u, threshold, decay, to_zero, grad_v[b], gx, n, one)
        if sum_decay.shape[0] > 0:
            if t == 0:
                _copy(v0[b], before, n)
            elif threshold.shape[0] == 0:
                _copy(s[t - 1, b], before, n)
            else:
                after_reset(grad_x[t - 1, b], threshold, threshold, False, to_zero, before, n, one)
            add_product(gx, before, sum_decay[b], n)
        _back_through_current(t, b, syn, kept, i0, gx, grad_i, sum_syn, before, n)


@kernel
def backward(
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
    _copy(threshold, theta, n)
    for b in range(first, last):
        gx = grad_x[t, b]
        gv = grad_v[b]
        act = active[t if masked else 0, b if masked else 0]
        _add(grad_s[t, b], back[b], gs, n)
        _copy(gx, u, n)
        if adapts:
            _accumulate(grad_a[b], gs, n)
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
            _accumulate(of_threshold, sum_threshold[b], n)
        if sum_decay.shape[0] > 0:
            if t == 0:
                _copy(v0[b], before, n)
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
