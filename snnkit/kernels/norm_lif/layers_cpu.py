"""Batch norm and average pooling of whole sequences on the CPU, with no neuron between them."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import allocate, at, release, take
from snnkit.kernels.bfloat16 import read, target, write
from snnkit.kernels.cache import kernel
from snnkit.kernels.norm_lif.gradient_cpu import TILE
from snnkit.kernels.norm_lif.rows import affine, pool, spread
from snnkit.kernels.prefetch import ask_down
from snnkit.kernels.rows import fill


@kernel
def normalise(first, last, block, x, scale, shift, repeat, contract, y):
    """y = scale·x + shift for x, y [N, W]; scale and shift [C], as `rows.fill` spreads them. A block is
    `block` rows."""
    height, width = x.shape
    rows = allocate(3, TILE, scale.dtype.type(1))
    a, b, room = take(rows, 0, 3)
    for k in range(first, last):
        for lo in range(0, width, TILE):
            n = min(TILE, width - lo)
            fill(scale, repeat, lo, n, a)
            fill(shift, repeat, lo, n, b)
            for r in range(k * block, min((k + 1) * block, height)):
                ask_down(x, r, lo, n)
                out = target(y, r, lo, room)
                affine(at(x, r, lo), a, b, contract, out, n)
                write(out, y, r, lo, n)
    release(rows)


@kernel
def average(first, last, block, x, window, pixels, y):
    """Means of the windows of x [1, N] to y [1, N / (height·width)]; `window` as `norm_lif.cpu.forward` has it, pixels
    those of one. A block is `block` rows of windows."""
    columns, inner, height, across = window
    group, small = columns * inner * height, columns // across * inner
    rows = allocate(2, block * group, pixels)
    for b in range(first, last):
        n = min(block, x.shape[1] // group - b * block) * group
        given = read(x, 0, b * block * group, n, at(rows, 0, 0))
        out = at(y, 0, b * block * small)
        pool(given, n, window, pixels, at(rows, 1, 0), out, out)
    release(rows)


@kernel
def share(first, last, block, g, window, pixels, out):
    """The gradient of `average`: of x, out [1, N], from that of y, g."""
    columns, inner, height, across = window
    group, small = columns * inner * height, columns // across * inner
    for b in range(first, last):
        n = min(block, out.shape[1] // group - b * block) * group
        given = at(g, 0, b * block * small)
        spread(given, n, window, pixels, given, at(out, 0, b * block * group))
