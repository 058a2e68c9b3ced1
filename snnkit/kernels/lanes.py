"""Some numbers at once, in vector registers: for what the compiler's own vectoriser has no words.

It takes loops over numbers beside each other. A neuron's own loop is that over time: with some neurons in registers,
their state never goes to memory, and what they write goes there in whole cache lines, past the caches where that is
better. `get`, `put`, `select` and + − · / ≥ < take single numbers as well as Lanes, so arithmetic stands once for both.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

import operator
from collections.abc import Sequence

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from snnkit.kernels.address import at
from snnkit.kernels.bfloat16 import low, to_half, to_number
from snnkit.kernels.cache import piece

LINE = 64
"""Bytes of a cache line, and of the widest vector; another value costs speed and nothing else."""

_LINES = 4
"""Of numbers in Lanes: as many vectors at a time hide how long an operation on one takes."""

FAR = 12 << 20
"""Bytes of an output from which on it is streamed: too many to be found in the caches when they are wanted. An ordinary
store first reads the line that it writes to, and pushes out another that somebody may still need."""

_SIZE = ir.IntType(64)


class Lanes(types.Type):
    """numba's type of `count` numbers."""

    def __init__(self, number: types.Float, count: int) -> None:
        super().__init__(f"Lanes({number}, {count})")
        self.number, self.count = number, count


class Mask(types.Type):
    """numba's type of what a comparison of Lanes gives."""

    def __init__(self, count: int) -> None:
        super().__init__(f"Mask({count})")
        self.count = count


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        number = ir.FloatType() if kind.number == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(number, kind.count))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.IntType(1), kind.count))


def _operator(what, emit, result) -> None:
    """Teach numba what an operator does between Lanes."""

    class Template(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and args[0] == args[1] and isinstance(args[0], Lanes):
                return signature(result(args[0]), *args)
            return None

    def lower(context, builder, sig, args):
        return emit(builder, *args)

    infer_global(what)(Template)
    lower_builtin(what, Lanes, Lanes)(lower)


for _what, _name in (("add", "fadd"), ("sub", "fsub"), ("mul", "fmul"), ("truediv", "fdiv")):
    _operator(getattr(operator, _what), getattr(ir.IRBuilder, _name), lambda kind: kind)
_operator(operator.ge, lambda builder, a, b: builder.fcmp_ordered(">=", a, b), lambda kind: Mask(kind.count))
_operator(operator.lt, lambda builder, a, b: builder.fcmp_ordered("<", a, b), lambda kind: Mask(kind.count))


def _bytes(row) -> int:
    return int(row.dtype.bitwidth // 8)


@intrinsic
def per_line(typing_context, row):
    """Numbers of a row in a cache line."""
    count = LINE // _bytes(row)

    def generate(context, builder, signature, args):
        return ir.Constant(_SIZE, count)

    return types.intp(row), generate


@intrinsic
def on_line(typing_context, row):
    """Whether a row begins with a cache line."""

    def generate(context, builder, signature, args):
        number = builder.ptrtoint(args[0], _SIZE)
        rest = builder.and_(number, ir.Constant(_SIZE, LINE - 1))
        return builder.icmp_unsigned("==", rest, ir.Constant(_SIZE, 0))

    return types.boolean(row), generate


@piece
def streams(x, lo):
    """Whether x [T, M] from x[:, lo] on is streamed: it is large, and all its rows there begin with a cache line."""
    size = x.itemsize
    return x.shape[0] * x.shape[1] * size >= FAR and x.shape[1] * size % LINE == 0 and on_line(at(x, 0, lo))


def shuffled(builder: ir.IRBuilder, value: ir.Value, places: Sequence[int]) -> ir.Value:
    """A vector of those elements of a vector."""
    return builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places)))


def join(builder: ir.IRBuilder, parts: list[ir.Value]) -> ir.Value:
    """One vector of several of a length."""
    while len(parts) > 1:
        count = 2 * parts[0].type.count
        places = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count)))
        parts = [builder.shuffle_vector(a, b, places) for a, b in zip(parts[::2], parts[1::2])]
    return parts[0]


def repeated(builder: ir.IRBuilder, value: ir.Value, count: int) -> ir.Value:
    """A vector of `count` of a number."""
    start = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    return shuffled(builder, builder.insert_element(start, value, ir.Constant(ir.IntType(32), 0)), [0] * count)


