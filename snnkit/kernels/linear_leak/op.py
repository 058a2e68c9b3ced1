"""LinearLeakIF over a sequence: the fused kernel as a torch operator, and the choice of implementation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.layout import array, empty, prepare, reduce_to, runs_fused
from snnkit.kernels.linear_leak.reference import LinearLeakIFParams, LinearLeakIFState, initial_state, step
from snnkit.kernels.memory import output_like
from snnkit.kernels.operator import operator
from snnkit.kernels.sequence import run_steps
from snnkit.kernels.state import state_dtype
from snnkit.kernels.threads import run_blocks


@operator(
    "linear_leak",
    "(Tensor x, Tensor? v0, Tensor leak, int leak_repeat, Tensor threshold, int threshold_repeat, Tensor? floor, "
    "int floor_repeat, bool reverses, bool to_zero, bool detach, int kind, float peak, float scale, bool want_state) "
    "-> (Tensor, Tensor)",
)
def linear_leak(
    x: Tensor,
    v0: Tensor | None,
    leak: Tensor,
    leak_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    floor: Tensor | None,
    floor_repeat: int,
    reverses: bool,
    to_zero: bool,
    detach: bool,
    kind: int,
    peak: float,
    scale: float,
    want_state: bool,
) -> tuple[Tensor, Tensor]:
    """x [T, M] → (s [T, M], final v [M]; empty where it is not wanted)."""
    from snnkit.kernels.linear_leak import cpu

    steps, width = x.shape
    s = output_like(x)
    v_end = empty(x, width if want_state else 0)
    nothing = empty(x, 0)
    run_blocks(
        cpu.forward,
        steps,
        width,
        array(x),
        array(nothing if v0 is None else v0),
        array(leak),
        leak_repeat,
        array(threshold),
        threshold_repeat,
        array(nothing if floor is None else floor),
        floor_repeat,
        reverses,
        to_zero,
        array(s),
        array(v_end),
    )
    return s, v_end


@linear_leak.shapes
def _(
    x: Tensor,
    v0: Tensor | None,
    leak: Tensor,
    leak_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    floor: Tensor | None,
    floor_repeat: int,
    reverses: bool,
    to_zero: bool,
    detach: bool,
    kind: int,
    peak: float,
    scale: float,
    want_state: bool,
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty(x.shape[1] if want_state else 0, dtype=state_dtype(x))


@operator(
    "linear_leak_backward",
    "(Tensor grad_s, Tensor? grad_v, Tensor x, Tensor? v0, Tensor leak, int leak_repeat, Tensor threshold, "
    "int threshold_repeat, Tensor? floor, int floor_repeat, bool reverses, bool to_zero, bool detach, int kind, "
    "float peak, float scale, bool want_v0, bool want_leak, bool want_threshold) -> (Tensor, Tensor, Tensor, Tensor)",
)
def linear_leak_backward(
    grad_s: Tensor,
    grad_v: Tensor | None,
    x: Tensor,
    v0: Tensor | None,
    leak: Tensor,
    leak_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    floor: Tensor | None,
    floor_repeat: int,
    reverses: bool,
    to_zero: bool,
    detach: bool,
    kind: int,
    peak: float,
    scale: float,
    want_v0: bool,
    want_leak: bool,
    want_threshold: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients with respect to x [T, M], v0 [M], leak [P] and threshold [P]; empty where not wanted."""
    from snnkit.kernels.linear_leak import cpu

    steps, width = x.shape
    grad_x = output_like(x)
    grad_v0 = empty(x, width if want_v0 else 0)
    grad_leak = empty(x, width if want_leak else 0)
    grad_threshold = empty(x, width if want_threshold else 0)
    nothing = empty(x, 0)
    number = array(x).dtype.type
    run_blocks(
        cpu.backward,
        steps,
        width,
        array(x),
        array(nothing if v0 is None else v0),
        array(leak),
        leak_repeat,
        array(threshold),
        threshold_repeat,
        array(nothing if floor is None else floor),
        floor_repeat,
        reverses,
        to_zero,
        detach,
        kind,
        number(peak),
        number(scale),
        array(grad_s.contiguous()),
        array(nothing if grad_v is None else grad_v.contiguous()),
        array(grad_x),
        array(grad_v0),
        array(grad_leak),
        array(grad_threshold),
    )
    if want_leak:
        grad_leak = reduce_to(grad_leak, leak.numel(), leak_repeat)
    if want_threshold:
        grad_threshold = reduce_to(grad_threshold, threshold.numel(), threshold_repeat)
    return grad_x, grad_v0, grad_leak, grad_threshold


