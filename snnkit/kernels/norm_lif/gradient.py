"""The gradient of a batch norm by the batch's own mean and rate, on the CPU: two passes over it, and no new memory.

With Q = x − mean, r = 1/√(variance + eps) and n values per channel: dx = (g − Σg/n − Q·r²·Σ(g·Q)/n)·r·gain. torch's own
operator does the same into new memory, which the system first has to hand out and to zero. Source: Ioffe & Szegedy
2015, arXiv:1502.03167.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels.layout import array
from snnkit.kernels.state import state_dtype
from snnkit.kernels.threads import run_blocks

ROWS = 64
"""Of a block, whose values are added in the numbers' own precision; the blocks' sums in float64."""

WIDTH = 512
"""Values of a row, about: pixels with their channels beside each other, and small images, are taken together."""


def in_rows(count: int, channels: int, repeat: int) -> tuple[int, int]:
    """(N, W) of a matrix of `count` values, row by row, with the same channels in every row.

    Value i belongs to channel (i // repeat) % channels.
    """
    width = channels * repeat
    rows = count // width
    while 2 * width <= WIDTH and rows % 2 == 0:
        width, rows = 2 * width, rows // 2
    return rows, width


def of_batch(
    grad: Tensor,
    x: Tensor,
    repeat: int,
    mean: Tensor,
    rate: Tensor,
    gain: Tensor | None,
    out: Tensor | None,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients of x, gain and bias [C] from `grad`, that of the norm's output.

    Args:
        grad, x: [T, M] in the same dtype; element m belongs to channel (m // repeat) % C.
        mean, rate: of the batch, [C]; rate = 1/√(variance + eps). gain: [C]; None for 1.
        out: for the gradient of x, perhaps `grad` itself; where None, that gradient is left out.
    """
    from snnkit.kernels.norm_lif import gradient_cpu as cpu

    dtype, channels, each = state_dtype(x), len(mean), x.numel() // len(mean)
    shape = in_rows(x.numel(), channels, repeat)
    center, rates = (array(v.detach().to(dtype).contiguous()) for v in (mean, rate))
    given = array(x).reshape(shape), array(grad).reshape(shape)
    parts = np.empty((2, -(-shape[0] // ROWS), shape[1]), center.dtype)
    run_blocks(cpu.sums, shape[1], shape[0], *given, center, repeat, *parts, block=ROWS)
    total, dot = (part.reshape(-1, channels, repeat).sum((0, 2), dtype=np.float64) for part in parts)
    if out is not None:
        scale = rates if gain is None else rates * array(gain.detach().to(dtype))
        spread = (total / each, dot * rates.astype(np.float64) ** 2 / each)
        of_channels = (center, *(v.astype(center.dtype) for v in spread), scale)
        place = array(out).reshape(shape)
        run_blocks(cpu.project, shape[1], shape[0], *given, *of_channels, repeat, place, block=ROWS)
    of_gain, of_bias = (torch.from_numpy(v).to(mean.dtype) for v in (dot * rates, total))
    return out, of_gain, of_bias
