"""The gradient of a batch norm with its channels last, on the CPU: the two passes of `gradient`."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import at
from snnkit.kernels.bfloat16 import narrow, wide
from snnkit.kernels.cache import kernel, row


@row
def _sum(x, g, n, mean, total, dot):
    """total += g and dot += (x − mean)·g."""
    for i in range(n):
        total[i] += wide(g[i])
    for i in range(n):
        dot[i] += (wide(x[i]) - mean[i]) * wide(g[i])


@kernel
def sums(first, last, block, x, g, spread, partial):
    """partial [blocks, 2, lanes]: Σ g and Σ (x − mean)·g of each block; x and g [1, pixels·C], mean spread[0]."""
    lanes = spread.shape[1]
    for b in range(first, last):
        both = partial[b]
        both[:] = 0
        for lo in range(b * block * lanes, min((b + 1) * block * lanes, x.shape[1]), lanes):
            n = min(lanes, x.shape[1] - lo)
            _sum(at(x, 0, lo), at(g, 0, lo), n, at(spread, 0, 0), at(both, 0, 0), at(both, 1, 0))


@row
def _project(x, g, n, mean, middle, slope, scale):
    """g = (g − middle − (x − mean)·slope)·scale."""
    for i in range(n):
        g[i] = narrow(g, ((wide(g[i]) - middle[i]) - (wide(x[i]) - mean[i]) * slope[i]) * scale[i])


@kernel
def project(first, last, block, x, g, spread):
    """g becomes (g − middle − (x − mean)·slope)·scale, these being the rows of `spread` [4, lanes]."""
    lanes = spread.shape[1]
    for lo in range(first * block * lanes, min(last * block * lanes, x.shape[1]), lanes):
        n = min(lanes, x.shape[1] - lo)
        mean, middle, slope, scale = at(spread, 0, 0), at(spread, 1, 0), at(spread, 2, 0), at(spread, 3, 0)
        _project(at(x, 0, lo), at(g, 0, lo), n, mean, middle, slope, scale)
