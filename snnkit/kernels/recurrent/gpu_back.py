"""Recurrent neurons on the GPU, backward: a step [B, N] at a time, from what `gpu.recompute` has left.

The step back is that of the neuron itself, of its folder's `gpu.py`; LI's is a line.
"""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.alif import gpu as alif
from snnkit.kernels.cubalif import gpu as cubalif
from snnkit.kernels.lif import gpu as lif
from snnkit.kernels.recurrent.gpu import RUNTIME
from snnkit.kernels.tiles import initial, parameter, put


@triton.jit
def _before(first_ptr, later_ptr, t, width, off, inside):
    """A state before step t: as it came in (first_ptr [M]), later what step t − 1 has left in later_ptr [T, M]."""
    from_start = tl.load(first_ptr + off, mask=inside & (t == 0), other=0.0)
    return tl.where(t == 0, from_start, tl.load(later_ptr + (t - 1) * width + off, mask=inside & (t > 0), other=0.0))


@triton.jit
def _step_back(
    step_back,
    settled,
    pass_on,
    grad_s,
    us_ptr,
    active_ptr,
    v0_ptr,
    t,
    width,
    off,
    inside,
    before,
    earlier,
    params,
    grad_ptrs,
    sum_ptrs,
    surrogate,
    LAST: tl.constexpr,
    KIND: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DETACH: tl.constexpr,
    DTYPE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Step t back by the pieces of a neuron: the gradient of what it got. before, earlier: what these want beside the
    membrane, of this step and of the one before, whose membrane is wanted where LAST."""
    MASKED: tl.constexpr = active_ptr is not None
    here = t * width + off
    grads, sums = (), ()
    for i in tl.static_range(len(grad_ptrs)):
        grads = grads + (tl.load(grad_ptrs[i] + off, mask=inside, other=0.0),)
    for i in tl.static_range(len(params)):
        sums = sums + (initial(sum_ptrs[i], off, inside, BLOCK, DTYPE),)
    u = tl.load(us_ptr + here, mask=inside, other=0.0)
    active = tl.full((BLOCK,), 1, tl.int1)
    if MASKED:
        active = tl.load(active_ptr + here, mask=inside, other=0) != 0
    seen = (u,) + before
    grad, found = step_back(
        grad_s, seen, active, params, grads, sums, surrogate, sum_ptrs, KIND, TO_ZERO, DETACH, MASKED
    )
    last = u
    if LAST:
        u = tl.load(us_ptr + (here - width), mask=inside & (t > 0), other=0.0)
        if MASKED:
            active = tl.load(active_ptr + (here - width), mask=inside & (t > 0), other=0) != 0
        start = tl.load(v0_ptr + off, mask=inside & (t == 0), other=0.0)
        last = tl.where(t == 0, start, settled((u,) + earlier, active, params, TO_ZERO, MASKED))
    grads, sums = pass_on(found, seen, last, params, sums, sum_ptrs)
    put(grad_ptrs, grads, off, inside)
    put(sum_ptrs, sums, off, inside)
    return grad


@triton.jit(do_not_specialize=RUNTIME)
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
    """Step t back. grad_x [T, M] holds the us of `gpu.recompute` up to t, gradients behind it; back [M] is what later
    steps send back to the output. grad_i, grad_v, grad_a [M] go back in place, and so do the sums [M] of gradients of
    parameters, None where they are not wanted."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    here = t * width + off
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    grad_s = tl.load(grad_s_ptr + here, mask=inside, other=0.0) + tl.load(back_ptr + off, mask=inside, other=0.0)
    if threshold_ptr is None:
        grad = grad_s + tl.load(grad_v_ptr + off, mask=inside, other=0.0)
        tl.store(grad_v_ptr + off, decay * grad, mask=inside)
        if sum_decay_ptr is not None:
            total = tl.load(sum_decay_ptr + off, mask=inside, other=0.0)
            tl.store(sum_decay_ptr + off, total + grad * _before(v0_ptr, s_ptr, t, width, off, inside), mask=inside)
    else:
        threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
        surrogate = tl.full((BLOCK,), peak, DTYPE), tl.full((BLOCK,), scale, DTYPE)
        if grad_i_ptr is not None:
            syn = parameter(syn_ptr, syn_count, syn_repeat, off, inside, NARROW)
            current = grad_s  # nobody asks for it
            if sum_syn_ptr is not None:
                current = _before(i0_ptr, kept_ptr, t, width, off, inside)
            grad = _step_back(
                cubalif.step_back, cubalif.settled, cubalif.pass_on, grad_s, grad_x_ptr, active_ptr, v0_ptr, t, width,
                off, inside, (current,), (current,), (syn, decay, threshold), (grad_i_ptr, grad_v_ptr),
                (sum_syn_ptr, sum_decay_ptr, sum_threshold_ptr), surrogate,
                sum_decay_ptr is not None, KIND, TO_ZERO, DETACH, DTYPE, BLOCK,
            )  # fmt: skip
        elif traces_ptr is not None:
            adapt = parameter(adapt_ptr, adapt_count, adapt_repeat, off, inside, NARROW)
            strength = parameter(strength_ptr, strength_count, strength_repeat, off, inside, NARROW)
            trace = tl.load(traces_ptr + here, mask=inside, other=0.0)
            earlier = trace
            if sum_decay_ptr is not None:
                earlier = tl.load(traces_ptr + (here - width), mask=inside & (t > 0), other=0.0)
            grad = _step_back(
                alif.step_back, alif.settled, alif.pass_on, grad_s, grad_x_ptr, active_ptr, v0_ptr, t, width,
                off, inside, (trace,), (earlier,), (decay, adapt, strength, threshold), (grad_a_ptr, grad_v_ptr),
                (sum_decay_ptr, sum_adapt_ptr, sum_strength_ptr, sum_threshold_ptr), surrogate,
                sum_decay_ptr is not None, KIND, TO_ZERO, DETACH, DTYPE, BLOCK,
            )  # fmt: skip
        else:
            grad = _step_back(
                lif.step_back, lif.settled, lif.pass_on, grad_s, grad_x_ptr, active_ptr, v0_ptr, t, width,
                off, inside, (), (), (decay, threshold), (grad_v_ptr,), (sum_decay_ptr, sum_threshold_ptr), surrogate,
                sum_decay_ptr is not None, KIND, TO_ZERO, DETACH, DTYPE, BLOCK,
            )  # fmt: skip
    tl.store(grad_x_ptr + here, grad, mask=inside)
