"""Synapses counted, or built for a few neurons, from a layer's geometry: the whole matrix is never there.

A convolution is given by its kernel and a few lengths; what reaches a neuron, or leaves a pixel, follows from them axis
by axis. Checks of large networks use this where `Synapse.matrix()` would take gigabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.synapses import Conv, Dense, Sparse, Synapse

Array = np.ndarray[Any, Any]


# --------------------------------------------------------------------------------------------------------------- axes
@dataclass(frozen=True)
class Axis:
    """One axis of a convolution: `before` of padding, output position y and tap i read y*stride + i*dilation - before.

    Attributes:
        size, out, taps: pixels of the source, of the output, and of the kernel.
    """

    size: int
    out: int
    taps: int
    stride: int
    dilation: int
    before: int

    def source(self, out: Array) -> Array:
        """The source pixel of each output position and tap [len(out), taps]; outside 0..size-1 there is padding."""
        return out[:, None] * self.stride + np.arange(self.taps)[None, :] * self.dilation - self.before

    def alike(self, begin: int, end: int) -> tuple[int, int, int]:
        """Equal for ranges of output positions that see the source alike, up to a shift."""
        low = begin * self.stride - self.before
        high = (end - 1) * self.stride + (self.taps - 1) * self.dilation - self.before
        return end - begin, begin if low < 0 else -1, end if high >= self.size else -1

    def valid(self, out: Array) -> Array:
        """Which taps of each output position lie inside the source [len(out), taps]."""
        at = self.source(out)
        return np.asarray((at >= 0) & (at < self.size))


def axes(conv: Conv) -> tuple[Axis, Axis]:
    """Rows and columns of a convolution."""
    _, h, w = conv.in_shape
    _, oh, ow = conv.out_shape
    kh, kw = (int(k) for k in conv.weight.shape[2:])
    return (
        Axis(h, oh, kh, conv.stride[0], conv.dilation[0], conv.padding[0]),
        Axis(w, ow, kw, conv.stride[1], conv.dilation[1], conv.padding[2]),
    )


def edges(axis: Axis) -> Array:
    """A number per output position [out], equal where the same taps lie inside the source."""
    _, kind = np.unique(axis.valid(np.arange(axis.out)), axis=0, return_inverse=True)
    return np.asarray(kind.reshape(-1))


# ------------------------------------------------------------------------------------------------------------- counts
def fan_in(synapse: Synapse) -> Array:
    """Synapses of each destination whose weight is not zero, int64 [n_dst]."""
    if isinstance(synapse, Dense):
        return np.count_nonzero(synapse.weight, axis=1).astype(np.int64)
    if isinstance(synapse, Conv):
        rows, columns = axes(synapse)
        some = np.count_nonzero(synapse.weight, axis=1).astype(np.int64)  # [C_out, kh, kw]
        y, x = (a.valid(np.arange(a.out)).astype(np.int64) for a in (rows, columns))
        return np.einsum("oij,yi,xj->oyx", some, y, x, optimize=True).reshape(-1)
    m = sp.csr_matrix(synapse.matrix())
    ends = np.concatenate([[0], np.cumsum(m.data != 0)])
    return np.asarray(ends[m.indptr[1:]] - ends[m.indptr[:-1]], np.int64)


def by_source(synapse: Synapse, neurons: Array) -> Array:
    """Synapses that are not zero from each source to some destinations, int64 [n_src]."""
    if isinstance(synapse, Dense):
        return np.count_nonzero(synapse.weight[neurons], axis=0).astype(np.int64)
    if isinstance(synapse, Conv) and np.all(synapse.weight):
        rows, columns = axes(synapse)
        channels, h, w = synapse.in_shape
        o, y, x = np.unravel_index(neurons, synapse.out_shape)
        group = o // (synapse.out_shape[0] // synapse.groups)
        sy, sx = rows.source(y)[:, :, None], columns.source(x)[:, None, :]
        inside = (sy >= 0) & (sy < h) & (sx >= 0) & (sx < w)
        at = ((group[:, None, None] * h + sy) * w + sx)[inside]
        count = np.bincount(at, minlength=synapse.groups * h * w).reshape(synapse.groups, -1)
        return np.repeat(count, channels // synapse.groups, axis=0).reshape(-1)
    m = rows_of(synapse, neurons)
    return np.bincount(m.indices[m.data != 0], minlength=synapse.n_src).astype(np.int64)


# --------------------------------------------------------------------------------------------------------------- rows
def rows_of(synapse: Synapse, neurons: Array) -> sp.csr_matrix:
    """`synapse.matrix()[neurons]`, built for these alone."""
    neurons = np.asarray(neurons, np.int64)
    if isinstance(synapse, Dense):
        return sp.csr_matrix(synapse.weight[neurons])
    if isinstance(synapse, Conv):
        index, source, place = conv_rows(synapse, neurons)
        ends = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(neurons)))])
        shape = (len(neurons), synapse.n_src)
        return sp.csr_matrix((synapse.weight.reshape(-1)[index], source, ends), shape=shape)
    return sp.csr_matrix((synapse.weight if isinstance(synapse, Sparse) else synapse.matrix())[neurons])


def conv_rows(conv: Conv, neurons: Array) -> tuple[Array, Array, Array]:
    """(weight index, source, position in `neurons`) of every synapse of some neurons, as `Conv.index` orders them."""
    rows, columns = axes(conv)
    _, h, w = conv.in_shape
    c_out = conv.out_shape[0]
    c_group, kh, kw = (int(s) for s in conv.weight.shape[1:])
    o, y, x = (v[:, None, None, None] for v in np.unravel_index(neurons, conv.out_shape))
    sy = rows.source(y.reshape(-1))[:, None, :, None]
    sx = columns.source(x.reshape(-1))[:, None, None, :]
    c = np.arange(c_group)[None, :, None, None]
    tap = np.arange(kh)[None, None, :, None] * kw + np.arange(kw)[None, None, None, :]
    keep = np.broadcast_to((sy >= 0) & (sy < h) & (sx >= 0) & (sx < w), (len(neurons), c_group, kh, kw))
    source = ((o // (c_out // conv.groups) * c_group + c) * h + sy) * w + sx
    index = (o * c_group + c) * (kh * kw) + tap
    place = np.broadcast_to(np.arange(len(neurons))[:, None, None, None], keep.shape)
    return np.broadcast_to(index, keep.shape)[keep], np.broadcast_to(source, keep.shape)[keep], place[keep]
