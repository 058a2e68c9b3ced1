"""CubaLIF on the GPU: as LIF's kernels, with the synaptic current in front of the membrane."""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from snnkit.kernels.lif import gpu as lif
from snnkit.kernels.tiles import initial, many, parameter, put
from snnkit.kernels.walk import add, enter, fetch, fetch_back, leave, leave_back, run, run_back

_RUNTIME = ("groups", "steps", "refractory", "syn_count", "syn_repeat", "decay_count", "decay_repeat")
_RUNTIME += ("threshold_count", "threshold_repeat")

MOST = 96
"""Registers of a thread backward where neurons learn parameters of their own: left alone, the compiler saves on them
there, and puts values into memory (sm_80)."""


@triton.jit
def step(x, states, wait, params, refractory, TO_ZERO: tl.constexpr, MASKED: tl.constexpr, SEEN: tl.constexpr):
    """LIF's step with states (current, v) and params (syn, decay, threshold)."""
    current, v = states
    later = params[0] * current + x
    s, seen, states, wait = lif.step(later, (v,), wait, params[1:], refractory, TO_ZERO, MASKED, SEEN)
    return s, (seen[0], current), (later, states[0]), wait


@triton.jit
def settled(seen, active, params, TO_ZERO: tl.constexpr, MASKED: tl.constexpr):
    """v after a step that was `seen`."""
    return lif.settled(seen, active, params[1:], TO_ZERO, MASKED)


@triton.jit
def step_back(
    grad_s, seen, active, params, grads, sums, surrogate, wanted,
    KIND: tl.constexpr, TO_ZERO: tl.constexpr, DETACH: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """That step back, as LIF's."""
    grad_i, grad_v = grads
    grad_u, found = lif.step_back(
        grad_s, seen, active, params[1:], (grad_v,), sums[1:], surrogate, wanted[1:],
        KIND, TO_ZERO, DETACH, MASKED,
    )  # fmt: skip
    grad_x = grad_u + grad_i
    return grad_x, (grad_x, found)


@triton.jit
def pass_on(found, seen, last, params, sums, wanted):
    """What goes on from there, as LIF's."""
    grad_x, found = found
    grad_syn = sums[0]
    if wanted[0] is not None:
        grad_syn = grad_syn + grad_x * seen[1]
    grads, more = lif.pass_on(found, seen, last, params[1:], sums[1:], wanted[1:])
    return (params[0] * grad_x, grads[0]), (grad_syn, more[0], more[1])


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x_ptr,
    i0_ptr,
    v0_ptr,
    wait0_ptr,
    syn_ptr,
    syn_count,
    syn_repeat,
    decay_ptr,
    decay_count,
    decay_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    s_ptr,
    i_ptr,
    v_ptr,
    wait_ptr,
    kept_i_ptr,
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
    """x [T, M] → s [T, M], final i, v, wait [M] where wanted; i0, v0, wait0 [M], None for zeros. M = groups·WIDE.
    The rooms are `backward`'s, to be filled for it.
    """
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    syn = parameter(syn_ptr, syn_count, syn_repeat, off, inside, NARROW)
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    current = initial(i0_ptr, off, inside, BLOCK, DTYPE)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    states, waits = run(
        fetch, enter, add, leave, step, x_ptr, s_ptr, (width, off, inside), ((current, v),), (wait,),
        ((syn, decay, threshold),), refractory, steps, (kept_i_ptr, kept_v_ptr), kept_wait_ptr, STEPS, True, 1, TO_ZERO,
        MASKED, DTYPE, BLOCK,
    )  # fmt: skip
    put((i_ptr, v_ptr, wait_ptr), (states[0][0], states[0][1], waits[0]), off, inside)


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    x_ptr,
    i0_ptr,
    v0_ptr,
    wait0_ptr,
    syn_ptr,
    syn_count,
    syn_repeat,
    decay_ptr,
    decay_count,
    decay_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    kept_i_ptr,
    kept_v_ptr,
    kept_wait_ptr,
    grad_s_ptr,
    grad_i_ptr,
    grad_v_ptr,
    grad_x_ptr,
    grad_i0_ptr,
    grad_v0_ptr,
    grad_syn_ptr,
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
    """Gradients of `forward`, left out where None; kept_i, kept_v, kept_wait [⌈T / STEPS⌉, M] are room for the
    chunks' states, None for a sequence of one chunk. WHOLE: T is a multiple of STEPS."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    syn = parameter(syn_ptr, syn_count, syn_repeat, off, inside, NARROW)
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    current = initial(i0_ptr, off, inside, BLOCK, DTYPE)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    run_back(
        fetch, enter, fetch_back, leave_back, step, step_back, settled, pass_on, x_ptr, grad_s_ptr, grad_x_ptr,
        (width, off, inside), (kept_i_ptr, kept_v_ptr), kept_wait_ptr, width, off, inside, (current, v), wait,
        (syn, decay, threshold), (grad_i_ptr, grad_v_ptr), (grad_i0_ptr, grad_v0_ptr),
        (grad_syn_ptr, grad_decay_ptr, grad_threshold_ptr), 3, refractory, peak, scale, steps,
        grad_decay_ptr is not None, KIND, TO_ZERO, DETACH, MASKED, WHOLE, STEPS, FILLED, DTYPE, BLOCK,
    )  # fmt: skip


def halves(values: list[Tensor], learned: list[Tensor], masked: bool) -> int:
    """How often the chunks of the backward pass are halved, so that its registers suffice."""
    return int(learned != [] or (masked and many(values))) + (masked and many(learned))
