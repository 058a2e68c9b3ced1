"""CubaLIF over a sequence: the fused kernel as a torch operator with its gradient, and the choice of implementation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.cubalif.reference import CubaLIFParams, CubaLIFState, initial_state, step
from snnkit.kernels.layout import array, empty, prepare, reduce_to, runs_fused
from snnkit.kernels.memory import output_like
from snnkit.kernels.operator import operator
from snnkit.kernels.sequence import run_steps
from snnkit.kernels.state import idle, state_dtype
from snnkit.kernels.threads import run_blocks


@operator(
    "cubalif",
    "(Tensor x, Tensor? i0, Tensor? v0, Tensor? wait0, Tensor syn, int syn_repeat, Tensor decay, int decay_repeat, "
    "Tensor threshold, int threshold_repeat, bool to_zero, bool detach, int refractory, int kind, float peak, "
    "float scale, bool want_state) -> (Tensor, Tensor, Tensor, Tensor)",
)
def cubalif(
    x: Tensor,
    i0: Tensor | None,
    v0: Tensor | None,
    wait0: Tensor | None,
    syn: Tensor,
    syn_repeat: int,
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
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x [T, M] → (s [T, M], final i, v and wait [M]); the states are empty where they are not wanted."""
    from snnkit.kernels.cubalif import cpu

    steps, width = x.shape
    s = output_like(x)
    i_end = empty(x, width if want_state else 0)
    v_end = empty(x, width if want_state else 0)
    wait_end = torch.empty(width if want_state and refractory else 0, dtype=torch.int32)
    nothing, no_wait = empty(x, 0), torch.empty(0, dtype=torch.int32)
    run_blocks(
        cpu.forward,
        steps,
        width,
        array(x),
        array(nothing if i0 is None else i0),
        array(nothing if v0 is None else v0),
        array(no_wait if wait0 is None else wait0),
        array(syn),
        syn_repeat,
        array(decay),
        decay_repeat,
        array(threshold),
        threshold_repeat,
        to_zero,
        refractory,
        array(s),
        array(i_end),
        array(v_end),
        array(wait_end),
    )
    return s, i_end, v_end, wait_end


