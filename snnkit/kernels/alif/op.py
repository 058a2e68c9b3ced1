"""ALIF over a sequence: the fused kernel as a torch operator with its gradient, and the choice of implementation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.alif.reference import ALIFParams, ALIFState, initial_state, step
from snnkit.kernels.layout import array, empty, prepare, reduce_to, runs_fused
from snnkit.kernels.memory import output_like
from snnkit.kernels.operator import operator
from snnkit.kernels.sequence import run_steps
from snnkit.kernels.state import idle, state_dtype
from snnkit.kernels.threads import run_blocks


@operator(
    "alif",
    "(Tensor x, Tensor? v0, Tensor? a0, Tensor? wait0, Tensor decay, int decay_repeat, Tensor adapt, int adapt_repeat, "
    "Tensor strength, int strength_repeat, Tensor threshold, int threshold_repeat, bool to_zero, bool detach, "
    "int refractory, int kind, float peak, float scale, bool want_state) -> (Tensor, Tensor, Tensor, Tensor)",
)
def alif(
    x: Tensor,
    v0: Tensor | None,
    a0: Tensor | None,
    wait0: Tensor | None,
    decay: Tensor,
    decay_repeat: int,
    adapt: Tensor,
    adapt_repeat: int,
    strength: Tensor,
    strength_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    to_zero: bool,
    detach: bool,
    refractory: int,
    kind: int,
    peak: float,
    scale: float,
    want_state: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x [T, M] → (s [T, M], final v, a and wait [M]); the states are empty where they are not wanted."""
    from snnkit.kernels.alif import cpu

    steps, width = x.shape
    s = output_like(x)
    v_end = empty(x, width if want_state else 0)
    a_end = empty(x, width if want_state else 0)
    wait_end = torch.empty(width if want_state and refractory else 0, dtype=torch.int32)
    nothing, no_wait = empty(x, 0), torch.empty(0, dtype=torch.int32)
    run_blocks(
        cpu.forward,
        steps,
        width,
        array(x),
        array(nothing if v0 is None else v0),
        array(nothing if a0 is None else a0),
        array(no_wait if wait0 is None else wait0),
        array(decay),
        decay_repeat,
        array(adapt),
        adapt_repeat,
        array(strength),
        strength_repeat,
        array(threshold),
        threshold_repeat,
        to_zero,
        refractory,
        array(s),
        array(v_end),
        array(a_end),
        array(wait_end),
    )
    return s, v_end, a_end, wait_end


@alif.shapes
def _(
    x: Tensor,
    v0: Tensor | None,
    a0: Tensor | None,
    wait0: Tensor | None,
    decay: Tensor,
    decay_repeat: int,
    adapt: Tensor,
    adapt_repeat: int,
    strength: Tensor,
    strength_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    to_zero: bool,
    detach: bool,
    refractory: int,
    kind: int,
    peak: float,
    scale: float,
    want_state: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    width = x.shape[1] if want_state else 0
    return (
        torch.empty_like(x),
        x.new_empty(width, dtype=state_dtype(x)),
        x.new_empty(width, dtype=state_dtype(x)),
        x.new_empty(width if refractory else 0, dtype=torch.int32),
    )


@operator(
    "alif_backward",
    "(Tensor grad_s, Tensor? grad_v, Tensor? grad_a, Tensor x, Tensor? v0, Tensor? a0, Tensor? wait0, Tensor decay, "
    "int decay_repeat, Tensor adapt, int adapt_repeat, Tensor strength, int strength_repeat, Tensor threshold, "
    "int threshold_repeat, bool to_zero, bool detach, int refractory, int kind, float peak, float scale, "
    "bool want_v0, bool want_a0, bool want_decay, bool want_adapt, bool want_strength, bool want_threshold) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def alif_backward(
    grad_s: Tensor,
    grad_v: Tensor | None,
    grad_a: Tensor | None,
    x: Tensor,
    v0: Tensor | None,
    a0: Tensor | None,
    wait0: Tensor | None,
    decay: Tensor,
    decay_repeat: int,
    adapt: Tensor,
    adapt_repeat: int,
    strength: Tensor,
    strength_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    to_zero: bool,
    detach: bool,
    refractory: int,
    kind: int,
    peak: float,
    scale: float,
    want_v0: bool,
    want_a0: bool,
    want_decay: bool,
    want_adapt: bool,
    want_strength: bool,
    want_threshold: bool,
) -> tuple[Tensor, ...]:
    """Gradients with respect to x [T, M], v0, a0 [M] and the parameters [P]; empty where not wanted."""
    from snnkit.kernels.alif import cpu

    steps, width = x.shape
    grad_x = output_like(x)
    grad_v0 = empty(x, width if want_v0 else 0)
    grad_a0 = empty(x, width if want_a0 else 0)
    wanted = (want_decay, want_adapt, want_strength, want_threshold)
    parts = [empty(x, width if want else 0) for want in wanted]
    nothing, no_wait = empty(x, 0), torch.empty(0, dtype=torch.int32)
    number = array(x).dtype.type
    run_blocks(
        cpu.backward,
        steps,
        width,
        array(x),
        array(nothing if v0 is None else v0),
        array(nothing if a0 is None else a0),
        array(no_wait if wait0 is None else wait0),
        array(decay),
        decay_repeat,
        array(adapt),
        adapt_repeat,
        array(strength),
        strength_repeat,
        array(threshold),
        threshold_repeat,
        to_zero,
        detach,
        refractory,
        kind,
        number(peak),
        number(scale),
        array(grad_s.contiguous()),
        array(nothing if grad_v is None else grad_v.contiguous()),
        array(nothing if grad_a is None else grad_a.contiguous()),
        array(grad_x),
        array(grad_v0),
        array(grad_a0),
        *(array(part) for part in parts),
    )
    values = ((decay, decay_repeat), (adapt, adapt_repeat), (strength, strength_repeat), (threshold, threshold_repeat))
    sums = (
        reduce_to(part, value.numel(), repeat) if want else part
        for part, want, (value, repeat) in zip(parts, wanted, values)
    )
    return grad_x, grad_v0, grad_a0, *sums


@alif_backward.shapes
def _(
    grad_s: Tensor,
    grad_v: Tensor | None,
    grad_a: Tensor | None,
    x: Tensor,
    v0: Tensor | None,
    a0: Tensor | None,
    wait0: Tensor | None,
    decay: Tensor,
    decay_repeat: int,
    adapt: Tensor,
    adapt_repeat: int,
    strength: Tensor,
    strength_repeat: int,
    threshold: Tensor,
    threshold_repeat: int,
    to_zero: bool,
    detach: bool,
    refractory: int,
    kind: int,
    peak: float,
    scale: float,
    want_v0: bool,
    want_a0: bool,
    want_decay: bool,
    want_adapt: bool,
    want_strength: bool,
    want_threshold: bool,
) -> tuple[Tensor, ...]:
    return (
        torch.empty_like(x),
        x.new_empty(x.shape[1] if want_v0 else 0, dtype=state_dtype(x)),
        x.new_empty(x.shape[1] if want_a0 else 0, dtype=state_dtype(x)),
        decay.new_empty(decay.shape[0] if want_decay else 0),
        adapt.new_empty(adapt.shape[0] if want_adapt else 0),
        strength.new_empty(strength.shape[0] if want_strength else 0),
        threshold.new_empty(threshold.shape[0] if want_threshold else 0),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:4], *inputs[4:12:2])
    ctx.repeats, ctx.options = inputs[5:12:2], inputs[12:18]


