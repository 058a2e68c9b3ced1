"""LI over a sequence: the fused kernel as a torch operator with its gradient, and the choice of implementation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.layout import array, empty, prepare, reduce_to, runs_fused
from snnkit.kernels.li.reference import LIParams, LIState, initial_state, step
from snnkit.kernels.memory import output_like
from snnkit.kernels.operator import operator
from snnkit.kernels.sequence import run_steps
from snnkit.kernels.state import state_dtype
from snnkit.kernels.threads import run_blocks


@operator("li", "(Tensor x, Tensor? v0, Tensor decay, int decay_repeat) -> Tensor")
def li(x: Tensor, v0: Tensor | None, decay: Tensor, decay_repeat: int) -> Tensor:
    """x [T, M] → v [T, M]."""
    from snnkit.kernels.li import cpu

    steps, width = x.shape
    out = output_like(x)
    initial = array(empty(x, 0) if v0 is None else v0)
    run_blocks(cpu.forward, steps, width, array(x), initial, array(decay), decay_repeat, array(out))
    return out


@li.shapes
def _(x: Tensor, v0: Tensor | None, decay: Tensor, decay_repeat: int) -> Tensor:
    return torch.empty_like(x, dtype=state_dtype(x))


@operator(
    "li_backward",
    "(Tensor grad, Tensor out, Tensor? v0, Tensor decay, int decay_repeat, bool want_v0, bool want_decay) "
    "-> (Tensor, Tensor, Tensor)",
)
def li_backward(
    grad: Tensor, out: Tensor, v0: Tensor | None, decay: Tensor, decay_repeat: int, want_v0: bool, want_decay: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to x [T, M], v0 [M] and decay [P]; empty where not wanted."""
    from snnkit.kernels.li import cpu

    steps, width = out.shape
    grad_x = output_like(out)
    grad_v0 = empty(out, width if want_v0 else 0)
    grad_decay = empty(out, width if want_decay else 0)
    run_blocks(
        cpu.backward,
        steps,
        width,
        array(out),
        array(empty(out, 0) if v0 is None else v0),
        array(decay),
        decay_repeat,
        array(grad.contiguous()),
        array(grad_x),
        array(grad_v0),
        array(grad_decay),
    )
    if want_decay:
        grad_decay = reduce_to(grad_decay, decay.numel(), decay_repeat)
    return grad_x, grad_v0, grad_decay


@li_backward.shapes
def _(
    grad: Tensor, out: Tensor, v0: Tensor | None, decay: Tensor, decay_repeat: int, want_v0: bool, want_decay: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(out),
        out.new_empty(out.shape[1] if want_v0 else 0),
        out.new_empty(decay.shape[0] if want_decay else 0),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    _, v0, decay, ctx.decay_repeat = inputs
    ctx.save_for_backward(output, v0, decay)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    out, v0, decay = ctx.saved_tensors
    _, want_v0, want_decay, _ = ctx.needs_input_grad
    grad_x, grad_v0, grad_decay = li_backward(grad, out, v0, decay, ctx.decay_repeat, want_v0, want_decay)
    return grad_x, grad_v0 if want_v0 else None, grad_decay if want_decay else None, None


li.gradient(_setup, _backward)
li_backward.no_gradient()
li.on_gpu("snnkit.kernels.li.gpu", "forward")
li_backward.on_gpu("snnkit.kernels.li.gpu", "backward")


def sequence(
    x: Tensor, state: LIState | None, params: LIParams, want_state: bool = True
) -> tuple[Tensor, LIState | None]:
    """x [T, B, …] from `state` (None: at rest) → (v [T, B, …], final state; None where not wanted).

    Fused on the CPU, and on a GPU where Triton is installed, else step by step; equal bit for bit.
    """
    if not runs_fused(x, on_gpu=True):
        return run_steps(step, x, initial_state(x) if state is None else state, params)
    flat, layout = prepare(x)
    v0 = None if state is None else layout.flatten_state(state.v.to(state_dtype(x)))
    out = layout.restore(li(flat, v0, *layout.parameter(params.decay)))
    return out, LIState(out[-1]) if want_state else None