@cubalif.shapes
def _(
    x: Tensor,
    i0: Tensor | None,
    v0: Tensor | None,
    wait0: Tensor | None,
    syn: Tensor,
    syn_repeat: int,
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
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    width = x.shape[1] if want_state else 0
    return (
        torch.empty_like(x),
        x.new_empty(width, dtype=state_dtype(x)),
        x.new_empty(width, dtype=state_dtype(x)),
        x.new_empty(width if refractory else 0, dtype=torch.int32),
    )


@operator(
    "cubalif_backward",
    "(Tensor grad_s, Tensor? grad_i, Tensor? grad_v, Tensor x, Tensor? i0, Tensor? v0, Tensor? wait0, Tensor syn, "
    "int syn_repeat, Tensor decay, int decay_repeat, Tensor threshold, int threshold_repeat, bool to_zero, "
    "bool detach, int refractory, int kind, float peak, float scale, bool want_i0, bool want_v0, bool want_syn, "
    "bool want_decay, bool want_threshold) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def cubalif_backward(
    grad_s: Tensor,
    grad_i: Tensor | None,
    grad_v: Tensor | None,
    x: Tensor,
    i0: Tensor | None,
    v0: Tensor | None,
    wait0: Tensor | None,
    syn: Tensor,
    syn_repeat: int,
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
    want_i0: bool,
    want_v0: bool,
    want_syn: bool,
    want_decay: bool,
    want_threshold: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients with respect to x [T, M], i0, v0 [M], the decays and threshold [P]; empty where not wanted."""
    from snnkit.kernels.cubalif import cpu

    steps, width = x.shape
    grad_x = output_like(x)
    grad_i0 = empty(x, width if want_i0 else 0)
    grad_v0 = empty(x, width if want_v0 else 0)
    grad_syn = empty(x, width if want_syn else 0)
    grad_decay = empty(x, width if want_decay else 0)
    grad_threshold = empty(x, width if want_threshold else 0)
    nothing, no_wait = empty(x, 0), torch.empty(0, dtype=torch.int32)
    number = array(x).dtype.type
    run_blocks(
        cpu.backward,
        steps,
        width,
        array(x),
        array(nothing if i0 is None else i0),
        array(nothing if v0 is None else v0),
        array(no_wait if wait0 is None else wait0),
        array(syn),
        syn_repeat,
        array(decay),
        decay_repeat,
        array(threshold),
        threshold_repeat,
        to_zero,
        detach,
        refractory,
        kind,
        number(peak),
        number(scale),
        array(grad_s.contiguous()),
        array(nothing if grad_i is None else grad_i.contiguous()),
        array(nothing if grad_v is None else grad_v.contiguous()),
        array(grad_x),
        array(grad_i0),
        array(grad_v0),
        array(grad_syn),
        array(grad_decay),
        array(grad_threshold),
    )
    if want_syn:
        grad_syn = reduce_to(grad_syn, syn.numel(), syn_repeat)
    if want_decay:
        grad_decay = reduce_to(grad_decay, decay.numel(), decay_repeat)
    if want_threshold:
        grad_threshold = reduce_to(grad_threshold, threshold.numel(), threshold_repeat)
    return grad_x, grad_i0, grad_v0, grad_syn, grad_decay, grad_threshold


@cubalif_backward.shapes
def _(
    grad_s: Tensor,
    grad_i: Tensor | None,
    grad_v: Tensor | None,
    x: Tensor,
    i0: Tensor | None,
    v0: Tensor | None,
    wait0: Tensor | None,
    syn: Tensor,
    syn_repeat: int,
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
    want_i0: bool,
    want_v0: bool,
    want_syn: bool,
    want_decay: bool,
    want_threshold: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(x),
        x.new_empty(x.shape[1] if want_i0 else 0, dtype=state_dtype(x)),
        x.new_empty(x.shape[1] if want_v0 else 0, dtype=state_dtype(x)),
        syn.new_empty(syn.shape[0] if want_syn else 0),
        decay.new_empty(decay.shape[0] if want_decay else 0),
        threshold.new_empty(threshold.shape[0] if want_threshold else 0),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, i0, v0, wait0, syn, syn_repeat, decay, decay_repeat, threshold = inputs[:9]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, i0, v0, wait0, syn, decay, threshold)
    ctx.options = (syn_repeat, decay_repeat, *inputs[9:16])


def _backward(
    ctx: Any, grad_s: Tensor | None, grad_i: Tensor | None, grad_v: Tensor | None, grad_wait: Tensor | None
) -> tuple[Any, ...]:
    x, i0, v0, wait0, syn, decay, threshold = ctx.saved_tensors
    syn_repeat, decay_repeat, *options = ctx.options
    needs = ctx.needs_input_grad
    wanted = (needs[1], needs[2], needs[4], needs[6], needs[8])
    grad_x, *grads = cubalif_backward(
        torch.zeros_like(x) if grad_s is None else grad_s,
        grad_i,
        grad_v,
        x,
        i0,
        v0,
        wait0,
        syn,
        syn_repeat,
        decay,
        decay_repeat,
        threshold,
        *options,
        *wanted,
    )
    grad_i0, grad_v0, grad_syn, grad_decay, grad_threshold = (
        grad if want else None for grad, want in zip(grads, wanted)
    )
    return (grad_x, grad_i0, grad_v0, None, grad_syn, None, grad_decay, None, grad_threshold, *[None] * 8)


cubalif.gradient(_setup, _backward)
cubalif_backward.no_gradient()
cubalif.on_gpu("snnkit.kernels.cubalif.gpu", "forward")
cubalif_backward.on_gpu("snnkit.kernels.cubalif.gpu", "backward")


def sequence(
    x: Tensor, state: CubaLIFState | None, params: CubaLIFParams, want_state: bool = True
) -> tuple[Tensor, CubaLIFState | None]:
    """x [T, B, …] from `state` (None: at rest) → (s [T, B, …], final state; None where not wanted).

    Fused for the surrogates of this package, on a GPU where Triton is installed, else step by step; the spikes are
    equal bit for bit.
    """
    lif = params.lif
    if lif.surrogate.kind < 0 or not runs_fused(x, on_gpu=True):
        return run_steps(step, x, initial_state(x, lif.refractory) if state is None else state, params)
    flat, layout = prepare(x)
    s, i, v, wait = cubalif(
        flat,
        None if state is None else layout.flatten_state(state.i.to(state_dtype(x))),
        None if state is None else layout.flatten_state(state.v.to(state_dtype(x))),
        layout.flatten_state(state.wait) if state is not None and lif.refractory else None,
        *layout.parameter(params.decay_syn),
        *layout.parameter(lif.decay),
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
    return out, CubaLIFState(layout.restore_state(i), v, layout.restore_state(wait) if lif.refractory else idle(v))
