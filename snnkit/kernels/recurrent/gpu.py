"""Recurrent neurons on the GPU: what surrounds the matrix product of a step, in one pass over the step's memory.

As on the CPU, one set of kernels serves all neurons: a current in front of the membrane (CubaLIF), a trace that raises
the threshold (ALIF), no threshold at all (LI). What a neuron lacks is None, and costs nothing. A step [B, N] is M = B·N
elements; parameters repeat every N. A step's number t comes last, so that a step is one launch and nothing waits.
"""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.tiles import back, fire, parameter, settle

_RUNTIME = (
    "syn_count", "syn_repeat", "decay_count", "decay_repeat", "adapt_count", "adapt_repeat", "strength_count",
    "strength_repeat", "threshold_count", "threshold_repeat", "refractory", "groups", "steps", "t",
)  # fmt: skip


@triton.jit
def _before(first_ptr, later_ptr, t, width, off, inside):
    """A state before step t: as it came in (first_ptr [M]), later what step t − 1 has left in later_ptr [T, M]."""
    from_start = tl.load(first_ptr + off, mask=inside & (t == 0), other=0.0)
    return tl.where(t == 0, from_start, tl.load(later_ptr + (t - 1) * width + off, mask=inside & (t > 0), other=0.0))


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x_ptr,
    back_ptr,
    kept_ptr,
    s_ptr,
    out_ptr,
    i_ptr,
    v_ptr,
    a_ptr,
    wait_ptr,
    syn_ptr,
    syn_count,
    syn_repeat,
    decay_ptr,
    decay_count,
    decay_repeat,
    adapt_ptr,
    adapt_count,
    adapt_repeat,
    strength_ptr,
    strength_count,
    strength_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    refractory: tl.int32,
    groups: tl.int64,
    steps: tl.int32,
    t: tl.int32,
    TO_ZERO: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Step t: x [T, M] and the product back [M] → s [T, M] and out [M]; the states i, v, a and wait [M] go on in place.

    kept [T, M], where wanted, gets what is added to the membrane.
    """
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    here = t * width + off
    drive = tl.load(x_ptr + here, mask=inside, other=0.0) + tl.load(back_ptr + off, mask=inside, other=0.0)
    if i_ptr is not None:
        syn = parameter(syn_ptr, syn_count, syn_repeat, off, inside, NARROW)
        drive = syn * tl.load(i_ptr + off, mask=inside, other=0.0) + drive
        tl.store(i_ptr + off, drive, mask=inside)
    if kept_ptr is not None:
        tl.store(kept_ptr + here, drive, mask=inside)
    v = tl.load(v_ptr + off, mask=inside, other=0.0)
    u = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW) * v + drive
    if threshold_ptr is None:
        s, v = u, u
    else:
        theta = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
        if a_ptr is not None:
            trace = tl.load(a_ptr + off, mask=inside, other=0.0)
            theta = theta + parameter(strength_ptr, strength_count, strength_repeat, off, inside, NARROW) * trace
        wait = tl.full((BLOCK,), 0, tl.int32)
        if wait_ptr is not None:
            wait = tl.load(wait_ptr + off, mask=inside, other=0)
        s, v, wait = fire(u, v, wait, theta, refractory, TO_ZERO, wait_ptr is not None)
        s = s.to(DTYPE)
        if a_ptr is not None:
            trace = parameter(adapt_ptr, adapt_count, adapt_repeat, off, inside, NARROW) * trace + s
            tl.store(a_ptr + off, trace, mask=inside)
        if wait_ptr is not None:
            tl.store(wait_ptr + off, wait, mask=inside)
    tl.store(v_ptr + off, v, mask=inside)
    tl.store(s_ptr + here, s, mask=inside)
    tl.store(out_ptr + off, s, mask=inside)


@triton.jit(do_not_specialize=_RUNTIME)
def recompute(
    kept_ptr,
    s_ptr,
    v0_ptr,
    a0_ptr,
    wait0_ptr,
    decay_ptr,
    decay_count,
    decay_repeat,
    adapt_ptr,
    adapt_count,
    adapt_repeat,
    strength_ptr,
    strength_count,
    strength_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    us_ptr,
    traces_ptr,
    active_ptr,
    refractory: tl.int32,
    groups: tl.int64,
    steps: tl.int32,
    TO_ZERO: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """All steps again: us [T, M], the membrane before the test; traces [T, M], before each step, where there are such;
    active [T, M], whether a step has moved the membrane, where neurons can be refractory. Initial states [M]."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    v = tl.load(v0_ptr + off, mask=inside, other=0.0)
    trace = tl.full((BLOCK,), 0, DTYPE)
    wait = tl.full((BLOCK,), 0, tl.int32)
    if a0_ptr is not None:
        adapt = parameter(adapt_ptr, adapt_count, adapt_repeat, off, inside, NARROW)
        strength = parameter(strength_ptr, strength_count, strength_repeat, off, inside, NARROW)
        trace = tl.load(a0_ptr + off, mask=inside, other=0.0)
    if wait0_ptr is not None:
        wait = tl.load(wait0_ptr + off, mask=inside, other=0)
    for t in range(steps):
        here = t * width + off
        u = decay * v + tl.load(kept_ptr + here, mask=inside, other=0.0)
        if wait0_ptr is not None:
            u = tl.where(wait == 0, u, v)
            tl.store(active_ptr + here, (wait == 0).to(tl.int8), mask=inside)
        tl.store(us_ptr + here, u, mask=inside)
        theta = threshold
        if a0_ptr is not None:
            theta = threshold + strength * trace
            tl.store(traces_ptr + here, trace, mask=inside)
            trace = adapt * trace + tl.load(s_ptr + here, mask=inside, other=0.0)
        _, v, wait = fire(u, v, wait, theta, refractory, TO_ZERO, wait0_ptr is not None)


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    grad_x_ptr,
    grad_s_ptr,
    back_ptr,
    kept_ptr,
    s_ptr,
    traces_ptr,
    active_ptr,
    i0_ptr,
    v0_ptr,
    syn_ptr,
    syn_count,
    syn_repeat,
    decay_ptr,
    decay_count,
    decay_repeat,
    adapt_ptr,
    adapt_count,
    adapt_repeat,
    strength_ptr,
    strength_count,
    strength_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    grad_i_ptr,
    grad_v_ptr,
    grad_a_ptr,
    sum_syn_ptr,
    sum_decay_ptr,
    sum_adapt_ptr,
    sum_strength_ptr,
    sum_threshold_ptr,
    peak: tl.float64,
    scale: tl.float64,
    groups: tl.int64,
    steps: tl.int32,
    t: tl.int32,
    KIND: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DETACH: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Step t back. grad_x [T, M] holds `recompute`'s us up to t, gradients behind it; back [M] is what later steps send
    back to the output. grad_i, grad_v, grad_a [M] go back in place, and so do the sums [M] of gradients of parameters,
    None where they are not wanted."""
    MASKED: tl.constexpr = active_ptr is not None
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    here = t * width + off
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    grad_s = tl.load(grad_s_ptr + here, mask=inside, other=0.0) + tl.load(back_ptr + off, mask=inside, other=0.0)
    grad_v = tl.load(grad_v_ptr + off, mask=inside, other=0.0)
    if threshold_ptr is None:
        grad = grad_s + grad_v
        tl.store(grad_v_ptr + off, decay * grad, mask=inside)
        if sum_decay_ptr is not None:
            last = _before(v0_ptr, s_ptr, t, width, off, inside)
    else:
        threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
        theta = threshold
        if traces_ptr is not None:
            grad_a = tl.load(grad_a_ptr + off, mask=inside, other=0.0)
            grad_s = grad_s + grad_a
            strength = parameter(strength_ptr, strength_count, strength_repeat, off, inside, NARROW)
            trace = tl.load(traces_ptr + here, mask=inside, other=0.0)
            theta = threshold + strength * trace
        active = tl.full((BLOCK,), 1, tl.int1)
        if MASKED:
            active = tl.load(active_ptr + here, mask=inside, other=0) != 0
        grad, grad_v, of_threshold = back(
            grad_s,
            tl.load(grad_x_ptr + here, mask=inside, other=0.0),
            active,
            theta,
            decay,
            tl.full((BLOCK,), peak, DTYPE),
            tl.full((BLOCK,), scale, DTYPE),
            grad_v,
            tl.full((BLOCK,), 0, DTYPE),
            KIND,
            TO_ZERO,
            DETACH,
            MASKED,
            traces_ptr is not None or sum_threshold_ptr is not None,
        )
        tl.store(grad_v_ptr + off, grad_v, mask=inside)
        if sum_threshold_ptr is not None:
            _add(sum_threshold_ptr + off, of_threshold, inside)
        if sum_decay_ptr is not None:
            earlier = theta
            if traces_ptr is not None:
                trace_before = tl.load(traces_ptr + (here - width), mask=inside & (t > 0), other=0.0)
                earlier = threshold + strength * trace_before
            moved = active
            if MASKED:
                moved = tl.load(active_ptr + (here - width), mask=inside & (t > 0), other=0) != 0
            u = tl.load(grad_x_ptr + (here - width), mask=inside & (t > 0), other=0.0)
            last = tl.where(
                t == 0,
                tl.load(v0_ptr + off, mask=inside & (t == 0), other=0.0),
                settle(u, moved, earlier, TO_ZERO, MASKED),
            )
        if traces_ptr is not None:
            if sum_adapt_ptr is not None:
                _add(sum_adapt_ptr + off, grad_a * trace, inside)
            if sum_strength_ptr is not None:
                _add(sum_strength_ptr + off, of_threshold * trace, inside)
            adapt = parameter(adapt_ptr, adapt_count, adapt_repeat, off, inside, NARROW)
            tl.store(grad_a_ptr + off, adapt * grad_a + strength * of_threshold, mask=inside)
    if sum_decay_ptr is not None:
        _add(sum_decay_ptr + off, grad * last, inside)
    if grad_i_ptr is not None:
        grad = grad + tl.load(grad_i_ptr + off, mask=inside, other=0.0)
        syn = parameter(syn_ptr, syn_count, syn_repeat, off, inside, NARROW)
        tl.store(grad_i_ptr + off, syn * grad, mask=inside)
        if sum_syn_ptr is not None:
            _add(sum_syn_ptr + off, grad * _before(i0_ptr, kept_ptr, t, width, off, inside), inside)
    tl.store(grad_x_ptr + here, grad, mask=inside)


@triton.jit
def _add(ptr, value, inside):
    """The memory at ptr grows by value."""
    tl.store(ptr, tl.load(ptr, mask=inside, other=0.0) + value, mask=inside)
