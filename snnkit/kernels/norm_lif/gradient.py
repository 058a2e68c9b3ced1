"""The gradient of a batch norm whose channels lie last in memory: two passes over it on the CPU, and no new memory.

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

LANES = 512
"""Values beside each other in memory that are taken at once: whole pixels, as many as there are at most."""

BLOCK = 32
"""Of them in a block, whose sums are taken in the numbers' own precision; those of the blocks are added in float64."""


def takes(grad: Tensor, x: Tensor) -> bool:
    """Whether both [N, C, H, W] have their channels last in memory, as what is computed here."""
    if x.device.type != "cpu" or x.dim() != 4 or grad.dtype != x.dtype or x.shape[1] == 1:
        return False
    return all(v.permute(0, 2, 3, 1).is_contiguous() for v in (x, grad))


def of_batch(grad: Tensor, x: Tensor, mean: Tensor, rate: Tensor, gain: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, gain and bias, of a norm by the batch's own mean and rate [C]; that of x in the place of `grad`.

    Args:
        grad, x: [N, C, H, W] for which `takes`.
    """
    from snnkit.kernels.norm_lif import gradient_cpu as cpu

    channels, dtype = x.shape[1], state_dtype(x)
    given, g = (array(v.permute(0, 2, 3, 1).reshape(1, -1)) for v in (x, grad))
    pixels = given.size // channels
    lanes = channels * min(max(1, LANES // channels), pixels)
    rows = -(-given.size // lanes)
    center, rates = array(mean.to(dtype)), array(rate.to(dtype))
    spread = np.empty((4, lanes), center.dtype)
    spread[0] = np.resize(center, lanes)
    partial = np.empty((-(-rows // BLOCK), 2, lanes), center.dtype)
    run_blocks(cpu.sums, lanes, rows, given, g, spread, partial, block=BLOCK)
    total, dot = partial.reshape(len(partial), 2, -1, channels).sum((0, 2), dtype=np.float64)
    spread[1] = np.resize(total / pixels, lanes)
    spread[2] = np.resize(dot * rates.astype(np.float64) ** 2 / pixels, lanes)
    spread[3] = np.resize(rates if gain is None else rates * array(gain.detach().to(dtype)), lanes)
    run_blocks(cpu.project, lanes, rows, given, g, spread, block=BLOCK)
    gain_grad, bias_grad = (torch.from_numpy(v).to(mean.dtype) for v in (dot * rates, total))
    return grad, gain_grad, bias_grad
