"""Merge average and sum pooling into the synapse before or behind it; both stay convolutions with shared weights.

Behind a convolution (kernel k, stride s) a pool (p, stride q) gives a kernel of k + (p-1)*s and stride s*q. Before
one, the kernel is (k-1)*q + p and the stride s*q; rows that the pool drops at the lower and right edge are cropped
(negative padding). Where neither is exact the chain is left alone and multiplied out later.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.graph.model import Graph
from snnkit.graph.synapses import Conv, Dense, Pool
from snnkit.passes.chains import rewrite_chains

_NONE = (0, 0, 0, 0)


def _pool_after(conv: Conv, pool: Pool) -> Conv | None:
    if pool.padding != _NONE:
        return None
    (sy, sx), (dy, dx), (py, px) = conv.stride, conv.dilation, pool.kernel
    kh, kw = conv.weight.shape[2:]
    shape = (dy * (kh - 1) + 1 + (py - 1) * sy, dx * (kw - 1) + 1 + (px - 1) * sx)
    weight = np.zeros((*conv.weight.shape[:2], *shape))
    for a in range(py):
        for b in range(px):
            rows = slice(a * sy, a * sy + dy * (kh - 1) + 1, dy)
            cols = slice(b * sx, b * sx + dx * (kw - 1) + 1, dx)
            weight[:, :, rows, cols] += conv.weight
    if pool.average:
        weight /= py * px
    stride = (sy * pool.stride[0], sx * pool.stride[1])
    merged = Conv(weight, conv.in_shape, stride, conv.padding, groups=conv.groups)
    return merged if merged.out_shape == pool.out_shape else None


def _edge(size: int, pooled: int, kernel: int, stride: int, before: int, behind: int) -> tuple[int, int] | None:
    """Padding of the merged convolution along one axis, or None if no padding expresses it."""
    if kernel > stride and (before > 0 or behind > 0):
        return None  # a padded cell of overlapping pools would see real pixels
    used = (pooled - 1) * stride + kernel
    if behind > 0:
        # The cells behind the last one start at pooled*stride: there must be no real row from there on.
        return (before * stride, behind * stride + pooled * stride - size) if pooled * stride >= size else None
    return before * stride, (behind * stride) + used - size


def _pool_before(pool: Pool, conv: Conv) -> Conv | None:
    if pool.padding != _NONE:
        return None
    _, h, w = pool.in_shape
    _, ph, pw = pool.out_shape
    top_bottom = _edge(h, ph, pool.kernel[0], pool.stride[0], conv.padding[0], conv.padding[1])
    left_right = _edge(w, pw, pool.kernel[1], pool.stride[1], conv.padding[2], conv.padding[3])
    if top_bottom is None or left_right is None:
        return None
    (py, px), (qy, qx), (dy, dx) = pool.kernel, pool.stride, conv.dilation
    kh, kw = conv.weight.shape[2:]
    weight = np.zeros((*conv.weight.shape[:2], (kh - 1) * dy * qy + py, (kw - 1) * dx * qx + px))
    for i in range(kh):
        for j in range(kw):
            rows = slice(i * dy * qy, i * dy * qy + py)
            cols = slice(j * dx * qx, j * dx * qx + px)
            weight[:, :, rows, cols] += conv.weight[:, :, i : i + 1, j : j + 1]
    if pool.average:
        weight /= py * px
    stride = (conv.stride[0] * qy, conv.stride[1] * qx)
    merged = Conv(weight, pool.in_shape, stride, (*top_bottom, *left_right), groups=conv.groups)
    return merged if merged.out_shape == conv.out_shape else None


def _merge(first: Any, then: Any) -> tuple[Any, ...] | None:
    merged: Conv | Dense | None = None
    if isinstance(then, Pool) and isinstance(first, Conv | Pool):
        merged = _pool_after(first.as_conv() if isinstance(first, Pool) else first, then)
    elif isinstance(first, Pool) and isinstance(then, Conv):
        merged = _pool_before(first, then)
    elif isinstance(first, Pool) and isinstance(then, Dense):
        merged = Dense(np.asarray(then.weight @ first.matrix()))
    return None if merged is None else (merged,)


def merge_pool(graph: Graph) -> Graph:
    """The graph with pools merged into neighbouring synapses where that is exact."""
    return rewrite_chains(graph, _merge)