@linear_leak_backward.shapes
def _(
    grad_s: Tensor,
    grad_v: Tensor | None,
    x: Tensor,
    v0: Tensor | None,
    leak: Tensor,
    leak_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    floor: Tensor | None,
    floor_repeat: int,
    reverses: bool,
    to_zero: bool,
    detach: bool,
    kind: int,
    peak: float,
    scale: float,
    want_v0: bool,
    want_leak: bool,
    want_threshold: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(x),
        x.new_empty(x.shape[1] if want_v0 else 0, dtype=state_dtype(x)),
        leak.new_empty(leak.shape[0] if want_leak else 0),
        threshold.new_empty(threshold.shape[0] if want_threshold else 0),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, v0, leak, leak_repeat, threshold, threshold_repeat, floor, *options = inputs[:14]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, v0, leak, threshold, floor)
    ctx.options = leak_repeat, threshold_repeat, *options


def _backward(ctx: Any, grad_s: Tensor | None, grad_v: Tensor | None) -> tuple[Any, ...]:
    x, v0, leak, threshold, floor = ctx.saved_tensors
    leak_repeat, threshold_repeat, *options = ctx.options
    _, want_v0, want_leak, _, want_threshold = ctx.needs_input_grad[:5]
    grad_x, grad_v0, grad_leak, grad_threshold = linear_leak_backward(
        torch.zeros_like(x) if grad_s is None else grad_s,
        grad_v,
        x,
        v0,
        leak,
        leak_repeat,
        threshold,
        threshold_repeat,
        floor,
        *options,
        want_v0,
        want_leak,
        want_threshold,
    )
    return (
        grad_x,
        grad_v0 if want_v0 else None,
        grad_leak if want_leak else None,
        None,
        grad_threshold if want_threshold else None,
        *[None] * 10,
    )


linear_leak.gradient(_setup, _backward)
linear_leak_backward.no_gradient()
linear_leak.on_gpu("snnkit.kernels.linear_leak.gpu", "forward")
linear_leak_backward.on_gpu("snnkit.kernels.linear_leak.gpu", "backward")


def sequence(
    x: Tensor, state: LinearLeakIFState | None, params: LinearLeakIFParams, want_state: bool = True
) -> tuple[Tensor, LinearLeakIFState | None]:
    """x [T, B, …] from `state` (None: at rest) → (s [T, B, …], final state; None where not wanted).

    Fused for the surrogates of this package, on a GPU where Triton is installed, else step by step; the spikes are
    equal bit for bit.
    """
    learned_floor = params.floor is not None and params.floor.requires_grad  # no kernel has its gradient
    if params.surrogate.kind < 0 or learned_floor or not runs_fused(x, on_gpu=True):
        return run_steps(step, x, initial_state(x) if state is None else state, params)
    flat, layout = prepare(x)
    floor, floor_repeat = (None, 1) if params.floor is None else layout.parameter(params.floor)
    s, v = linear_leak(
        flat,
        None if state is None else layout.flatten_state(state.v.to(state_dtype(x))),
        *layout.parameter(params.leak),
        *layout.parameter(params.threshold),
        floor,
        floor_repeat,
        params.reverses,
        params.reset_to_zero,
        params.detach_reset,
        params.surrogate.kind,
        *params.surrogate.coefficients(),
        want_state,
    )
    out = layout.restore(s)
    return out, LinearLeakIFState(layout.restore_state(v)) if want_state else None
