"""LIF on the GPU: the whole sequence in one pass over memory, forward; the backward pass recomputes the membrane.

Time is `walk`'s; what LIF does in a step is here, and serves where a norm or a pool is around it, and recurrent layers.
"""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from snnkit.kernels.tiles import back, fire, initial, many, parameter, put, settle
from snnkit.kernels.walk import add, enter, fetch, fetch_back, leave, leave_back, run, run_back

_RUNTIME = ("groups", "steps", "refractory", "decay_count", "decay_repeat", "threshold_count", "threshold_repeat")


@triton.jit
def step(x, states, wait, params, refractory, TO_ZERO: tl.constexpr, MASKED: tl.constexpr, SEEN: tl.constexpr):
    """One step: x, states (v,) and wait → (s, seen, states, wait), with params (decay, threshold). `seen` is what the
    way back needs of it, right where the step is to be SEEN."""
    v = states[0]
    decay, threshold = params
    u = decay * v + x
    if MASKED and SEEN:
        u = tl.where(wait == 0, u, v)
    s, v, wait = fire(u, v, wait, threshold, refractory, TO_ZERO, MASKED)
    return s, (u,), (v,), wait


@triton.jit
def settled(seen, active, params, TO_ZERO: tl.constexpr, MASKED: tl.constexpr):
    """v after a step that was `seen`."""
    return settle(seen[0], active, params[1], TO_ZERO, MASKED)


@triton.jit
def step_back(
    grad_s, seen, active, params, grads, sums, surrogate, wanted,
    KIND: tl.constexpr, TO_ZERO: tl.constexpr, DETACH: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """That step back: (gradient of x, what `pass_on` takes). grads: of the states after the step; surrogate: its peak
    and scale."""
    decay, threshold = params
    peak, scale = surrogate
    grad_u, grad_v, grad_threshold = back(
        grad_s, seen[0], active, threshold, decay, peak, scale, grads[0], sums[1],
        KIND, TO_ZERO, DETACH, MASKED, wanted[1] is not None,
    )  # fmt: skip
    return grad_u, (grad_u, grad_v, grad_threshold)


@triton.jit
def pass_on(found, seen, last, params, sums, wanted):
    """(grads of the states before the step, sums of those of the parameters so far, but where `wanted` has None);
    `last`: v before the step, of any value where the decay's is not wanted."""
    grad_u, grad_v, grad_threshold = found
    grad_decay = sums[0]
    if wanted[0] is not None:
        grad_decay = grad_decay + grad_u * last
    return (grad_v,), (grad_decay, grad_threshold)


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x_ptr,
    v0_ptr,
    wait0_ptr,
    decay_ptr,
    decay_count,
    decay_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    s_ptr,
    v_ptr,
    wait_ptr,
    kept_v_ptr,
    kept_wait_ptr,
    refractory: tl.int32,
    groups: tl.int64,
    steps: tl.int32,
    TO_ZERO: tl.constexpr,
    MASKED: tl.constexpr,
    STEPS: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """x [T, M] → s [T, M], final v and wait [M] where wanted; v0, wait0 [M], None for zeros. M = groups·WIDE.
    The rooms are `backward`'s, to be filled for it.
    """
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    states, waits = run(
        fetch, enter, add, leave, step, x_ptr, s_ptr, (width, off, inside), ((v,),), (wait,), ((decay, threshold),),
        refractory, steps, (kept_v_ptr,), kept_wait_ptr, STEPS, True, 1, TO_ZERO, MASKED, DTYPE, BLOCK,
    )  # fmt: skip
    put((v_ptr, wait_ptr), (states[0][0], waits[0]), off, inside)


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    x_ptr,
    v0_ptr,
    wait0_ptr,
    decay_ptr,
    decay_count,
    decay_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    kept_v_ptr,
    kept_wait_ptr,
    grad_s_ptr,
    grad_v_ptr,
    grad_x_ptr,
    grad_v0_ptr,
    grad_decay_ptr,
    grad_threshold_ptr,
    refractory: tl.int32,
    peak: tl.float64,
    scale: tl.float64,
    groups: tl.int64,
    steps: tl.int32,
    KIND: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DETACH: tl.constexpr,
    MASKED: tl.constexpr,
    WHOLE: tl.constexpr,
    STEPS: tl.constexpr,
    FILLED: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of `forward`, left out where None; kept_v, kept_wait [⌈T / STEPS⌉, M] are room for the chunks' states,
    None for a sequence of one chunk. WHOLE: T is a multiple of STEPS."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    run_back(
        fetch, enter, fetch_back, leave_back, step, step_back, settled, pass_on, x_ptr, grad_s_ptr, grad_x_ptr,
        (width, off, inside), (kept_v_ptr,), kept_wait_ptr, width, off, inside, (v,), wait, (decay, threshold),
        (grad_v_ptr,), (grad_v0_ptr,), (grad_decay_ptr, grad_threshold_ptr), 2, refractory, peak, scale, steps,
        grad_decay_ptr is not None, KIND, TO_ZERO, DETACH, MASKED, WHOLE, STEPS, FILLED, DTYPE, BLOCK,
    )  # fmt: skip


def halves(values: list[Tensor], learned: list[Tensor], masked: bool) -> int:
    """How often the chunks of the backward pass are halved, so that its registers suffice."""
    return int((masked and learned != []) or many(learned)) + (masked and many(learned))
