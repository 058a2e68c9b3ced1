"""LIF over a sequence: the fused kernel as a torch operator with its gradient, and the choice of implementation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.layout import array, empty, prepare, reduce_to, runs_fused
from snnkit.kernels.lif.reference import LIFParams, LIFState, initial_state, step
from snnkit.kernels.memory import output_like
from snnkit.kernels.operator import operator
from snnkit.kernels.sequence import run_steps
from snnkit.kernels.state import idle, state_dtype
from snnkit.kernels.threads import run_blocks


@operator(
    "lif",
    "(Tensor x, Tensor? v0, Tensor? wait0, Tensor decay, int decay_repeat, Tensor threshold, "
    "int threshold_repeat, bool to_zero, bool detach, int refractory, int kind, float peak, float scale, "
    "bool want_state) -> (Tensor, Tensor, Tensor)",
)
def lif(
    x: Tensor,
    v0: Tensor | None,
    wait0: Tensor | None,
    decay: Tensor,
    decay_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    to_zero: bool,
    detach: bool,
    refractory: int,
    kind: int,
    peak: float,
    scale: float,
    want_state: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """x [T, M] → (s [T, M], final v [M], final wait [M]); the states are empty where they are not wanted."""
    from snnkit.kernels.lif import cpu

    steps, width = x.shape
    s = output_like(x)
    v_end = empty(x, width if want_state else 0)
    wait_end = torch.empty(width if want_state and refractory else 0, dtype=torch.int32)
    nothing, no_wait = empty(x, 0), torch.empty(0, dtype=torch.int32)
    run_blocks(
        cpu.forward,
        steps,
        width,
        array(x),
        array(nothing if v0 is None else v0),
        array(no_wait if wait0 is None else wait0),
        array(decay),
        decay_repeat,
        array(threshold),
        threshold_repeat,
        to_zero,
        refractory,
        array(s),
        array(v_end),
        array(wait_end),
    )
    return s, v_end, wait_end


@lif.shapes
def _(
    x: Tensor,
    v0: Tensor | None,
    wait0: Tensor | None,
    decay: Tensor,
    decay_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    to_zero: bool,
    detach: bool,
    refractory: int,
    kind: int,
    peak: float,
    scale: float,
    want_state: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    width = x.shape[1]
    return (
        torch.empty_like(x),
        x.new_empty(width if want_state else 0, dtype=state_dtype(x)),
        x.new_empty(width if want_state and refractory else 0, dtype=torch.int32),
    )


@operator(
    "lif_backward",
    "(Tensor grad_s, Tensor? grad_v, Tensor x, Tensor? v0, Tensor? wait0, Tensor decay, int decay_repeat, "
    "Tensor threshold, int threshold_repeat, bool to_zero, bool detach, int refractory, int kind, float peak, "
    "float scale, bool want_v0, bool want_decay, bool want_threshold) -> (Tensor, Tensor, Tensor, Tensor)",
)
def lif_backward(
    grad_s: Tensor,
    grad_v: Tensor | None,
    x: Tensor,
    v0: Tensor | None,
    wait0: Tensor | None,
    decay: Tensor,
    decay_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    to_zero: bool,
    detach: bool,
    refractory: int,
    kind: int,
    peak: float,
    scale: float,
    want_v0: bool,
    want_decay: bool,
    want_threshold: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients with respect to x [T, M], v0 [M], decay [P] and threshold [P]; empty where not wanted."""
    from snnkit.kernels.lif import cpu

    steps, width = x.shape
    grad_x = output_like(x)
    grad_v0 = empty(x, width if want_v0 else 0)
    grad_decay = empty(x, width if want_decay else 0)
    grad_threshold = empty(x, width if want_threshold else 0)
    nothing, no_wait = empty(x, 0), torch.empty(0, dtype=torch.int32)
    one = array(x).dtype.type
    run_blocks(
        cpu.backward,
        steps,
        width,
        array(x),
        array(nothing if v0 is None else v0),
        array(no_wait if wait0 is None else wait0),
        array(decay),
        decay_repeat,
        array(threshold),
        threshold_repeat,
        to_zero,
        detach,
        refractory,
        kind,
        one(peak),
        one(scale),
        array(grad_s.contiguous()),
        array(nothing if grad_v is None else grad_v.contiguous()),
        array(grad_x),
        array(grad_v0),
        array(grad_decay),
        array(grad_threshold),
    )
    if want_decay:
        grad_decay = reduce_to(grad_decay, decay.numel(), decay_repeat)
    if want_threshold:
        grad_threshold = reduce_to(grad_threshold, threshold.numel(), threshold_repeat)
    return grad_x, grad_v0, grad_decay, grad_threshold


