"""The gradient of a batch norm on the CPU: the two passes of `gradient`, with the channels last."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import allocate, at, release, take
from snnkit.kernels.bfloat16 import narrow, wide
from snnkit.kernels.cache import kernel, row
from snnkit.kernels.prefetch import ask_down
from snnkit.kernels.rows import fill

TILE = 512
"""Elements of a row that are taken at once: with what is known of their channels they stay in the first-level cache."""


@row
def _nothing(n, total, dot):
    for i in range(n):
        total[i] = 0
        dot[i] = 0


@row
def _add(x, g, n, mean, total, dot):
    """total += g and dot += (x − mean)·g."""
    for i in range(n):
        total[i] += wide(g[i])
    for i in range(n):
        dot[i] += (wide(x[i]) - mean[i]) * wide(g[i])


@kernel
def sums(first, last, block, x, g, mean, total, dot):
    """Σ g and Σ (x − mean)·g down the columns of x and g [N, W], of each block of rows: total, dot [blocks, W].
    mean [C], as `rows.fill` spreads it."""
    height, width = x.shape
    rows = allocate(1, TILE, mean.dtype.type(1))
    middle = at(rows, 0, 0)
    for b in range(first, last):
        for lo in range(0, width, TILE):
            n = min(TILE, width - lo)
            all_g, all_dot = at(total, b, lo), at(dot, b, lo)
            fill(mean, 1, lo, n, middle)
            _nothing(n, all_g, all_dot)
            for r in range(b * block, min((b + 1) * block, height)):
                ask_down(x, r, lo, n)
                ask_down(g, r, lo, n)
                _add(at(x, r, lo), at(g, r, lo), n, middle, all_g, all_dot)
    release(rows)


@row
def _project(x, g, n, mean, middle, slope, scale, out):
    """out = (g − middle − (x − mean)·slope)·scale."""
    for i in range(n):
        out[i] = narrow(out, ((wide(g[i]) - middle[i]) - (wide(x[i]) - mean[i]) * slope[i]) * scale[i])


@row
def _project_in_place(x, g, n, mean, middle, slope, scale):
    """g = (g − middle − (x − mean)·slope)·scale."""
    for i in range(n):
        g[i] = narrow(g, ((wide(g[i]) - middle[i]) - (wide(x[i]) - mean[i]) * slope[i]) * scale[i])


@kernel
def project(first, last, block, x, g, mean, middle, slope, scale, out):
    """out = (g − middle − (x − mean)·slope)·scale for x, g and out [N, W], the others [C], as `rows.fill` spreads them.
    Where out is [0, 0], g becomes that. A block is `block` rows."""
    height, width = x.shape
    rows = allocate(4, TILE, mean.dtype.type(1))
    a, b, c, d = take(rows, 0, 4)
    for k in range(first, last):
        for lo in range(0, width, TILE):
            n = min(TILE, width - lo)
            fill(mean, 1, lo, n, a)
            fill(middle, 1, lo, n, b)
            fill(slope, 1, lo, n, c)
            fill(scale, 1, lo, n, d)
            for r in range(k * block, min((k + 1) * block, height)):
                ask_down(x, r, lo, n)
                ask_down(g, r, lo, n)
                if out.shape[0] == 0:
                    _project_in_place(at(x, r, lo), at(g, r, lo), n, a, b, c, d)
                else:
                    _project(at(x, r, lo), at(g, r, lo), n, a, b, c, d, at(out, r, lo))
    release(rows)
