"""Sums over the values that count in a batch norm, and its gradient from them, on the CPU: see `counted`."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.address import allocate, at, release
from snnkit.kernels.bfloat16 import narrow, wide
from snnkit.kernels.cache import kernel, piece, row
from snnkit.kernels.rows import fill


@row
def _add_row(x, g, n, mean, total, dot):
    """total += g and dot += (x − mean)·g."""
    for i in range(n):
        total[i] += wide(g[i])
    for i in range(n):
        dot[i] += (wide(x[i]) - mean[i]) * wide(g[i])


@piece
def _add(x, g, k, lanes, rows):
    """A row of memory onto the sums, `lanes` numbers at a time."""
    width = x.shape[1]
    for lo in range(0, width, lanes):
        n = min(lanes, width - lo)
        _add_row(at(x, k, lo), at(g, k, lo), n, at(rows, 0, 0), at(rows, 1, 0), at(rows, 2, 0))


@piece
def _begin(center, repeat, lo, lanes, rows):
    fill(center, repeat, lo, lanes, at(rows, 0, 0))
    total, dot = at(rows, 1, 0), at(rows, 2, 0)
    for i in range(lanes):
        total[i] = 0
        dot[i] = 0


@piece
def _end(rows, lanes, lo, channels, into):
    """What the lanes hold, to the sums of channels lo, lo + 1, …, of which there are `channels`."""
    total, dot, c = at(rows, 1, 0), at(rows, 2, 0), 0
    for i in range(lanes):
        into[0, lo + c] += total[i]
        into[1, lo + c] += dot[i]
        c += 1
        if c == channels:
            c = 0


@kernel
def sums(first, last, block, x, g, valid, channels, lanes, center, partial):
    """partial [blocks, 2, C]: Σ g and Σ (x − center)·g of each block of `block` samples, of those that are `valid` [N].

    x and g: [N·C, S], or [N, S·C] where the channels lie last; center: as precise as the sums of a block are taken.
    """
    samples = valid.shape[0]
    rows = allocate(3, lanes, center.dtype.type(0))
    apart = x.shape[0] > samples or channels == 1
    for b in range(first, last):
        begin, end = b * block, min((b + 1) * block, samples)
        if apart:
            for c in range(channels):
                _begin(center, lanes, c * lanes, lanes, rows)
                for k in range(begin, end):
                    if valid[k]:
                        _add(x, g, k * channels + c, lanes, rows)
                _end(rows, lanes, c, 1, partial[b])
        else:
            _begin(center, 1, 0, lanes, rows)
            for k in range(begin, end):
                if valid[k]:
                    _add(x, g, k, lanes, rows)
            _end(rows, lanes, 0, channels, partial[b])
    release(rows)


@row
def _project(x, g, n, mean, middle, slope, scale):
    """g = (g − middle − (x − mean)·slope)·scale."""
    for i in range(n):
        g[i] = narrow(g, ((wide(g[i]) - middle[i]) - (wide(x[i]) - mean[i]) * slope[i]) * scale[i])


@row
def _scale(g, n, scale):
    for i in range(n):
        g[i] = narrow(g, wide(g[i]) * scale[i])


@piece
def _spread(mean, middle, slope, scale, repeat, lo, lanes, rows):
    fill(mean, repeat, lo, lanes, at(rows, 0, 0))
    fill(middle, repeat, lo, lanes, at(rows, 1, 0))
    fill(slope, repeat, lo, lanes, at(rows, 2, 0))
    fill(scale, repeat, lo, lanes, at(rows, 3, 0))


@piece
def _settle(x, g, k, lanes, counts, rows):
    """A row of the gradient."""
    width, scale = x.shape[1], at(rows, 3, 0)
    for lo in range(0, width, lanes):
        n, to = min(lanes, width - lo), at(g, k, lo)
        if counts:
            _project(at(x, k, lo), to, n, at(rows, 0, 0), at(rows, 1, 0), at(rows, 2, 0), scale)
        else:
            _scale(to, n, scale)


@kernel
def project(first, last, block, x, g, valid, channels, lanes, mean, middle, slope, scale):
    """g becomes (g − middle − (x − mean)·slope)·scale where the sample is `valid` [N], and g·scale elsewhere; x and g
    as in `sums`, the others [C]."""
    samples = valid.shape[0]
    rows = allocate(4, lanes, mean.dtype.type(0))
    apart = x.shape[0] > samples or channels == 1
    for b in range(first, last):
        begin, end = b * block, min((b + 1) * block, samples)
        if apart:
            for c in range(channels):
                _spread(mean, middle, slope, scale, lanes, c * lanes, lanes, rows)
                for k in range(begin, end):
                    _settle(x, g, k * channels + c, lanes, valid[k], rows)
        else:
            _spread(mean, middle, slope, scale, 1, 0, lanes, rows)
            for k in range(begin, end):
                _settle(x, g, k, lanes, valid[k], rows)
    release(rows)