@intrinsic(prefer_literal=True)
def some(typing_context, value, count):
    """`count` of a number, a literal."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    lanes = Lanes(value, count.literal_value)

    def generate(context, builder, signature, args):
        return repeated(builder, args[0], lanes.count)

    return lanes(value, count), generate


@intrinsic
def every(typing_context, value):
    """Lanes of a number."""
    count = _LINES * LINE // (value.bitwidth // 8)

    def generate(context, builder, signature, args):
        return repeated(builder, args[0], count)

    return Lanes(value, count)(value), generate


@intrinsic
def alike(typing_context, value, like):
    """The number, or Lanes of it where `like` is such."""
    kind = value if isinstance(like, types.Float) else like

    def generate(context, builder, signature, args):
        return args[0] if kind == value else repeated(builder, args[0], kind.count)

    return kind(value, like), generate


@intrinsic
def rounded(typing_context, value, number):
    """Lanes of float64 as Lanes of the type of `number`, rounded to that."""
    kind = Lanes(number, value.count)

    def generate(context, builder, signature, args):
        vector = context.get_value_type(kind)
        return args[0] if args[0].type == vector else builder.fptrunc(args[0], vector)

    return kind(value, number), generate


@intrinsic
def multiply_add(typing_context, a, b, c):
    """a·b + c, rounded once."""

    def generate(context, builder, signature, args):
        kind = args[0].type
        if not isinstance(kind, ir.VectorType):
            return builder.fma(*args)
        name = f"llvm.fma.v{kind.count}{kind.element.intrinsic_name}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return builder.call(function, args)

    return a(a, b, c), generate


@intrinsic
def many(typing_context, like):
    """How many numbers that is."""
    count = getattr(like, "count", 1)

    def generate(context, builder, signature, args):
        return ir.Constant(_SIZE, count)

    return types.intp(like), generate


@intrinsic
def get(typing_context, row, i, like):
    """row[i], or as many numbers from there on as `like` has; a row of bfloat16's bits gives numbers."""

    def generate(context, builder, signature, args):
        place = builder.gep(args[0], [args[1]])
        if isinstance(like, Lanes):
            place = builder.bitcast(place, ir.VectorType(place.type.pointee, like.count).as_pointer())
        value = builder.load(place, align=_bytes(row))
        return to_number(builder, value) if low(row) else value

    return like(row, types.intp, like), generate


def store(builder: ir.IRBuilder, number: ir.Value, place: ir.Value, size: int, streamed: int) -> None:
    """The instruction that stores a number or vector whose numbers have `size` bytes; where it is `streamed`, past the
    caches, at an address that is a multiple of so many bytes."""
    written = builder.store(number, builder.bitcast(place, number.type.as_pointer()), align=streamed or size)
    if streamed:
        written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))


def _store(streamed: bool):
    def put(typing_context, value, row, i):
        def generate(context, builder, signature, args):
            number = to_half(builder, args[0]) if low(row) else args[0]
            store(builder, number, builder.gep(args[1], [args[2]]), _bytes(row), LINE if streamed else 0)
            return context.get_dummy_value()

        return types.void(value, row, types.intp), generate

    return intrinsic(put)


_put, _stream = _store(False), _store(True)


@piece
def put(value, row, i, streamed):
    """row[i] = value, or as many from there on as there are, narrowed to what the row holds. Where `streamed`, they are
    Lanes, begin with a cache line, and go past the caches: call `landed` in the end."""
    if streamed:
        _stream(value, row, i)
    else:
        _put(value, row, i)


@intrinsic
def select(typing_context, condition, a, b):
    """a where the condition holds, b elsewhere."""

    def generate(context, builder, signature, args):
        return builder.select(*args)

    return a(condition, a, b), generate


@intrinsic
def unordered(typing_context, a, b):
    """Whether a or b is not a number."""

    def generate(context, builder, signature, args):
        return builder.fcmp_unordered("uno", *args)

    return (Mask(a.count) if isinstance(a, Lanes) else types.boolean)(a, b), generate


@intrinsic
def landed(typing_context):
    """What was streamed is in memory before what comes next."""

    def generate(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate
