"""Mean and variance of channels on the CPU as torch takes them: float64 sums of one value after the other.

One value after the other is slow, unless several channels go side by side. A channel's values are beside each other in
memory, so GROUP values of as many channels are read and transposed, and each vector of the result has one value of
every channel.

Source: aten/src/ATen/native/cpu/batch_norm_kernel.cpp of PyTorch 2.13.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from snnkit.kernels.address import allocate, at, beyond, release
from snnkit.kernels.cache import kernel, piece
from snnkit.kernels.lanes import put, rounded, some

GROUP = 8
"""Channels side by side; a power of two."""


def _shuffle(builder, a, b, places):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places)))


def _transposed(builder, rows):
    """GROUP vectors of GROUP: halves are put together like cards, log₂ GROUP times."""
    half, left = GROUP // 2, GROUP
    low, high = ([p for k in range(half) for p in (first + k, first + k + GROUP)] for first in (0, half))
    while left > 1:
        pairs = [(rows[k], rows[k + half]) for k in range(half)]
        rows = [_shuffle(builder, a, b, places) for a, b in pairs for places in (low, high)]
        left //= 2
    return rows


def _places(builder, x, stride, channels, i):
    """The addresses of x[k · stride + i] for GROUP channels k, the last again for those that are missing."""
    size = stride.type
    last = builder.sub(channels, ir.Constant(size, 1))
    numbers = [ir.Constant(size, k) for k in range(GROUP)]
    which = [builder.select(builder.icmp_signed("<", k, channels), k, last) for k in numbers]
    return [builder.gep(x, [builder.add(builder.mul(k, stride), i)]) for k in which]


def _columns(builder, places, count, align):
    """`count` values of every channel, GROUP or 1: as many vectors with one of each."""
    number = places[0].type.pointee
    vector = ir.VectorType(number, GROUP)
    if count == GROUP:
        rows = [builder.load(builder.bitcast(place, vector.as_pointer()), align=align) for place in places]
        return _transposed(builder, rows)
    column = ir.Constant(vector, ir.Undefined)
    for k, place in enumerate(places):
        column = builder.insert_element(column, builder.load(place), ir.Constant(ir.IntType(32), k))
    return [column]


def _adding(count: int):
    @intrinsic
    def add(typing_context, total, x, stride, channels, i):
        def generate(context, builder, signature, args):
            total, *where = args
            for values in _columns(builder, _places(builder, *where), count, x.dtype.bitwidth // 8):
                wide = values if values.type == total.type else builder.fpext(values, total.type)
                total = builder.fadd(total, wide)
            return total

        return total(total, x, types.intp, types.intp, types.intp), generate

    return add


def _adding_squares(count: int):
    @intrinsic
    def add(typing_context, total, mean, x, stride, channels, i):
        def generate(context, builder, signature, args):
            total, mean, *where = args
            for values in _columns(builder, _places(builder, *where), count, x.dtype.bitwidth // 8):
                off = builder.fsub(values, mean)
                square = builder.fmul(off, off)
                wide = square if square.type == total.type else builder.fpext(square, total.type)
                total = builder.fadd(total, wide)
            return total

        return total(total, mean, x, types.intp, types.intp, types.intp), generate

    return add


_add, _add_last = _adding(GROUP), _adding(1)
_add_squares, _add_last_square = _adding_squares(GROUP), _adding_squares(1)


@piece
def _sums(x, step, samples, size, channels, none):
    """Σ x of each of at most GROUP channels, of x [samples, channels, size]; samples are `step` numbers apart."""
    total, whole = none, size // GROUP * GROUP
    for k in range(samples):
        sample = beyond(x, k * step)
        for i in range(0, whole, GROUP):
            total = _add(total, sample, size, channels, i)
        for i in range(whole, size):
            total = _add_last(total, sample, size, channels, i)
    return total


@piece
def _squares(x, step, samples, size, channels, mean, none):
    """As `_sums`, of squared deviations from the mean."""
    total, whole = none, size // GROUP * GROUP
    for k in range(samples):
        sample = beyond(x, k * step)
        for i in range(0, whole, GROUP):
            total = _add_squares(total, mean, sample, size, channels, i)
        for i in range(whole, size):
            total = _add_last_square(total, mean, sample, size, channels, i)
    return total


@kernel
def sums(first, last, block, x, channels, mean, squares):
    """mean = Σ x / n and squares = Σ (x − mean)² of each channel [C], for x [N, C·S]; n = N·S, and a block is GROUP
    channels."""
    samples, step = x.shape
    size = step // channels
    none, count = some(0.0, GROUP), some(np.float64(samples * size), GROUP)
    rows = allocate(1, GROUP, 0.0)
    found = at(rows, 0, 0)
    for b in range(first, last):
        lo = b * block
        n = min(block, channels - lo)
        of_block = at(x, 0, lo * size)
        means = _sums(of_block, step, samples, size, n, none) / count
        put(means, found, 0, False)
        for k in range(n):
            mean[lo + k] = found[k]
        put(_squares(of_block, step, samples, size, n, rounded(means, mean[0]), none), found, 0, False)
        for k in range(n):
            squares[lo + k] = found[k]
    release(rows)
