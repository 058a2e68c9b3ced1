"""Synapses of a graph: linear operators from source to destination, and how a chip reads their integer weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

Array = np.ndarray[Any, Any]


# --------------------------------------------------------------------------------------------------------- synapses
@dataclass(frozen=True, eq=False)
class Dense:
    """y = W x, `weight` [n_dst, n_src]; in integer graphs int mantissas. `delay` may be per synapse, same shape."""

    weight: Array

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(self.weight.shape[1])

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return int(self.weight.shape[0])

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse matrix [n_dst, n_src]."""
        return sp.csr_matrix(self.weight)


@dataclass(frozen=True, eq=False)
class Sparse:
    """y = W x with a scipy CSR matrix [n_dst, n_src]; stored zeros are kept as synapses."""

    weight: sp.csr_matrix

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(self.weight.shape[1])

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return int(self.weight.shape[0])

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse matrix [n_dst, n_src]."""
        return self.weight


@dataclass(frozen=True, eq=False)
class Conv:
    """2-D cross-correlation with shared weights over a [C, H, W] source (1-D: H = 1).

    weight [C_out, C_in/groups, kh, kw]; `padding` (top, bottom, left, right) of zeros, negative values crop the
    source (this is how a pooling layer that drops its last rows is merged); out[o, y, x] =
    sum_{c,i,j} weight[o, c, i, j] * padded[c, y*stride_y + i*dil_y, x*stride_x + j*dil_x].
    """

    weight: Array
    in_shape: tuple[int, int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """[C_out, H_out, W_out]."""
        _, h, w = self.in_shape
        top, bottom, left, right = self.padding
        kh, kw = self.weight.shape[2:]
        oh = (h + top + bottom - self.dilation[0] * (kh - 1) - 1) // self.stride[0] + 1
        ow = (w + left + right - self.dilation[1] * (kw - 1) - 1) // self.stride[1] + 1
        return (int(self.weight.shape[0]), int(oh), int(ow))

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(np.prod(self.in_shape))

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return int(np.prod(self.out_shape))

    def index(self) -> tuple[Array, Array, Array]:
        """(dst, src, weight index) of every synapse, zeros included, in dst-major order."""
        c_out, oh, ow = self.out_shape
        _, h, w = self.in_shape
        c_group, kh, kw = (int(s) for s in self.weight.shape[1:])
        o, y, x, c, i, j = np.meshgrid(
            np.arange(c_out), np.arange(oh), np.arange(ow), np.arange(c_group), np.arange(kh), np.arange(kw),
            indexing="ij", sparse=True,
        )  # fmt: skip
        sy = y * self.stride[0] + i * self.dilation[0] - self.padding[0]
        sx = x * self.stride[1] + j * self.dilation[1] - self.padding[2]
        sc = o // (c_out // self.groups) * c_group + c
        keep = np.broadcast_to((sy >= 0) & (sy < h) & (sx >= 0) & (sx < w), (c_out, oh, ow, c_group, kh, kw))
        dst = np.broadcast_to((o * oh + y) * ow + x, keep.shape)[keep]
        src = np.broadcast_to((sc * h + sy) * w + sx, keep.shape)[keep]
        idx = np.broadcast_to(((o * c_group + c) * kh + i) * kw + j, keep.shape)[keep]
        return dst, src, idx

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse matrix [n_dst, n_src], kernel zeros kept as synapses."""
        dst, src, idx = self.index()
        indptr = np.concatenate([[0], np.cumsum(np.bincount(dst, minlength=self.n_dst))])
        return sp.csr_matrix((self.weight.reshape(-1)[idx], src, indptr), shape=(self.n_dst, self.n_src))


@dataclass(frozen=True, eq=False)
class Scale:
    """y = factor * x, elementwise; `factor` [n]. What a batch norm leaves after its shift went into the bias."""

    factor: Array

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(self.factor.size)

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return int(self.factor.size)

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse diagonal matrix."""
        return sp.diags(self.factor, format="csr")


@dataclass(frozen=True, eq=False)
class Select:
    """y[dst[k]] = x[k]: a block of a concatenation. `dst` int64 [n_src], distinct."""

    dst: Array
    size: int

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(self.dst.size)

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return self.size

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse matrix [size, n_src]."""
        n = self.n_src
        return sp.csr_matrix((np.ones(n), (self.dst, np.arange(n))), shape=(self.size, n))


