"""Recurrent neurons on the GPU: what surrounds the matrix product of a step, in one pass over the step's memory.

As on the CPU, one set of kernels serves all neurons: a current in front of the membrane (CubaLIF), a trace that raises
the threshold (ALIF), no threshold at all (LI). What a neuron lacks is None, and costs nothing; what it does in a step
is its own `step`, of its folder's `gpu.py`. A step [B, N] is M = B·N elements; parameters repeat every N. A step's
number t comes last, so that a step is one launch and nothing waits. Backward: `gpu_back`.
"""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.alif import gpu as alif
from snnkit.kernels.cubalif import gpu as cubalif
from snnkit.kernels.lif import gpu as lif
from snnkit.kernels.tiles import initial, parameter, put

RUNTIME = (
    "syn_count", "syn_repeat", "decay_count", "decay_repeat", "adapt_count", "adapt_repeat", "strength_count",
    "strength_repeat", "threshold_count", "threshold_repeat", "refractory", "groups", "steps", "t",
)  # fmt: skip


@triton.jit(do_not_specialize=RUNTIME)
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
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    v = tl.load(v_ptr + off, mask=inside, other=0.0)
    if threshold_ptr is None:
        s = decay * v + drive
        v = s
    else:
        MASKED: tl.constexpr = wait_ptr is not None
        threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
        wait = initial(wait_ptr, off, inside, BLOCK, tl.int32)
        if i_ptr is not None:
            syn = parameter(syn_ptr, syn_count, syn_repeat, off, inside, NARROW)
            current = tl.load(i_ptr + off, mask=inside, other=0.0)
            params = syn, decay, threshold
            s, _, states, wait = cubalif.step(drive, (current, v), wait, params, refractory, TO_ZERO, MASKED, False)
            drive, v = states
            tl.store(i_ptr + off, drive, mask=inside)
        elif a_ptr is not None:
            adapt = parameter(adapt_ptr, adapt_count, adapt_repeat, off, inside, NARROW)
            strength = parameter(strength_ptr, strength_count, strength_repeat, off, inside, NARROW)
            trace = tl.load(a_ptr + off, mask=inside, other=0.0)
            params = decay, adapt, strength, threshold
            s, _, states, wait = alif.step(drive, (trace, v), wait, params, refractory, TO_ZERO, MASKED, False)
            trace, v = states
            tl.store(a_ptr + off, trace, mask=inside)
        else:
            s, _, states, wait = lif.step(drive, (v,), wait, (decay, threshold), refractory, TO_ZERO, MASKED, False)
            v = states[0]
        s = s.to(DTYPE)
        put((kept_ptr,), (drive,), here, inside)
        put((wait_ptr,), (wait,), off, inside)
    tl.store(v_ptr + off, v, mask=inside)
    tl.store(s_ptr + here, s, mask=inside)
    tl.store(out_ptr + off, s, mask=inside)


@triton.jit(do_not_specialize=RUNTIME)
def recompute(
    kept_ptr,
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
    MASKED: tl.constexpr = wait0_ptr is not None
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    v = tl.load(v0_ptr + off, mask=inside, other=0.0)
    if a0_ptr is None:
        states, params = (v,), (decay, threshold)
    else:
        adapt = parameter(adapt_ptr, adapt_count, adapt_repeat, off, inside, NARROW)
        strength = parameter(strength_ptr, strength_count, strength_repeat, off, inside, NARROW)
        states = tl.load(a0_ptr + off, mask=inside, other=0.0), v
        params = decay, adapt, strength, threshold
    for t in range(steps):
        here = t * width + off
        x = tl.load(kept_ptr + here, mask=inside, other=0.0)
        if MASKED:
            tl.store(active_ptr + here, (wait == 0).to(tl.int8), mask=inside)
        if a0_ptr is None:
            _, seen, states, wait = lif.step(x, states, wait, params, refractory, TO_ZERO, MASKED, True)
            tl.store(us_ptr + here, seen[0], mask=inside)
        else:
            _, seen, states, wait = alif.step(x, states, wait, params, refractory, TO_ZERO, MASKED, True)
            put((us_ptr, traces_ptr), seen, here, inside)
