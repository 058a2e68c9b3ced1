"""Batch norm, LIF and average pooling on a GPU: one launch in each direction beside those of `channels_on_gpu`, which
has the norm's statistics and its own backward pass. Nothing waits for the device.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from snnkit.kernels.layout import empty
from snnkit.kernels.lif.gpu import halves
from snnkit.kernels.norm_lif import gpu, gpu_back, pool_gpu
from snnkit.kernels.tiles import launch, plan, spread, state_row

if TYPE_CHECKING:
    from snnkit.kernels.norm_lif.op import Plan


REGISTERS = 40
"""Of a thread of the kernel forward, so that 12 warps of every quarter of a multiprocessor are in flight."""


BACK = 88
"""Of one of the kernel backward where neurons can be refractory: left alone, the compiler saves on registers there, and
puts values into memory."""


def terms(mean: Tensor, rate: Tensor, gain: Tensor | None, bias: Tensor | None, once: bool) -> tuple[Tensor, Tensor]:
    """(scale, shift) [C]; see `statistics.terms`."""
    scale, shift = torch.empty_like(rate), torch.empty_like(rate)
    launch(gpu.terms, mean[None], rate, gain, bias, scale, shift, ONCE=once)
    return scale, shift


def forward(
    about: Plan, x: Tensor, scale: Tensor, shift: Tensor, *neuron: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """x [T, M] → s [T, M or P], final v and wait [M or P], empty where they are not wanted.

    scale, shift: [C]; neuron: v0, wait0 [M or P], decay and threshold.
    """
    s = empty(x, x.shape[0], about.out.width)
    v = state_row(_of_neurons(about, x), about.want_state)
    wait = state_row(_of_neurons(about, x), about.want_state and about.params.refractory > 0, torch.int32)
    grid = _grid(about, holds=not about.before)
    launch(
        gpu.forward, x, *_inputs(about, scale, shift, *neuron), s, v, wait, *grid.lines, about.params.refractory,
        over=about.out.width, wide=grid.wide, per=grid.per, PAIRS=grid.pairs, EACH=_differs(about, *neuron[2:]),
        **_switches(about), **_registers(about, grid, x, *neuron[2:]),
    )  # fmt: skip
    return s, v, wait


def backward(
    about: Plan,
    grad_s: Tensor,
    grad_v: Tensor | None,
    want: tuple[bool, bool, bool],
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    *neuron: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of what the norm gives [T, M], and those of v0, decay and threshold per neuron, empty where they are
    not wanted. grad_s [T, M or P], grad_v [M or P]."""
    state, params = _of_neurons(about, x), about.params
    grad_y = torch.empty_like(x)
    found = [state_row(state, wanted) for wanted in want]
    learned = [value for value, wanted in zip(neuron[2:], want[1:]) if wanted and value is not None]
    grid = _grid(about)
    large = about.window[2] * about.window[3] > 4
    far = about.pooled and (large or (learned != [] and not grid.pairs))  # where offsets take registers too
    way = plan(state, min(2, halves([], learned, params.refractory > 0) + far))
    rooms = way.room(state), way.room(state, torch.int32) if params.refractory else None
    launch(
        gpu_back.backward, x, *_inputs(about, scale, shift, *neuron), *rooms, grad_s, grad_v, grad_y, *found,
        *grid.lines, params.refractory, *params.surrogate.coefficients(), over=state.shape[1], wide=grid.wide,
        PAIRS=grid.pairs, per=grid.per if about.before else 4,
        KIND=params.surrogate.kind, DETACH=params.detach_reset, **way.options(), **_switches(about),
        **({"maxnreg": BACK} if params.refractory else {}),
    )  # fmt: skip
    return grad_y, found[0], found[1], found[2]


class _Grid(NamedTuple):
    """How windows lie in memory, as the kernels take it."""

    lines: tuple[int | None, int | None]
    """Elements of a row of windows, and channels beside each other, in units of `wide`; None where there are none."""
    wide: int
    pairs: bool
    """Whether a window has two pixels side by side in memory."""
    per: int
    """Windows of a thread at most, so that it reads four pixels at a time."""


