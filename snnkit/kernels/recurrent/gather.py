"""The gradient of weights behind spikes where few of these are: sums over the steps in which a neuron has fired.

A matrix product multiplies by every spike that is not there. Its time does not depend on the activity, that of the
sums does: at 5, 10 and 16 % they take 0.3, 0.4 and 0.55 of it. The forward product could be had so too, two to six
times as fast, but not with the rounding of a matrix product, whose order of adding is the library's own.
"""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels.cache import kernel, piece
from snnkit.kernels.layout import array
from snnkit.kernels.recurrent.pieces import accumulate
from snnkit.kernels.threads import run_blocks

ROWS = 128
"""Rows of the gradient at a time, so that they stay in the second-level cache."""

MOST_ACTIVE = 0.2
"""Above this share of spikes the matrix product is as fast."""

FEWEST = 128
"""Neurons below which the sums are too short to pay."""


@piece
def _add_eight(g, at, total, n):
    """total ← total + the sum of the rows g[at[0]] … g[at[7]]."""
    a, b, c, d = g[at[0]], g[at[1]], g[at[2]], g[at[3]]
    e, f, h, k = g[at[4]], g[at[5]], g[at[6]], g[at[7]]
    for i in range(n):
        total[i] += ((a[i] + b[i]) + (c[i] + d[i])) + ((e[i] + f[i]) + (h[i] + k[i]))


@piece
def _add_two(g, at, total, n):
    """total ← total + g[at[0]] + g[at[1]]."""
    a, b = g[at[0]], g[at[1]]
    for i in range(n):
        total[i] += a[i] + b[i]


@kernel
def sums(first, last, block, s, g, out, every):
    """out[k] = Σ g[r] over the rows r with s[r, k] ≠ 0, for columns first·block ≤ k < last·block of s; s [R, K],
    g [R, N].

    every [N] gets the sum of all rows; the call with the first column makes it. Sums run in the order of the rows in
    groups that the spikes decide, so they do not depend on who has which columns.
    """
    rows, n = g.shape
    lo, hi = first * block, min(last * block, s.shape[1])
    at = np.empty((hi - lo, ROWS), np.int32)
    count = np.empty(hi - lo, np.int32)
    for k in range(lo, hi):
        for i in range(n):
            out[k, i] = 0
    for begin in range(0, rows, ROWS):
        end = min(begin + ROWS, rows)
        for k in range(hi - lo):
            count[k] = 0
        for r in range(begin, end):
            for k in range(hi - lo):  # writes where it may not count, which is faster than asking
                at[k, count[k]] = r
                count[k] += s[r, lo + k] != 0
            if lo == 0:
                accumulate(g[r], every, n)
        for k in range(hi - lo):
            j = 0
            while j + 8 <= count[k]:
                _add_eight(g, at[k, j:], out[lo + k], n)
                j += 8
            while j + 2 <= count[k]:
                _add_two(g, at[k, j:], out[lo + k], n)
                j += 2
            if j < count[k]:
                accumulate(g[at[k, j]], out[lo + k], n)


def product(g: Tensor, s: Tensor, active: float) -> Tensor:
    """gᵀ·s [N, K] for g [R, N] and s [R, K] of zeros and ones, of which the share `active` are ones."""
    rows, columns = s.shape
    if active <= MOST_ACTIVE and g.shape[1] >= FEWEST and rows:
        out, every = g.new_empty(columns, g.shape[1]), g.new_zeros(g.shape[1])
        share = -(-columns // max(1, torch.get_num_threads()))
        run_blocks(sums, rows, columns, array(s), array(g), array(out), array(every), block=share)
        if np.isfinite(array(every)).all():  # else a product shows what is no number in every column
            return out.t().contiguous()
    return torch.mm(g.t(), s)


@kernel
def count(first, last, block, bits, one, ones, others):
    """Of numbers by their bits [R, K] in rows first·block ≤ r < last·block: how many are 1, whose bits are one[0], and
    how many neither 0 nor 1, in ones[first] and others[first]."""
    rows, columns = bits.shape
    found, zeros, high = 0, 0, min(last * block, rows)
    for r in range(first * block, high):
        of_row, of_zero = np.int32(0), np.int32(0)
        for k in range(columns):
            of_row += np.int32(bits[r, k] == one[0])
            of_zero += np.int32(bits[r, k] == 0)
        found += of_row
        zeros += of_zero
    ones[first], others[first] = found, (high - first * block) * columns - found - zeros


def spikes(x: Tensor) -> float:
    """The share of ones in x [R, K], float32 or float64, beside zeros; 1 where it has anything else."""
    blocks = -(-x.shape[0] // ROWS)
    ones, others = np.zeros(blocks, np.int64), np.zeros(blocks, np.int64)
    values = array(x)
    kind = np.int32 if x.dtype == torch.float32 else np.int64
    one = np.ones(1, values.dtype).view(kind)
    run_blocks(count, x.shape[1], x.shape[0], values.view(kind), one, ones, others, block=ROWS)
    return 1.0 if others.any() else float(ones.sum() / max(x.numel(), 1))
