"""Recurrent neurons on the CPU: what surrounds the matrix product of a step, in one pass over the step's memory.

One set of kernels for all neurons, since they differ in few rows: a current in front of the membrane (CubaLIF), a
trace that raises the threshold (ALIF), no threshold at all (LI). What a neuron lacks comes as an empty array.

Forward keeps one value per neuron and step, what is added to the leaking membrane; from it the backward pass (`back`)
recomputes the membrane, in the memory that the input's gradient will take. The rows are those of the kernels without
recurrence.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

import numpy as np

from snnkit.kernels.address import head
from snnkit.kernels.cache import kernel, piece
from snnkit.kernels.recurrent.pieces import add, copy
from snnkit.kernels.recurrent.usual import fire_row
from snnkit.kernels.rows import fire, fire_refractory, leak, raised, retrace, retrace_refractory


@piece
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
    filtered, keep = syn.shape[0] > 0, kept.shape[0] > 0
    usual = threshold.shape[0] > 0 and adapt.shape[0] == 0 and refractory == 0
    for b in range(first, last):
        spikes = s[t, b]
        if usual:
            current_b = head(current[b] if filtered else drive)
            fire_row(
                head(x[t, b]), head(back[b]), head(syn), current_b, filtered, head(kept[t, b] if keep else drive),
                keep, head(decay), head(threshold), to_zero, head(v[b]), head(spikes), head(out[b]), n, one,
            )  # fmt: skip
            continue
        add(x[t, b], back[b], drive, n)
        if syn.shape[0] > 0:
            leak(drive, syn, current[b], n)
            copy(current[b], drive, n)
        if kept.shape[0] > 0:
            copy(drive, kept[t, b], n)
        if threshold.shape[0] == 0:
            leak(drive, decay, v[b], n)
            copy(v[b], spikes, n)
        else:
            if adapt.shape[0] > 0:
                raised(threshold, strength, trace[b], theta, n)
            else:
                copy(threshold, theta, n)
            if refractory == 0:
                fire(drive, decay, theta, to_zero, v[b], spikes, n, one)
            else:
                fire_refractory(drive, decay, theta, to_zero, refractory, v[b], wait[b], spikes, n, one)
            if adapt.shape[0] > 0:
                leak(spikes, adapt, trace[b], n)
        copy(spikes, out[b], n)


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
    copy(threshold, theta, n)
    for b in range(first, last):
        for t in range(steps):
            if adapt.shape[0] > 0:
                copy(trace[b], traces[t, b], n)
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
