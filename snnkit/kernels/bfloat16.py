"""Rows of sequences in bfloat16, float32 without its lower half, which the kernels read and write themselves.

numba has no such type: a sequence in it comes as its bits, int16. Reading is exact; writing rounds to the nearest, ties
to even, as torch does. Sequences in other types are used where they lie.
"""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import overload


def read(x: Any, t: int, lo: int, n: int, room: Any) -> Any:
    """x[t, lo : lo + n] as a row of numbers, in `room` where it has to be converted."""
    raise NotImplementedError


def target(x: Any, t: int, lo: int, n: int, room: Any) -> Any:
    """A row to compute x[t, lo : lo + n] in; `write` brings it there."""
    raise NotImplementedError


def write(source: Any, x: Any, t: int, lo: int, n: int) -> None:
    """x[t, lo : lo + n] = source, unless it is `target`'s."""
    raise NotImplementedError


def _here(x, t, lo, n, room):
    return x[t, lo : lo + n]


def _widen(x, t, lo, n, room):
    half, whole = x[t, lo : lo + n], room.view(np.int32)
    for i in range(n):
        whole[i] = np.int32(half[i]) << 16
    return room[:n]


def _room(x, t, lo, n, room):
    return room[:n]


def _nothing(source, x, t, lo, n):
    pass


def _round(source, x, t, lo, n):
    half, whole = x[t, lo : lo + n], source.view(np.int32)
    for i in range(n):
        b = whole[i]
        rounded = (b + 0x7FFF + ((b >> 16) & 1)) >> 16
        half[i] = rounded if (b & 0x7FFFFFFF) <= 0x7F800000 else 0x7FC0


@overload(read)
def _read(x, t, lo, n, room):
    return _widen if isinstance(x.dtype, types.Integer) else _here


@overload(target)
def _target(x, t, lo, n, room):
    return _room if isinstance(x.dtype, types.Integer) else _here


@overload(write)
def _write(source, x, t, lo, n):
    return _round if isinstance(x.dtype, types.Integer) else _nothing
