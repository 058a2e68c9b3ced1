"""ALIF on the GPU: as LIF's kernels, with a threshold that is worked out anew at each step."""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from snnkit.kernels.lif import gpu as lif
from snnkit.kernels.tiles import initial, many, parameter, put
from snnkit.kernels.walk import add, enter, fetch, fetch_back, leave, leave_back, run, run_back

_RUNTIME = ("groups", "steps", "refractory", "decay_count", "decay_repeat", "adapt_count", "adapt_repeat")
_RUNTIME += ("strength_count", "strength_repeat", "threshold_count", "threshold_repeat")


@triton.jit
def _raised(trace, params):
    """The threshold of a step, from the trace before it."""
    return params[3] + params[2] * trace


@triton.jit
def step(x, states, wait, params, refractory, TO_ZERO: tl.constexpr, MASKED: tl.constexpr, SEEN: tl.constexpr):
    """LIF's step with states (trace, v) and params (decay, adapt, strength, threshold)."""
    trace, v = states
    theta = _raised(trace, params)
    s, seen, states, wait = lif.step(x, (v,), wait, (params[0], theta), refractory, TO_ZERO, MASKED, SEEN)
    return s, (seen[0], trace), (params[1] * trace + s, states[0]), wait


@triton.jit
def settled(seen, active, params, TO_ZERO: tl.constexpr, MASKED: tl.constexpr):
    """v after a step that was `seen`."""
    return lif.settled(seen, active, (params[0], _raised(seen[1], params)), TO_ZERO, MASKED)


@triton.jit
def step_back(
    grad_s, seen, active, params, grads, sums, surrogate, wanted,
    KIND: tl.constexpr, TO_ZERO: tl.constexpr, DETACH: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """That step back, as LIF's."""
    grad_a, grad_v = grads
    nothing = tl.full(grad_a.shape, 0, grad_a.dtype)
    grad_u, found = lif.step_back(  # a spike is seen, and raises the threshold of later steps
        grad_s + grad_a, seen, active, (params[0], _raised(seen[1], params)), (grad_v,), (nothing, nothing),
        surrogate, (None, True), KIND, TO_ZERO, DETACH, MASKED,
    )  # fmt: skip
    return grad_u, (found, grad_a)


@triton.jit
def pass_on(found, seen, last, params, sums, wanted):
    """What goes on from there, as LIF's."""
    grad_u, grad_v, grad_theta = found[0]
    grad_a = found[1]
    grad_decay, grad_adapt, grad_strength, grad_threshold = sums
    if wanted[0] is not None:
        grad_decay = grad_decay + grad_u * last
    if wanted[1] is not None:
        grad_adapt = grad_adapt + grad_a * seen[1]
    if wanted[2] is not None:
        grad_strength = grad_strength + grad_theta * seen[1]
    if wanted[3] is not None:
        grad_threshold = grad_threshold + grad_theta
    grads = params[1] * grad_a + params[2] * grad_theta, grad_v
    return grads, (grad_decay, grad_adapt, grad_strength, grad_threshold)


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x_ptr,
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
    s_ptr,
    v_ptr,
    a_ptr,
    wait_ptr,
    kept_v_ptr,
    kept_a_ptr,
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
    """x [T, M] → s [T, M], final v, a, wait [M] where wanted; v0, a0, wait0 [M], None for zeros. M = groups·WIDE.
    The rooms are `backward`'s, to be filled for it.
    """
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    adapt = parameter(adapt_ptr, adapt_count, adapt_repeat, off, inside, NARROW)
    strength = parameter(strength_ptr, strength_count, strength_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    trace = initial(a0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    AHEAD: tl.constexpr = threshold_count is None  # else the parameters take the registers
    states, waits = run(
        fetch, enter, add, leave, step, x_ptr, s_ptr, (width, off, inside), ((trace, v),), (wait,),
        ((decay, adapt, strength, threshold),), refractory, steps, (kept_a_ptr, kept_v_ptr), kept_wait_ptr, STEPS,
        AHEAD, 1, TO_ZERO, MASKED, DTYPE, BLOCK,
    )  # fmt: skip
    put((v_ptr, a_ptr, wait_ptr), (states[0][1], states[0][0], waits[0]), off, inside)


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    x_ptr,
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
    kept_v_ptr,
    kept_a_ptr,
    kept_wait_ptr,
    grad_s_ptr,
    grad_v_ptr,
    grad_a_ptr,
    grad_x_ptr,
    grad_v0_ptr,
    grad_a0_ptr,
    grad_decay_ptr,
    grad_adapt_ptr,
    grad_strength_ptr,
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
    """Gradients of `forward`, left out where None; kept_v, kept_a, kept_wait [⌈T / STEPS⌉, M] are room for the
    chunks' states, None for a sequence of one chunk. WHOLE: T is a multiple of STEPS."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    adapt = parameter(adapt_ptr, adapt_count, adapt_repeat, off, inside, NARROW)
    strength = parameter(strength_ptr, strength_count, strength_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    trace = initial(a0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    run_back(
        fetch, enter, fetch_back, leave_back, step, step_back, settled, pass_on, x_ptr, grad_s_ptr, grad_x_ptr,
        (width, off, inside), (kept_a_ptr, kept_v_ptr), kept_wait_ptr, width, off, inside, (trace, v), wait,
        (decay, adapt, strength, threshold), (grad_a_ptr, grad_v_ptr), (grad_a0_ptr, grad_v0_ptr),
        (grad_decay_ptr, grad_adapt_ptr, grad_strength_ptr, grad_threshold_ptr), 4, refractory, peak, scale, steps,
        grad_decay_ptr is not None, KIND, TO_ZERO, DETACH, MASKED, WHOLE, STEPS, FILLED, DTYPE, BLOCK,
    )  # fmt: skip


def halves(values: list[Tensor], learned: list[Tensor], masked: bool) -> int:
    """How often the chunks of the backward pass are halved, so that its registers suffice."""
    return 2 if learned else int(masked or many(values))
