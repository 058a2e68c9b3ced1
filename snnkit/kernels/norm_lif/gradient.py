"""The gradient of a batch norm whose channels lie last in memory: two passes over it on the CPU, and no new memory.

With Q = x − mean, r = 1/√(variance + eps) and n values per channel: dx = (g − Σg/n − Q·r²·Σ(g·Q)/n)·r·gain. torch's own
operator does the same into new memory, which the system first has to hand out and to zero. Source: Ioffe & Szegedy
2015, arXiv:1502.03167.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels.bfloat16 import narrow, wide
from snnkit.kernels.cache import kernel, row
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
    channels = x.shape[1]
    given, g = (array(v.permute(0, 2, 3, 1).reshape(-1)) for v in (x, grad))
    pixels = given.size // channels
    lanes = channels * min(max(1, LANES // channels), pixels)
    rows = -(-given.size // lanes)
    wide_mean, wide_rate = (array(v.to(state_dtype(x))) for v in (mean, rate))
    partial = np.empty((-(-rows // BLOCK), 2, channels), wide_mean.dtype)
    run_blocks(sums, given.size // rows, rows, given, g, np.resize(wide_mean, lanes), partial, block=BLOCK)
    total, dot = partial.sum(0, dtype=np.float64)
    middle = (total / pixels).astype(wide_mean.dtype)
    slope = (dot * np.float64(wide_rate) ** 2 / pixels).astype(wide_mean.dtype)
    scale = wide_rate if gain is None else wide_rate * array(gain.to(state_dtype(x)))
    spread = [np.resize(v, lanes) for v in (wide_mean, middle, slope, scale)]
    run_blocks(apply, given.size // rows, rows, given, g, *spread, block=BLOCK)
    found = (torch.from_numpy(v).to(mean.dtype) for v in (dot * wide_rate, total))
    return grad, *found


@row
def _sum(x, g, lo, n, mean, total, dot):
    """total += g and dot += (x − mean)·g, of n values from `lo` on."""
    for i in range(n):
        grad = wide(g[lo + i])
        total[i] += grad
        dot[i] += (wide(x[lo + i]) - mean[i]) * grad


@kernel
def sums(first, last, block, x, g, mean, partial):
    """partial [blocks, 2, C]: Σ g and Σ (x − mean)·g of each block, x and g flat, mean [lanes]."""
    lanes, channels = mean.shape[0], partial.shape[2]
    total, dot = np.empty(lanes, mean.dtype), np.empty(lanes, mean.dtype)
    for b in range(first, last):
        total[:] = 0
        dot[:] = 0
        for k in range(b * block, (b + 1) * block):
            n = min(lanes, x.shape[0] - k * lanes)
            if n > 0:
                _sum(x, g, k * lanes, n, mean, total, dot)
        for c in range(channels):
            partial[b, 0, c] = 0
            partial[b, 1, c] = 0
        for i in range(lanes):
            partial[b, 0, i % channels] += total[i]
            partial[b, 1, i % channels] += dot[i]


@row
def _project(x, g, lo, n, mean, middle, slope, scale):
    for i in range(n):
        value = ((wide(g[lo + i]) - middle[i]) - (wide(x[lo + i]) - mean[i]) * slope[i]) * scale[i]
        g[lo + i] = narrow(g, value)


@kernel
def apply(first, last, block, x, g, mean, middle, slope, scale):
    """g becomes (g − middle − (x − mean)·slope)·scale; x and g flat, the others [lanes]."""
    lanes = mean.shape[0]
    for k in range(first * block, last * block):
        n = min(lanes, x.shape[0] - k * lanes)
        if n > 0:
            _project(x, g, k * lanes, n, mean, middle, slope, scale)
