"""Batch norm, LIF and average pooling in one pass over a sequence: the operator with its gradient.

What torch's separate operators give, bit for bit, spikes, states and gradients. The backward pass recomputes from the
norm's input; the norm's own part of it is torch's operator.

In bfloat16 everything is computed in float32, parameters and states are float32, and what one of the layers would hand
to the next is rounded: behind the norm and behind the pool, and on the way back behind the pool and behind the neuron.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.kernels.layout import Layout, array, empty, prepare, reduce_to
from snnkit.kernels.lif.reference import LIFParams, LIFState
from snnkit.kernels.memory import output, output_like
from snnkit.kernels.norm_lif.statistics import Norm, terms
from snnkit.kernels.operator import refuse_second
from snnkit.kernels.state import idle, state_dtype
from snnkit.kernels.threads import block_size, run_blocks


class Pool(NamedTuple):
    """Average pooling with windows side by side, of spikes, or (`before`) of what the norm gives."""

    height: int
    width: int
    before: bool = False

    def fits(self, x: Tensor) -> bool:
        """Whether windows cover each image of x [T, B, C, H, W] exactly."""
        return x.dim() == 5 and x.shape[3] % self.height == 0 and x.shape[4] % self.width == 0

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """[T, B, C, H/height, W/width] of x [T, B, C, H, W]."""
        return (*x.shape[:3], x.shape[3] // self.height, x.shape[4] // self.width)


class _Plan(NamedTuple):
    """What the kernels need to know beside tensors."""

    layout: Layout
    small: Layout
    """Of what is pooled."""
    neurons: Layout
    repeat: int
    window: tuple[int, int, int, int]
    before: bool
    decay_repeat: int
    threshold_repeat: int
    params: LIFParams
    norm: Norm
    once: bool
    want_state: bool

    @property
    def pooled(self) -> bool:
        return self.window[2] * self.window[3] > 1

    @property
    def group(self) -> int:
        """Elements of a row of windows."""
        columns, inner, height, _ = self.window
        return columns * inner * height

    def given(
        self, x: Tensor, scale: Tensor, shift: Tensor, v0: Any, wait0: Any, decay: Tensor, threshold: Tensor
    ) -> Any:
        """What both kernels begin with."""
        return (
            array(x),
            array(scale),
            array(shift),
            self.repeat,
            self.once,
            self.window,
            self.before,
            array(empty(scale, 0) if v0 is None else v0),
            array(torch.empty(0, dtype=torch.int32) if wait0 is None else wait0),
            array(decay),
            self.decay_repeat,
            array(threshold),
            self.threshold_repeat,
            self.params.reset_to_zero,
        )

    def blocks(self, x: Tensor) -> tuple[int, int, int]:
        """(steps, groups, groups per block) for `run_blocks`."""
        groups = x.shape[1] // self.group
        size = block_size(x.shape[0], x.shape[1], torch.get_num_threads())
        return x.shape[0] * self.group, groups, max(1, size // self.group)


def _image(layout: Layout, pool: Pool) -> tuple[int, int, int, int]:
    """(columns, inner, height, width): elements of memory beside each other as `rows.pool` takes them."""
    if layout.order[-1] == len(layout.order) - 1:  # [T, B, C, H, W]
        return layout.shape[-1], 1, pool.height, pool.width
    return layout.shape[-2], layout.shape[-1], pool.height, pool.width  # [T, B, H, W, C]


def takes(x: Tensor) -> bool:
    """Whether the memory of x [T, B, C, …] is laid out as the kernels want it."""
    if x.is_contiguous():
        return True
    if x.dim() != 5 or not x.permute(0, 1, 3, 4, 2).is_contiguous():
        return False
    # torch decides by the shape where both orders are possible, and its sums depend on that
    return x.shape[2] > 1 and x.shape[3] * x.shape[4] > 1


class _NormLIF(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gain: Tensor | None,
        bias: Tensor | None,
        v0: Tensor | None,
        wait0: Tensor | None,
        decay: Tensor,
        threshold: Tensor,
        plan: _Plan,
    ) -> tuple[Tensor, Tensor, Tensor]:
        from snnkit.kernels.norm_lif import cpu

        flat = plan.layout.flatten(x)
        out = plan.small if plan.pooled else plan.layout
        scale, shift = terms(plan.norm, gain, bias, plan.once)
        s = output(flat, flat.shape[0], out.width)
        width = plan.neurons.width if plan.want_state else 0
        v_end = empty(scale, width)
        wait_end = torch.empty(width if plan.params.refractory else 0, dtype=torch.int32)
        steps, groups, block = plan.blocks(flat)
        run_blocks(
            cpu.forward,
            steps,
            groups,
            *plan.given(flat, scale, shift, v0, wait0, decay, threshold),
            plan.params.refractory,
            array(s),
            array(v_end),
            array(wait_end),
            block=block,
        )
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, gain, bias, v0, wait0, decay, threshold, scale, shift)
        ctx.mark_non_differentiable(wait_end)
        return out.restore(s), v_end, wait_end

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        saved, want = ctx.saved_tensors, ctx.needs_input_grad
        with torch.no_grad():
            found = _backward(grads[0], grads[1], saved, ctx.plan, want)
        return (*refuse_second("norm and LIF in one", found, [g for g in (*grads, *saved) if g is not None]), None)


def _backward(
    grad_s: Tensor | None, grad_v: Tensor | None, saved: Any, plan: _Plan, want: tuple[bool, ...]
) -> list[Tensor | None]:
    """Gradients of x, gain, bias, v0, wait0, decay and threshold; None where they are not wanted."""
    from snnkit.kernels.norm_lif import cpu

    x, gain, _, v0, wait0, decay, threshold, scale, shift = saved
    flat = plan.layout.flatten(x)
    out = plan.small if plan.pooled else plan.layout
    given = torch.zeros(flat.shape[0], out.width, dtype=flat.dtype) if grad_s is None else out.flatten(grad_s)
    grad_y = output_like(flat)
    width = plan.neurons.width
    grad_v0, grad_decay, grad_threshold = (empty(scale, width if want[k] else 0) for k in (3, 5, 6))
    one = array(scale).dtype.type
    surrogate = plan.params.surrogate
    peak, scaling = surrogate.coefficients()
    steps, groups, block = plan.blocks(flat)
    run_blocks(
        cpu.backward,
        steps,
        groups,
        *plan.given(flat, scale, shift, v0, wait0, decay, threshold),
        plan.params.detach_reset,
        plan.params.refractory,
        surrogate.kind,
        one(peak),
        one(scaling),
        array(given.contiguous()),
        array(empty(scale, 0) if grad_v is None else grad_v.contiguous()),
        array(grad_y),
        array(grad_v0),
        array(grad_decay),
        array(grad_threshold),
        block=block,
    )
    normal = plan.norm.backward(plan.layout.restore(grad_y).flatten(0, 1), x.flatten(0, 1), gain, want[:3])
    grad_x = None if normal[0] is None else normal[0].unflatten(0, x.shape[:2])
    return [
        grad_x,
        normal[1],
        normal[2],
        grad_v0 if want[3] else None,
        None,
        reduce_to(grad_decay, decay.numel(), plan.decay_repeat) if want[5] else None,
        reduce_to(grad_threshold, threshold.numel(), plan.threshold_repeat) if want[6] else None,
    ]


def sequence(
    x: Tensor,
    norm: Norm,
    gain: Tensor | None,
    bias: Tensor | None,
    state: LIFState | None,
    params: LIFParams,
    pool: Pool | None,
    once: bool,
    want_state: bool = True,
) -> tuple[Tensor, LIFState | None]:
    """x [T, B, C, …] through norm, LIF and pool → (out [T, B, C, …], final state; None where not wanted).

    Args:
        x: for which `takes`.
        norm: mean and rate of each channel.
        gain, bias: [C], None for 1 and 0; with gradients, as x, state and parameters.
        state: of the neurons, as `kernels.lif.sequence`; params too.
        pool: for which `fits`; None for none.
        once: as `statistics.rounds_once`.
        want_state: whether the final state is wanted.
    """
    layout = prepare(x.detach(), low=True)[1]
    small = layout if pool is None else Layout(layout.order, tuple(pool.shape(x)[d] for d in layout.order))
    before = pool is not None and pool.before
    neurons = small if before else layout
    decay, decay_repeat = neurons.parameter(params.decay)
    threshold, threshold_repeat = neurons.parameter(params.threshold)
    counting = state is not None and params.refractory > 0
    plan = _Plan(
        layout,
        small,
        neurons,
        layout.parameter(norm.mean.view(-1, *[1] * (x.dim() - 3)))[1],
        (1, 1, 1, 1) if pool is None else _image(layout, pool),
        before,
        decay_repeat,
        threshold_repeat,
        params,
        norm,
        once,
        want_state,
    )
    out, v, wait = _NormLIF.apply(
        x,
        gain,
        bias,
        None if state is None else neurons.flatten_state(state.v.to(state_dtype(x))),
        neurons.flatten_state(state.wait) if state is not None and counting else None,
        decay,
        threshold,
        plan,
    )
    if not want_state:
        return out, None
    v = neurons.restore_state(v)
    return out, LIFState(v, neurons.restore_state(wait) if params.refractory else idle(v))