def _grid(about: Plan, holds: bool = False) -> _Grid:
    """`holds`: a thread has the states of all neurons of its windows, and takes one at a time where these are large."""
    columns, inner, height, across = about.window
    if not about.pooled:
        return _Grid((None, None), 4 if about.layout.width % 4 == 0 else 1, False, 4)
    short = columns // across * inner
    pairs = across == 2 and inner == 1
    large = holds and not pairs and height * across > 4
    wide = 4 if (short if inner == 1 else inner) % 4 == 0 and not large else 1
    return _Grid((short // wide, None if inner == 1 else inner // wide), wide, pairs, 2 if pairs else 4)


def _of_neurons(about: Plan, x: Tensor) -> Tensor:
    """As x in dtype, device and steps, and as the neurons in width: no memory is behind it."""
    return x.new_empty(()).expand(x.shape[0], about.neurons.width)


def _differs(about: Plan, *parameters: Tensor | None) -> bool:
    """Whether a parameter of the neuron may have several values in a window."""
    if about.before or not about.pooled:
        return False
    repeats = about.decay_repeat, about.threshold_repeat
    channel = about.norm.mean.numel(), about.repeat
    return any(
        value is not None and value.numel() > 1 and (value.numel(), repeat) != channel
        for value, repeat in zip(parameters, repeats)
    )


def _registers(about: Plan, grid: _Grid, x: Tensor, *parameters: Tensor | None) -> dict[str, int]:
    """In the usual cases the compiler is held to so many registers, which are enough, and takes more unless told so."""
    usual = about.window[2] * about.window[3] <= 4 and about.params.refractory == 0 and not about.want_state
    usual = usual and (x.dtype == torch.float32 or (grid.pairs and x.dtype != torch.float64))
    return {"maxnreg": REGISTERS} if usual and all(p is None or p.numel() == 1 for p in parameters) else {}


def _inputs(
    about: Plan,
    scale: Tensor,
    shift: Tensor,
    v0: Tensor | None,
    wait0: Tensor | None,
    decay: Tensor | None,
    threshold: Tensor | None,
) -> list[Any]:
    """What both kernels begin with, behind x."""
    return [
        *(scale, shift, *spread(scale, about.repeat)[1:]),
        *(v0, wait0 if about.params.refractory else None),
        *spread(decay, about.decay_repeat),
        *spread(threshold, about.threshold_repeat),
    ]


def _switches(about: Plan) -> dict[str, Any]:
    return {
        "TO_ZERO": about.params.reset_to_zero,
        "MASKED": about.params.refractory > 0,
        "ONCE": about.once,
        "BEFORE": about.before,
        "HIGH": about.window[2],
        "ACROSS": about.window[3],
    }


def average(window: tuple[int, int, int, int], x: Tensor, width: int) -> Tensor:
    """Means of the windows of x [T, M] → [T, `width`]; window as `op.image` gives it."""
    y = empty(x, x.shape[0], width)
    lines, switches = _pool(window)
    per = switches["UNIT"]  # windows of a thread, at most: those whose pixels lie in one piece
    if switches["PAIRS"]:
        per = min(per, 1 if x.dtype == torch.float64 else 2)
    elif window[1] == 1 and window[3] > 2:
        per = 1
    launch(pool_gpu.average, x.view(1, -1), y, *lines, over=y.numel(), per=per, **switches)
    return y


def share(window: tuple[int, int, int, int], grad: Tensor, width: int) -> Tensor:
    """The gradient of `average`: of x, [T, `width`], from that of what it gives."""
    grad_x = empty(grad, grad.shape[0], width)
    lines, switches = _pool(window)
    over, per = grad_x, 4  # pixels
    if window[1] > 1:
        over, per = grad, switches["UNIT"]
    elif switches["PAIRS"]:
        per = 2 * switches["UNIT"]
    launch(pool_gpu.share, grad_x.view(1, -1), grad, *lines, over=over.numel(), per=per, **switches)
    return grad_x


def _pool(window: tuple[int, int, int, int]) -> tuple[tuple[int, int | None], dict[str, Any]]:
    """(elements of a row of windows, and channels beside each other, None where there are none; the constants)."""
    columns, inner, height, across = window
    short = columns // across * inner
    unit = math.gcd(short if inner == 1 else inner, 4)
    lines = short // unit, None if inner == 1 else inner // unit
    return lines, {"HIGH": height, "ACROSS": across, "PAIRS": across == 2 and inner == 1, "UNIT": unit}
