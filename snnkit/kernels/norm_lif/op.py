"""Batch norm, LIF and average pooling in one pass over a sequence: the operator with its gradient.

On the CPU what torch's separate operators give, bit for bit, spikes, states and gradients; on a GPU the same, from the
same scale and shift. The backward pass recomputes from the norm's input; the norm's own part of it is that of
`Norm.backward` or `Counted.backward`.

In low precision everything is computed in float32, parameters and states are float32, and what one of the layers would
hand to the next is rounded: behind the norm and behind the pool, and on the way back behind the pool and the neuron.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import UsageError
from snnkit.kernels.layout import Layout, prepare, reduce_to
from snnkit.kernels.lif.reference import LIFParams, LIFState
from snnkit.kernels.norm_lif.counted import Counted
from snnkit.kernels.norm_lif.statistics import Norm, kernels_for
from snnkit.kernels.operator import is_wrapped, refuse_second
from snnkit.kernels.state import idle, state_dtype

MOST_PIXELS = 16
"""Of a window beside a neuron on a GPU, where the states of its neurons are held in registers."""


class Pool(NamedTuple):
    """Average pooling with windows side by side, of spikes, or (`before`) of what the norm gives."""

    height: int
    width: int
    before: bool = False

    def fits(self, x: Tensor) -> bool:
        """Whether windows cover each image of x [T, B, C, H, W] exactly."""
        return x.dim() == 5 and x.shape[3] % self.height == 0 and x.shape[4] % self.width == 0

    def held(self, x: Tensor) -> bool:
        """Whether a kernel on the device of x can hold the neurons of a window."""
        return x.device.type == "cpu" or self.height * self.width <= MOST_PIXELS

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """[T, B, C, H/height, W/width] of x [T, B, C, H, W]."""
        return (*x.shape[:3], x.shape[3] // self.height, x.shape[4] // self.width)


class Plan(NamedTuple):
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
    norm: Norm | Counted
    once: bool
    want_state: bool

    @property
    def pooled(self) -> bool:
        return self.window[2] * self.window[3] > 1

    @property
    def out(self) -> Layout:
        """Of the output."""
        return self.small if self.pooled else self.layout


def image(layout: Layout, pool: Pool) -> tuple[int, int, int, int]:
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
        plan: Plan,
    ) -> tuple[Tensor, Tensor, Tensor]:
        scale, shift = plan.norm.terms(gain, bias, plan.once)
        flat = plan.layout.flatten(x)
        s, v_end, wait_end = kernels_for(x).forward(plan, flat, scale, shift, v0, wait0, decay, threshold)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, gain, bias, v0, wait0, decay, threshold, scale, shift)
        ctx.mark_non_differentiable(wait_end)
        return plan.out.restore(s).detach(), v_end, wait_end  # no view, so that it may be written in place

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        saved, want = ctx.saved_tensors, ctx.needs_input_grad
        if any(
            g is not None and is_wrapped(g) for g in grads
        ):  # several gradients at once, as `jacobian(vectorize=True)` asks for
            raise UsageError(
                "gradients of norm and LIF in one for several outputs at once are not available",
                why="the fused kernel takes one gradient of its output at a time",
                fix="take them one after the other (vectorize=False, is_grads_batched=False), or run the model inside "
                "`with snnkit.kernels.reference_only():`",
            )
        with torch.no_grad():
            found = _backward(grads[0], grads[1], saved, ctx.plan, want)
        return (*refuse_second("norm and LIF in one", found, [g for g in (*grads, *saved) if g is not None]), None)


def _backward(
    grad_s: Tensor | None, grad_v: Tensor | None, saved: Any, plan: Plan, want: tuple[bool, ...]
) -> list[Tensor | None]:
    """Gradients of x, gain, bias, v0, wait0, decay and threshold; None where they are not wanted."""
    x, gain, _, *neuron, scale, shift = saved
    decay, threshold = neuron[2:]
    flat = plan.layout.flatten(x)
    given = flat.new_zeros(flat.shape[0], plan.out.width) if grad_s is None else plan.out.flatten(grad_s)
    grad_y, grad_v0, grad_decay, grad_threshold = kernels_for(x).backward(
        plan, given, grad_v, (want[3], want[5], want[6]), flat, scale, shift, *neuron
    )
    normal = plan.norm.backward(grad_y, flat, plan.layout, gain, want[:3])
    grad_x = None if normal[0] is None else plan.layout.restore(normal[0])
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
    norm: Norm | Counted,
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
        pool: for which `fits` and `held`; None for none.
        once: as `statistics.rounds_once`.
        want_state: whether the final state is wanted.
    """
    layout = prepare(x.detach(), low=True)[1]
    small = layout if pool is None else layout.resized(pool.shape(x))
    before = pool is not None and pool.before
    neurons = small if before else layout
    decay, decay_repeat = neurons.parameter(params.decay)
    threshold, threshold_repeat = neurons.parameter(params.threshold)
    counting = state is not None and params.refractory > 0
    plan = Plan(
        layout,
        small,
        neurons,
        layout.parameter(norm.mean.view(-1, *[1] * (x.dim() - 3)))[1],
        (1, 1, 1, 1) if pool is None else image(layout, pool),
        before,
        decay_repeat,
        threshold_repeat,
        params,
        norm,
        once and not norm.twice,
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
