"""Rows by their address. A kernel's pieces get them, since an array's bookkeeping takes longer to compile than they do.

A kernel's own memory is some rows of one length, `allocate`d at once and `release`d by it. It raises nothing in
between, where it would lose what it has: so there is no second `allocate`, which may raise a MemoryError.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, errors, types
from numba.extending import intrinsic

_ALIGNED = 64
"""Bytes: a cache line, and the widest vector."""

_BYTE, _SIZE = ir.IntType(8), ir.IntType(64)


@intrinsic
def at(typing_context, values, t, lo):
    """The address of values[t, lo], of a contiguous array [T, M] or of what `allocate` gave."""
    array = isinstance(values, types.Array)
    if array and not (values.ndim == 2 and values.layout == "C"):
        raise errors.TypingError(f"a row of {values} has no address")

    def generate(context, builder, signature, args):
        if array:
            given = context.make_array(values)(context, builder, args[0])
            start, width = given.data, cgutils.unpack_tuple(builder, given.shape)[1]
        else:
            start, width = cgutils.unpack_tuple(builder, args[0])
        return builder.gep(start, [builder.add(builder.mul(args[1], width), args[2])])

    return (types.CPointer(values.dtype) if array else values[0])(values, types.intp, types.intp), generate


@intrinsic
def head(typing_context, values):
    """The address of a contiguous array [N]."""
    if not (isinstance(values, types.Array) and values.ndim == 1 and values.layout == "C"):
        raise errors.TypingError(f"{values} has no address as a row")

    def generate(context, builder, signature, args):
        return context.make_array(values)(context, builder, args[0]).data

    return types.CPointer(values.dtype)(values), generate


@intrinsic(prefer_literal=True)
def take(typing_context, rows, first, count):
    """`count` rows of what `allocate` gave, from the one numbered `first` on; `count` is a literal."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    pointers = types.UniTuple(rows[0], count.literal_value)

    def generate(context, builder, signature, args):
        start, size = cgutils.unpack_tuple(builder, args[0])
        first_ = context.cast(builder, args[1], signature.args[1], types.intp)
        begin = builder.gep(start, [builder.mul(first_, size)])
        taken = [builder.gep(begin, [builder.mul(size, ir.Constant(_SIZE, k))]) for k in range(count.literal_value)]
        return context.make_tuple(builder, pointers, taken)

    return pointers(rows, first, count), generate


@intrinsic
def below(typing_context, rows, first):
    """The rows of what `allocate` gave from the one numbered `first` on, as rows of their own; not to be released."""

    def generate(context, builder, signature, args):
        start, size = cgutils.unpack_tuple(builder, args[0])
        begin = builder.gep(start, [builder.mul(args[1], size)])
        return context.make_tuple(builder, rows, [begin, size])

    return rows(rows, types.intp), generate


@intrinsic
def counts(typing_context, row):
    """A row's memory as one of int32 numbers, which are no longer than its own."""
    numbers = types.CPointer(types.int32)

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(numbers))

    return numbers(row), generate


@intrinsic
def recast(typing_context, row, like):
    """A row's memory as a row of what `like` holds, which are no longer than its own."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(like))

    return like(row, like), generate


@intrinsic
def beyond(typing_context, row, i):
    """The address of row[i]."""

    def generate(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return row(row, types.intp), generate


@intrinsic
def allocate(typing_context, count, size, one):
    """Uninitialised memory for rows `at(…, 0, 0)` … `at(…, count − 1, 0)` of `size` numbers of the type of `one`.

    Raises MemoryError where there is none.
    """

    def generate(context, builder, signature, args):
        count, size, _ = args
        item = context.get_abi_sizeof(context.get_data_type(one))
        bytes_ = builder.mul(builder.mul(count, size), ir.Constant(_SIZE, item))
        whole = context.nrt.allocate(builder, builder.add(bytes_, ir.Constant(_SIZE, _ALIGNED + 8)))
        number = builder.add(builder.ptrtoint(whole, _SIZE), ir.Constant(_SIZE, _ALIGNED + 7))
        start = builder.inttoptr(builder.and_(number, ir.Constant(_SIZE, -_ALIGNED)), _BYTE.as_pointer())
        before = builder.bitcast(builder.gep(start, [ir.Constant(_SIZE, -8)]), whole.type.as_pointer())
        builder.store(whole, before)
        rows = builder.bitcast(start, context.get_value_type(signature.return_type[0]))
        return context.make_tuple(builder, signature.return_type, [rows, size])

    return types.Tuple([types.CPointer(one), types.intp])(types.intp, types.intp, one), generate


@intrinsic
def release(typing_context, rows):
    """Give what `allocate` gave back."""

    def generate(context, builder, signature, args):
        start = builder.bitcast(builder.extract_value(args[0], 0), _BYTE.as_pointer())
        before = builder.gep(start, [ir.Constant(_SIZE, -8)])
        context.nrt.free(builder, builder.load(builder.bitcast(before, _BYTE.as_pointer().as_pointer())))
        return context.get_dummy_value()

    return types.void(rows), generate