@lif_backward.shapes
def _(
    grad_s: Tensor,
    grad_v: Tensor | None,
    x: Tensor,
    v0: Tensor | None,
    wait0: Tensor | None,
    decay: Tensor,
    decay_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    to_zero: bool,
    detach: bool,
    refractory: int,
    kind: int,
    peak: float,
    scale: float,
    want_v0: bool,
    want_decay: bool,
    want_threshold: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(x),
        x.new_empty(x.shape[1] if want_v0 else 0, dtype=state_dtype(x)),
        decay.new_empty(decay.shape[0] if want_decay else 0),
        threshold.new_empty(threshold.shape[0] if want_threshold else 0),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, v0, wait0, decay, _, threshold = inputs[:6]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, v0, wait0, decay, threshold)
    ctx.options = (inputs[4], *inputs[6:13])


def _backward(ctx: Any, grad_s: Tensor | None, grad_v: Tensor | None, grad_wait: Tensor | None) -> tuple[Any, ...]:
    x, v0, wait0, decay, threshold = ctx.saved_tensors
    decay_repeat, threshold_repeat, *options = ctx.options
    _, want_v0, _, want_decay, _, want_threshold = ctx.needs_input_grad[:6]
    grad_x, grad_v0, grad_decay, grad_threshold = lif_backward(
        torch.zeros_like(x) if grad_s is None else grad_s,
        grad_v,
        x,
        v0,
        wait0,
        decay,
        decay_repeat,
        threshold,
        threshold_repeat,
        *options,
        want_v0,
        want_decay,
        want_threshold,
    )
    return (
        grad_x,
        grad_v0 if want_v0 else None,
        None,
        grad_decay if want_decay else None,
        None,
        grad_threshold if want_threshold else None,
        *[None] * 8,
    )


lif.gradient(_setup, _backward)
lif_backward.no_gradient()
lif.on_gpu("snnkit.kernels.lif.gpu", "forward")
lif_backward.on_gpu("snnkit.kernels.lif.gpu", "backward")


def sequence(
    x: Tensor, state: LIFState | None, params: LIFParams, want_state: bool = True
) -> tuple[Tensor, LIFState | None]:
    """x [T, B, …] from `state` (None: at rest) → (s [T, B, …], final state; None where not wanted).

    Fused for the surrogates of this package, on a GPU where Triton is installed, else step by step; the spikes are
    equal bit for bit.
    """
    if params.surrogate.kind < 0 or not runs_fused(x, on_gpu=True):
        return run_steps(step, x, initial_state(x, params.refractory) if state is None else state, params)
    flat, layout = prepare(x)
    decay, decay_repeat = layout.parameter(params.decay)
    threshold, threshold_repeat = layout.parameter(params.threshold)
    counting = state is not None and params.refractory > 0
    s, v, wait = lif(
        flat,
        None if state is None else layout.flatten_state(state.v.to(state_dtype(x))),
        layout.flatten_state(state.wait) if state is not None and counting else None,
        decay,
        decay_repeat,
        threshold,
        threshold_repeat,
        params.reset_to_zero,
        params.detach_reset,
        params.refractory,
        params.surrogate.kind,
        *params.surrogate.coefficients(),
        want_state,
    )
    out = layout.restore(s)
    if not want_state:
        return out, None
    v = layout.restore_state(v)
    return out, LIFState(v, layout.restore_state(wait) if params.refractory else idle(v))
