"""Layers that the graph has no operator of its own for, as sparse matrices; zero weights of a kernel are kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn import functional as F

from snnkit.graph.model import Array
from snnkit.graph.synapses import Conv, Sparse

Edges = Sequence[tuple[int, int]]
"""Zeros added before and behind, per axis."""


def conv_out(
    size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], edges: Edges, dilation: Sequence[int]
) -> tuple[int, ...]:
    """Pixels of a convolution's output along each axis."""
    axes = zip(size, kernel, stride, edges, dilation)
    return tuple((n + sum(e) - d * (k - 1) - 1) // s + 1 for n, k, s, e, d in axes)


def convolution(
    weight: Array, size: Sequence[int], stride: Sequence[int], edges: Edges, dilation: Sequence[int], groups: int
) -> Sparse:
    """A convolution over any number of axes; weight [C', C/groups, *kernel], source [C, *size]."""
    c_out, c_group, *kernel = weight.shape
    out = conv_out(size, kernel, stride, edges, dilation)
    axes = len(kernel)
    places = np.meshgrid(
        np.arange(c_out), *(np.arange(n) for n in out), np.arange(c_group), *(np.arange(k) for k in kernel),
        indexing="ij", sparse=True,
    )  # fmt: skip
    o, y, c, k = places[0], places[1 : 1 + axes], places[1 + axes], places[2 + axes :]
    shape = (c_out, *out, c_group, *kernel)
    keep = np.ones((1,) * len(shape), bool)
    dst, src, at = o, o // (c_out // groups) * c_group + c, o * c_group + c
    for a in range(axes):
        pixel = y[a] * stride[a] + k[a] * dilation[a] - edges[a][0]
        keep = keep & (pixel >= 0) & (pixel < size[a])
        dst = dst * out[a] + y[a]
        src = src * size[a] + pixel
        at = at * kernel[a] + k[a]
    keep = np.broadcast_to(keep, shape)
    dst, src, at = (np.broadcast_to(v, shape)[keep] for v in (dst, src, at))
    n_src = c_group * groups * int(np.prod(size))
    return Sparse(sp.csr_matrix((weight.reshape(-1)[at], (dst, src)), shape=(c_out * int(np.prod(out)), n_src)))


def transposed_convolution(
    weight: Array,
    in_shape: tuple[int, int, int],
    out_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Conv | Sparse:
    """A transposed convolution; weight [C, C'/groups, kh, kw], source [C, H, W], output [C', *out_size].

    With stride 1 it is a convolution with the kernel turned round; else the transpose of the matrix of the convolution
    that leads from its output to its input.
    """
    c_in, c_group, *kernel = weight.shape
    if stride == (1, 1):
        by_group = weight.reshape(groups, c_in // groups, c_group, *kernel).swapaxes(1, 2)[..., ::-1, ::-1]
        turned = np.ascontiguousarray(by_group).reshape(groups * c_group, c_in // groups, *kernel)
        edges = []
        for size, out, k, p, d in zip(in_shape[1:], out_size, kernel, padding, dilation):
            before = d * (k - 1) - p
            edges += [before, out + d * (k - 1) - size - before]
        return Conv(turned, in_shape, (1, 1), tuple(edges), dilation, groups)  # type: ignore[arg-type]
    back = Conv(weight, (c_group * groups, *out_size), stride, (padding[0],) * 2 + (padding[1],) * 2, dilation, groups)
    src, dst, at = back.index()
    c, y, x = np.unravel_index(src, back.out_shape)
    keep = (y < in_shape[1]) & (x < in_shape[2])  # output padding can make room for one more place of the kernel
    src = np.ravel_multi_index((c[keep], y[keep], x[keep]), in_shape)
    values = weight.reshape(-1)[at[keep]]
    return Sparse(sp.csr_matrix((values, (dst[keep], src)), shape=(back.n_src, int(np.prod(in_shape)))))


def along_axes(channels: int, axes: Sequence[Array]) -> Sparse:
    """The same matrix [n', n] along each pixel axis of every channel: their Kronecker product."""
    product = reduce(lambda a, b: sp.kron(a, b), (sp.csr_matrix(a) for a in axes), sp.identity(channels))
    return Sparse(sp.csr_matrix(product))


def interpolation(
    size: int, out: int | None, factor: float | None, mode: str, align_corners: bool | None, recompute: bool | None
) -> Array:
    """The matrix [n', n] of torch's interpolation along one axis: what it makes of every unit vector."""
    units = torch.eye(size, dtype=torch.float64)[None]
    rows = F.interpolate(units, out, factor, mode, align_corners, recompute)
    return np.ascontiguousarray(rows[0].T.numpy())


def adaptive_mean(size: int, out: int) -> Array:
    """The matrix [n', n] of adaptive average pooling along one axis."""
    matrix = np.zeros((out, size))
    for i in range(out):
        first, last = i * size // out, -(-(i + 1) * size // out)
        matrix[i, first:last] = 1 / (last - first)
    return matrix
