"""Loops over a row that the kernels of recurrent neurons share, beside those of `snnkit.kernels.rows`."""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from snnkit.kernels.cache import piece


@piece
def copy(source, out, n):
    """out = source."""
    for i in range(n):
        out[i] = source[i]


@piece
def add(a, b, out, n):
    """out = a + b."""
    for i in range(n):
        out[i] = a[i] + b[i]


@piece
def accumulate(a, total, n):
    """total ← total + a."""
    for i in range(n):
        total[i] += a[i]


@piece
def multiply(a, b, out, n):
    """out = a·b."""
    for i in range(n):
        out[i] = a[i] * b[i]
