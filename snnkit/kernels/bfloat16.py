"""Rows of sequences in bfloat16, float32 without its lower half, which the kernels read and write themselves.

numba has no such type: a sequence in it comes as its bits, int16. Reading is exact; writing rounds to the nearest, ties
to even, as torch does. Sequences in other types are used where they lie.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from snnkit.kernels.address import at
from snnkit.kernels.cache import piece_options, row

_HALF, _WHOLE, _NUMBER = ir.IntType(16), ir.IntType(32), ir.FloatType()


def low(values: Any) -> bool:
    """Whether a row, an array or a number of it is the bits of bfloat16."""
    return isinstance(getattr(values, "dtype", values), types.Integer)


def _like(number, kind):
    """`kind`, or a vector of as many as `number` has."""
    count = getattr(number.type, "count", None)
    return kind if count is None else ir.VectorType(kind, count)


def _constant(number, kind, value):
    """That value of `_like`."""
    count = getattr(number.type, "count", None)
    return ir.Constant(_like(number, kind), value if count is None else [value] * count)


def to_number(builder: ir.IRBuilder, half: ir.Value) -> ir.Value:
    """The instructions that widen bfloat16's bits, or a vector of them, to float32."""
    bits = builder.shl(builder.sext(half, _like(half, _WHOLE)), _constant(half, _WHOLE, 16))
    return builder.bitcast(bits, _like(half, _NUMBER))


def to_half(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """The instructions that narrow a float32, or a vector of them, to bfloat16's bits."""

    def constant(value):
        return _constant(number, _WHOLE, value)

    bits = builder.bitcast(number, _like(number, _WHOLE))
    odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
    rounded = builder.lshr(builder.add(builder.add(bits, constant(0x7FFF)), odd), constant(16))
    none = builder.fcmp_unordered("uno", number, number)
    return builder.trunc(builder.select(none, constant(0x7FC0), rounded), _like(number, _HALF))


@intrinsic
def wide(typing_context, value):
    """A number of a row that may be bfloat16's bits, as a float."""

    def generate(context, builder, signature, args):
        return to_number(builder, args[0]) if low(value) else args[0]

    return (types.float32 if low(value) else value)(value), generate


@intrinsic
def narrow(typing_context, row, value):
    """A float as `row` holds it, or what is held so already."""

    def generate(context, builder, signature, args):
        return to_half(builder, args[1]) if low(row) and not low(value) else args[1]

    return (row.dtype if low(row) else value)(row, value), generate


@intrinsic
def held(typing_context, row, value):
    """A float rounded to what `row` can hold."""

    def generate(context, builder, signature, args):
        return to_number(builder, to_half(builder, args[1])) if low(row) else args[1]

    return value(row, value), generate


def read(x: Any, t: int, lo: int, n: int, room: Any) -> Any:
    """The row x[t, lo : lo + n] as numbers, in `room` where it has to be converted. Rows are addresses."""
    raise NotImplementedError


def target(x: Any, t: int, lo: int, room: Any) -> Any:
    """A row to compute x[t, lo : …] in; `write` brings it there."""
    raise NotImplementedError


def write(source: Any, x: Any, t: int, lo: int, n: int) -> None:
    """x[t, lo : lo + n] = source, unless it is `target`'s."""
    raise NotImplementedError


@row
def convert(source, out, n):
    """out[:n] = source, each of numbers or of bfloat16's bits."""
    for i in range(n):
        out[i] = narrow(out, wide(source[i]))


@row
def _widen(half, whole, n):
    for i in range(n):
        whole[i] = wide(half[i])


@row
def _round(whole, half, n):
    for i in range(n):
        half[i] = narrow(half, whole[i])


def _here(x, t, lo, n, room):
    return at(x, t, lo)


def _widened(x, t, lo, n, room):
    _widen(at(x, t, lo), room, n)
    return room


def _itself(x, t, lo, room):
    return at(x, t, lo)


def _room(x, t, lo, room):
    return room


def _nothing(source, x, t, lo, n):
    pass


def _rounded(source, x, t, lo, n):
    _round(source, at(x, t, lo), n)


@overload(read, jit_options=piece_options())
def _read(x, t, lo, n, room):
    return _widened if low(x) else _here


@overload(target, jit_options=piece_options())
def _target(x, t, lo, room):
    return _room if low(x) else _itself


@overload(write, jit_options=piece_options())
def _write(source, x, t, lo, n):
    return _rounded if low(x) else _nothing
