"""LinearLeakIF on the GPU: as LIF's kernels, with a constant leak and a floor."""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from snnkit.kernels.tiles import back, fire, initial, many, parameter, put, settle
from snnkit.kernels.walk import add, enter, fetch, fetch_back, leave, leave_back, run, run_back

_RUNTIME = ("groups", "steps", "leak_count", "leak_repeat", "threshold_count", "threshold_repeat")
_RUNTIME += ("floor_count", "floor_repeat")

MOST = 96
"""Registers of a thread backward where neurons learn parameters of their own; see `cubalif.gpu`."""


@triton.jit
def _leak(u, leak, REVERSES: tl.constexpr):
    """u + leak, away from 0 where it REVERSES (towards 0 for a negative leak)."""
    if REVERSES:
        return u + tl.where(u > 0.0, leak, tl.where(u < 0.0, -leak, 0.0))
    else:
        return u + leak


@triton.jit
def _hold(v, bottom, HELD: tl.constexpr):
    """v, not below the bottom where there is one."""
    return tl.where(v < bottom, bottom, v) if HELD else v


@triton.jit
def step(x, states, wait, params, refractory, TO_ZERO: tl.constexpr, MASKED: tl.constexpr, SEEN: tl.constexpr):
    """As LIF's step, with params (leak, threshold, bottom, REVERSES, HELD), and never refractory."""
    v = states[0] + x
    one = tl.full(v.shape, 1, v.dtype)
    sign = tl.where(v > 0.0, one, tl.where(v < 0.0, -one, 0.0))
    u = _leak(v, params[0], params[3])
    s, v, _ = fire(u, v, wait, params[1], 0, TO_ZERO, False)
    return s, (u, sign), (_hold(v, params[2], params[4]),), wait


@triton.jit
def step_back(
    grad_s, seen, active, params, grads, sums, surrogate, wanted,
    KIND: tl.constexpr, TO_ZERO: tl.constexpr, DETACH: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """That step back, as LIF's."""
    threshold, bottom, u, grad_v = params[1], params[2], seen[0], grads[0]
    one = tl.full(u.shape, 1, u.dtype)
    if params[4]:  # half where both are equal, as torch.maximum has it
        after = settle(u, None, threshold, TO_ZERO, False)
        grad_v = grad_v * tl.where(after < bottom, 0.0, tl.where(after == bottom, 0.5, one))
    grad_u, before, grad_threshold = back(
        grad_s, u, None, threshold, one, surrogate[0], surrogate[1], grad_v, sums[1],
        KIND, TO_ZERO, DETACH, False, wanted[1] is not None,
    )  # fmt: skip
    return grad_u, (grad_u, before, grad_threshold)


@triton.jit
def pass_on(found, seen, last, params, sums, wanted):
    """What goes on from there, as LIF's."""
    grad_u, before, grad_threshold = found
    grad_leak = sums[0]
    if wanted[0] is not None:
        grad_leak = grad_leak + (grad_u * seen[1] if params[3] else grad_u)
    return (before,), (grad_leak, grad_threshold)


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x_ptr,
    v0_ptr,
    leak_ptr,
    leak_count,
    leak_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    floor_ptr,
    floor_count,
    floor_repeat,
    s_ptr,
    v_ptr,
    kept_v_ptr,
    groups: tl.int64,
    steps: tl.int32,
    REVERSES: tl.constexpr,
    TO_ZERO: tl.constexpr,
    STEPS: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """x [T, M] → s [T, M], final v [M] where wanted; v0 [M], None for zeros; floor None for none. M = groups·WIDE.
    The rooms are `backward`'s, to be filled for it.
    """
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    HELD: tl.constexpr = floor_ptr is not None
    leak = parameter(leak_ptr, leak_count, leak_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    bottom = -parameter(floor_ptr, floor_count, floor_repeat, off, inside, NARROW) if HELD else 0.0
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(None, off, inside, BLOCK, tl.int32)
    states, _ = run(
        fetch, enter, add, leave, step, x_ptr, s_ptr, (width, off, inside), ((v,),), (wait,),
        ((leak, threshold, bottom, REVERSES, HELD),), 0, steps, (kept_v_ptr,), None, STEPS, True, 1, TO_ZERO, False,
        DTYPE, BLOCK,
    )  # fmt: skip
    put((v_ptr,), states[0], off, inside)


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    x_ptr,
    v0_ptr,
    leak_ptr,
    leak_count,
    leak_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    floor_ptr,
    floor_count,
    floor_repeat,
    kept_v_ptr,
    grad_s_ptr,
    grad_v_ptr,
    grad_x_ptr,
    grad_v0_ptr,
    grad_leak_ptr,
    grad_threshold_ptr,
    peak: tl.float64,
    scale: tl.float64,
    groups: tl.int64,
    steps: tl.int32,
    KIND: tl.constexpr,
    REVERSES: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DETACH: tl.constexpr,
    WHOLE: tl.constexpr,
    STEPS: tl.constexpr,
    FILLED: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of `forward`, left out where None; kept_v [⌈T / STEPS⌉, M] is room for the chunks' states, None for a
    sequence of one chunk. WHOLE: T is a multiple of STEPS."""
    width = groups.to(tl.int64) * WIDE
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    HELD: tl.constexpr = floor_ptr is not None
    leak = parameter(leak_ptr, leak_count, leak_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    bottom = -parameter(floor_ptr, floor_count, floor_repeat, off, inside, NARROW) if HELD else 0.0
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(None, off, inside, BLOCK, tl.int32)
    run_back(
        fetch, enter, fetch_back, leave_back, step, step_back, None, pass_on, x_ptr, grad_s_ptr, grad_x_ptr,
        (width, off, inside), (kept_v_ptr,), None, width, off, inside, (v,), wait,
        (leak, threshold, bottom, REVERSES, HELD), (grad_v_ptr,), (grad_v0_ptr,), (grad_leak_ptr, grad_threshold_ptr),
        2, 0, peak, scale, steps, False, KIND, TO_ZERO, DETACH, False, WHOLE, STEPS, FILLED, DTYPE, BLOCK,
    )  # fmt: skip


def halves(values: list[Tensor], learned: list[Tensor], masked: bool) -> int:
    """How often the chunks of the backward pass are halved, so that its registers suffice."""
    return (learned != []) + many(learned)
