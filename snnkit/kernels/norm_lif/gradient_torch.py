"""The gradient of a batch norm on the CPU with the channels first, in float32: torch's own arithmetic, operation by
operation.

torch adds an image up in the lanes of a vector register, then the lanes in halves, and the images in float64. How many
lanes, and which products are rounded before they are added, depends on the processor and the build
(`gradient.arithmetic` finds out).

Source: aten/src/ATen/native/cpu/batch_norm_kernel.cpp and ATen/cpu/vec/functional_base.h of PyTorch 2.13.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.kernels.address import allocate, at, beyond, release
from snnkit.kernels.cache import kernel, piece, row
from snnkit.kernels.lanes import get, multiply_add, put, some
from snnkit.kernels.prefetch import ask_down

MOST = 16
"""Lanes at most."""


@piece
def _plus_product(a, b, c, once):
    """a + b·c, rounded once or twice."""
    return multiply_add(b, c, a) if once else a + b * c


def _image(lanes: int) -> Any:
    """The sums of an image in so many lanes."""

    @row
    def image(x, g, n, mean, once, once_behind, total, dot):
        """total[0] = Σ g and dot[0] = Σ (x − mean)·g over n values; total and dot have room for the lanes. Whole
        registers are added with one rounding where `once`, the rest behind them where `once_behind`."""
        head = min(n, lanes)
        for k in range(head):
            total[k] = g[k]
            dot[k] = (x[k] - mean) * g[k]
        for k in range(head, lanes):  # not reached by what follows
            total[k] = 0
            dot[k] = 0
        if n < lanes:
            for k in range(1, n):
                total[0] += total[k]
                dot[0] += dot[k]
            return
        whole = n // lanes
        like = some(mean, lanes)
        all_g, all_dot = get(total, 0, like), get(dot, 0, like)
        for i in range(lanes, whole * lanes, lanes):
            u, v = get(x, i, like) - like, get(g, i, like)
            all_g = all_g + v
            all_dot = multiply_add(u, v, all_dot) if once else all_dot + u * v
        put(all_g, total, 0, False)
        put(all_dot, dot, 0, False)
        u, v = beyond(x, whole * lanes), beyond(g, whole * lanes)
        for k in range(n - whole * lanes):
            total[k] += v[k]
            dot[k] = _plus_product(dot[k], u[k] - mean, v[k], once_behind)
        half = lanes // 2
        while half > 0:
            for k in range(half):
                total[k] += total[k + half]
                dot[k] += dot[k + half]
            half //= 2

    return image


_image_16, _image_8 = _image(16), _image(8)


@kernel
def sums(first, last, block, x, g, channels, mean, lanes, once, once_behind, total, dot):
    """total = Σ g and dot = Σ (x − mean)·g of each channel [C], for x and g [N·C, S]. A block is `block` channels."""
    height, size = x.shape
    rows = allocate(2, MOST, mean.dtype.type(1))
    part, part_dot = at(rows, 0, 0), at(rows, 1, 0)
    for c in range(first * block, min(last * block, channels)):
        all_g, all_dot = 0.0, 0.0
        for r in range(c, height, channels):
            ahead = min(r + channels, height - 1) - 1
            ask_down(x, ahead, 0, size)
            ask_down(g, ahead, 0, size)
            if lanes == 16:
                _image_16(at(x, r, 0), at(g, r, 0), size, mean[c], once, once_behind, part, part_dot)
            else:
                _image_8(at(x, r, 0), at(g, r, 0), size, mean[c], once, once_behind, part, part_dot)
            all_g += np.float64(part[0])
            all_dot += np.float64(part_dot[0])
        total[c], dot[c] = all_g, all_dot
    release(rows)


@piece
def _projected(x, g, mean, middle, slope, rate, gain, once):
    """(g − middle − (x − mean)·slope)·rate·gain."""
    return _plus_product(g - middle, -(x - mean), slope, once) * rate * gain


@row
def _project(x, g, n, mean, middle, slope, rate, gain, once, out):
    if once:
        for i in range(n):
            out[i] = _projected(x[i], g[i], mean, middle, slope, rate, gain, True)
    else:
        for i in range(n):
            out[i] = _projected(x[i], g[i], mean, middle, slope, rate, gain, False)


@row
def _project_in_place(x, g, n, mean, middle, slope, rate, gain, once):
    if once:
        for i in range(n):
            g[i] = _projected(x[i], g[i], mean, middle, slope, rate, gain, True)
    else:
        for i in range(n):
            g[i] = _projected(x[i], g[i], mean, middle, slope, rate, gain, False)


@kernel
def project(first, last, block, x, g, channels, mean, middle, slope, rate, gain, once, out):
    """out = (g − middle − (x − mean)·slope)·rate·gain for x, g and out [N·C, S], the others [C]. Where out is [0, 0], g
    becomes that. A block is `block` rows."""
    height, size = x.shape
    for r in range(first * block, min(last * block, height)):
        c, u, v = r % channels, at(x, r, 0), at(g, r, 0)
        if out.shape[0] == 0:
            _project_in_place(u, v, size, mean[c], middle[c], slope[c], rate[c], gain[c], once)
        else:
            _project(u, v, size, mean[c], middle[c], slope[c], rate[c], gain[c], once, at(out, r, 0))
