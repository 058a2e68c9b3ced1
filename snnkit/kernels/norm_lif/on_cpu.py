"""Batch norm, LIF and average pooling on the CPU: the compiled kernels, called block by block for a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnkit.kernels.layout import array, empty
from snnkit.kernels.memory import output, output_like
from snnkit.kernels.state import state_dtype
from snnkit.kernels.threads import block_size, run_blocks

if TYPE_CHECKING:
    from snnkit.kernels.norm_lif.op import Plan

PIXELS = 1 << 12
"""Elements of a block of pooling: their numbers stay in the first-level cache."""


def terms(mean: Tensor, rate: Tensor, gain: Tensor | None, bias: Tensor | None, once: bool) -> tuple[Tensor, Tensor]:
    """(scale, shift) [C]; see `statistics.terms`."""
    from snnkit.kernels.norm_lif import cpu

    gain = torch.ones_like(rate) if gain is None else gain
    bias = torch.zeros_like(rate) if bias is None else bias
    scale, shift = torch.empty_like(rate), torch.empty_like(rate)
    given = [array(v.contiguous()) for v in (mean, rate, gain, bias)]
    cpu.terms(*given, once, array(scale), array(shift))
    return scale, shift


def forward(plan: Plan, x: Tensor, scale: Tensor, *neuron: Any) -> tuple[Tensor, Tensor, Tensor]:
    """x [T, M] → s [T, M or P], final v and wait [M or P], empty where they are not wanted.

    scale, and in front of `neuron` shift: [C]; then v0, wait0 [M or P], decay and threshold.
    """
    from snnkit.kernels.norm_lif import cpu

    s = output(x, x.shape[0], plan.out.width)
    width = plan.neurons.width if plan.want_state else 0
    v = empty(scale, width)
    wait = torch.empty(width if plan.params.refractory else 0, dtype=torch.int32, device="cpu")
    steps, groups, block = _blocks(plan, x)
    run_blocks(
        cpu.forward,
        steps,
        groups,
        *_given(plan, x, scale, *neuron),
        plan.params.refractory,
        array(s),
        array(v),
        array(wait),
        block=block,
    )
    return s, v, wait


def backward(
    plan: Plan,
    grad_s: Tensor,
    grad_v: Tensor | None,
    want: tuple[bool, bool, bool],
    x: Tensor,
    scale: Tensor,
    *neuron: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of what the norm gives [T, M], and those of v0, decay and threshold per neuron, empty where they are
    not in `want`; from those of s and of the final v."""
    from snnkit.kernels.norm_lif import cpu

    grad_y = output_like(x)
    grad_v0, grad_decay, grad_threshold = (empty(scale, plan.neurons.width if wanted else 0) for wanted in want)
    one = array(scale).dtype.type
    surrogate = plan.params.surrogate
    peak, scaling = surrogate.coefficients()
    steps, groups, block = _blocks(plan, x)
    run_blocks(
        cpu.backward,
        steps,
        groups,
        *_given(plan, x, scale, *neuron),
        plan.params.detach_reset,
        plan.params.refractory,
        surrogate.kind,
        one(peak),
        one(scaling),
        array(grad_s.contiguous()),
        array(empty(scale, 0) if grad_v is None else grad_v.contiguous()),
        array(grad_y),
        array(grad_v0),
        array(grad_decay),
        array(grad_threshold),
        block=block,
    )
    return grad_y, grad_v0, grad_decay, grad_threshold


def _given(
    plan: Plan, x: Tensor, scale: Tensor, shift: Tensor, v0: Any, wait0: Any, decay: Tensor, threshold: Tensor
) -> Any:
    """What both kernels begin with."""
    return (
        array(x),
        array(scale),
        array(shift),
        plan.repeat,
        plan.once,
        plan.window,
        plan.before,
        array(empty(scale, 0) if v0 is None else v0),
        array(torch.empty(0, dtype=torch.int32, device="cpu") if wait0 is None else wait0),
        array(decay),
        plan.decay_repeat,
        array(threshold),
        plan.threshold_repeat,
        plan.params.reset_to_zero,
    )


def _blocks(plan: Plan, x: Tensor) -> tuple[int, int, int]:
    """(steps, groups, groups per block) for `run_blocks`; a group is a row of windows."""
    columns, inner, height, _ = plan.window
    group = columns * inner * height
    size = block_size(x.shape[0], x.shape[1], torch.get_num_threads())
    return x.shape[0] * group, x.shape[1] // group, max(1, size // group)


def average(window: tuple[int, int, int, int], x: Tensor, width: int) -> Tensor:
    """Means of the windows of x [T, M] → [T, `width`]; window as `op.image` gives it."""
    from snnkit.kernels.norm_lif import layers_cpu

    y = output(x, x.shape[0], width)
    _pool(layers_cpu.average, window, x.numel(), x, y)
    return y


def share(window: tuple[int, int, int, int], grad: Tensor, width: int) -> Tensor:
    """The gradient of `average`: of x, [T, `width`], from that of what it gives."""
    from snnkit.kernels.norm_lif import layers_cpu

    grad_x = output(grad, grad.shape[0], width)
    _pool(layers_cpu.share, window, grad_x.numel(), grad, grad_x)
    return grad_x


def _pool(kernel: Any, window: tuple[int, int, int, int], size: int, source: Tensor, out: Tensor) -> None:
    """kernel(source, out), `size` being the elements of the larger one."""
    columns, inner, height, width = window
    group = columns * inner * height
    pixels = torch.empty(0, dtype=state_dtype(source), device="cpu").numpy().dtype.type(height * width)
    first, last = (array(v).reshape(1, -1) for v in (source, out))
    run_blocks(kernel, group, size // group, first, window, pixels, last, block=max(1, PIXELS // group))