def _backward(
    ctx: Any, grad_s: Tensor | None, grad_v: Tensor | None, grad_a: Tensor | None, grad_wait: Tensor | None
) -> tuple[Any, ...]:
    x, v0, a0, wait0, *values = ctx.saved_tensors
    needs = ctx.needs_input_grad
    wanted = (needs[1], needs[2], *needs[4:12:2])
    grad_x, *grads = alif_backward(
        torch.zeros_like(x) if grad_s is None else grad_s,
        grad_v,
        grad_a,
        x,
        v0,
        a0,
        wait0,
        *(part for pair in zip(values, ctx.repeats) for part in pair),
        *ctx.options,
        *wanted,
    )
    v, a, *parameters = (grad if want else None for grad, want in zip(grads, wanted))
    return (grad_x, v, a, None, *(part for grad in parameters for part in (grad, None)), *[None] * 7)


alif.gradient(_setup, _backward)
alif_backward.no_gradient()
alif.on_gpu("snnkit.kernels.alif.gpu", "forward")
alif_backward.on_gpu("snnkit.kernels.alif.gpu", "backward")


def sequence(
    x: Tensor, state: ALIFState | None, params: ALIFParams, want_state: bool = True
) -> tuple[Tensor, ALIFState | None]:
    """x [T, B, …] from `state` (None: at rest) → (s [T, B, …], final state; None where not wanted).

    Fused for the surrogates of this package, on a GPU where Triton is installed, else step by step; the spikes are
    equal bit for bit.
    """
    lif = params.lif
    if lif.surrogate.kind < 0 or not runs_fused(x, on_gpu=True):
        return run_steps(step, x, initial_state(x, lif.refractory) if state is None else state, params)
    flat, layout = prepare(x)
    s, v, a, wait = alif(
        flat,
        None if state is None else layout.flatten_state(state.v.to(state_dtype(x))),
        None if state is None else layout.flatten_state(state.a.to(state_dtype(x))),
        layout.flatten_state(state.wait) if state is not None and lif.refractory else None,
        *layout.parameter(lif.decay),
        *layout.parameter(params.decay_adapt),
        *layout.parameter(params.adaptation),
        *layout.parameter(lif.threshold),
        lif.reset_to_zero,
        lif.detach_reset,
        lif.refractory,
        lif.surrogate.kind,
        *lif.surrogate.coefficients(),
        want_state,
    )
    out = layout.restore(s)
    if not want_state:
        return out, None
    v = layout.restore_state(v)
    return out, ALIFState(v, layout.restore_state(a), layout.restore_state(wait) if lif.refractory else idle(v))