@dataclass(frozen=True, eq=False)
class Pool:
    """Average (`average=True`) or sum pooling over [C, H, W]: a depthwise convolution with equal weights.

    With padding the average divides by the full kernel size, zeros included.
    """

    in_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    average: bool = True

    def as_conv(self) -> Conv:
        """The same operator as a depthwise convolution."""
        c = self.in_shape[0]
        value = 1.0 / (self.kernel[0] * self.kernel[1]) if self.average else 1.0
        weight = np.full((c, 1, *self.kernel), value)
        return Conv(weight, self.in_shape, self.stride, self.padding, groups=c)

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """Shape of the output [C, H, W]."""
        return self.as_conv().out_shape

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return int(np.prod(self.in_shape))

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return int(np.prod(self.out_shape))

    def matrix(self) -> sp.csr_matrix:
        """The operator as a sparse matrix [n_dst, n_src]."""
        return self.as_conv().matrix()


@dataclass(frozen=True, eq=False)
class Chain:
    """Linear operators applied one after another, first to last; passes merge them into one synapse."""

    ops: tuple[Dense | Sparse | Conv | Scale | Select | Pool, ...]

    @property
    def n_src(self) -> int:
        """Values in: neurons of the source."""
        return self.ops[0].n_src

    @property
    def n_dst(self) -> int:
        """Values out: neurons of the destination."""
        return self.ops[-1].n_dst

    def matrix(self) -> sp.csr_matrix:
        """The product as a sparse matrix [n_dst, n_src]."""
        product = self.ops[0].matrix()
        for op in self.ops[1:]:
            product = op.matrix() @ product
        return sp.csr_matrix(product)


Synapse = Dense | Sparse | Conv | Chain


# ---------------------------------------------------------------------------------------------------- weight formats
@dataclass(frozen=True, eq=False)
class LoihiWeightFormat:
    """How integer weights of one connection are read: see `chips` rules in `graph/rules/loihi.py`.

    exponent -8..7; sign_mode 1 mixed, 2 excitatory, 3 inhibitory; bits 1..8 magnitude bits.
    """

    exponent: int = 0
    sign_mode: int = 1
    bits: int = 8


@dataclass(frozen=True)
class IntegerFormat:
    """Integer weights that are used as they are: two's complement of `bits` bits."""

    bits: int = 8


@dataclass(frozen=True)
class SpinnakerPair:
    """Pair STDP of sPyNNaker, see `rules/spinnaker_stdp.py`: one rule for all plastic synapses of a population.

    Attributes:
        plus, minus: tables of exp(-i/tau) in 4.11 (1 is 2048), an even number of values, 0 beyond.
        limits: per receptor (wmin, wmax, A+, A-) in s16.15.
        multiplicative: the weight dependence; otherwise additive.
        back_propagation: a spike reaches its synapses as late as a packet reaches the neuron.
        shifts: of the time axes of the tables.
    """

    plus: tuple[int, ...]
    minus: tuple[int, ...]
    limits: tuple[tuple[int, int, int, int], tuple[int, int, int, int]]
    multiplicative: bool = False
    back_propagation: bool = True
    shifts: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class SpinnakerWeightFormat:
    """Integer weights are words of the ring buffer, 0..65535. `receptor` 0 excitatory, 1 inhibitory: magnitudes; None:
    the sign of a weight picks the receptor and its magnitude is the word. `pair`: they are first words and learn."""

    receptor: int | None = None
    pair: SpinnakerPair | None = None


@dataclass(frozen=True, eq=False)
class TrueNorthFormat:
    """How integer weights of one connection are read: by default as they are.

    With `axon_type` [n_src] (0..3) the synapse holds the crossbar's bits, and a bit of axon j acts on neuron i with
    `weight[i, axon_type[j]]` [n_dst, 4]; where `stochastic` [n_dst, 4] is 1, with the weight's sign, by a draw.
    """

    axon_type: Array | None = None
    weight: Array | None = None
    stochastic: Array | None = None
