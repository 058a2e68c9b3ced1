"""From decoded synapse lists to the segments that `delivery.deliver` walks. No chip names, numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.errors import DescriptorError

Array = np.ndarray[Any, Any]

MAX_SEGMENTS = 2**26
ALIGN = 16
"""Dense rows start and end at multiples of this many targets."""
_FEW_ROWS = 16
"""Sources with more rows than this are delivered one at a time."""
LONG_RUN = 8
"""Lists whose runs of neighbouring targets are at least this long on average are delivered as dense segments."""


@dataclass(frozen=True)
class Lists:
    """Synapse lists: list l holds entries `ptr[l]` to `ptr[l + 1]`. `weight` int64 in units of the membrane input,
    `target` int32 offset from the base of whoever uses the list, `delay` int32 in steps."""

    ptr: Array
    weight: Array
    target: Array
    delay: Array


@dataclass(frozen=True)
class Rows:
    """Segments by source. `unit`: weights are stored divided by 2**unit. `bound`: no sum of one step, divided by
    2**unit and for counts of 1, is larger. `events`: synapses by source. `depth`, `width`: shape of the
    accumulators that the rows reach into."""

    ptr: Array
    dst: Array
    size: Array
    weight_at: Array
    index_at: Array
    delay: Array
    factor: Array
    weights: Array
    indices: Array
    pattern: Array
    zero_at: int
    unit: int
    bound: int
    events: Array
    depth: int
    width: int

    def arguments(self) -> tuple[Any, ...]:
        """The arrays in the order `deliver` takes them."""
        return (
            self.ptr,
            self.dst,
            self.size,
            self.weight_at,
            self.index_at,
            self.delay,
            self.factor,
            self.weights,
            self.indices,
            self.pattern,
            self.zero_at,
        )


def ragged(start: Array, size: Array) -> Array:
    """start[0], start[0]+1, ..., start[0]+size[0]-1, start[1], ... as one array."""
    ends = np.cumsum(size)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(np.asarray(start, np.int64) - (ends - size), size)


@dataclass(frozen=True)
class _Segments:
    """Rows of sources: targets dst.. (dense) or dst + indices (sparse), weights from `at` on, all [S]."""

    src: Array
    dst: Array
    size: Array
    at: Array
    delay: Array
    exponent: Array
    dense: Array

    def take(self, which: Array) -> _Segments:
        """The rows at these places."""
        return _Segments(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def build(lists: Lists, source: Array, list_of: Array, base: Array, n_sources: int) -> Rows:
    """Rows of all sources.

    Args:
        lists: what the memory holds.
        source: [E] source of each connection. list_of: [E] list it triggers. base: [E] target of the list's offset 0.
        n_sources: number of sources.

    Raises:
        DescriptorError: the tables describe more segments than can be held.
    """
    piece_ptr, size, at, offset, delay, is_dense, lists = _pieces(lists)
    weights, unit, exponent = _small_weights(lists)

    n_pieces = np.diff(piece_ptr)[list_of]
    if int(n_pieces.sum()) > MAX_SEGMENTS:
        raise DescriptorError(
            f"the axon tables describe {int(n_pieces.sum())} pieces of synapse rows, at most {MAX_SEGMENTS} can be run",
            fix="split the network",
        )
    piece = ragged(piece_ptr[list_of], n_pieces)
    src = np.repeat(source, n_pieces)
    rows = _Segments(
        src, np.repeat(base, n_pieces) + offset[piece], size[piece], at[piece], delay[piece],
        exponent[at[piece]] if len(piece) else np.zeros(0, np.int64), is_dense[piece],
    )  # fmt: skip
    rows = rows.take(np.lexsort((rows.dst, rows.exponent, rows.delay, ~rows.dense, rows.src)))
    # a sparse row may name a target more than once; a dense one cannot
    repeated = np.where(_rises(lists, at, size) | is_dense, 1, size)[piece]
    events = np.bincount(rows.src, weights=rows.size, minlength=n_sources).astype(np.int64)
    rows, weights = _own_rows(rows, weights)
    factor = np.int64(1) << rows.exponent
    row_ptr = np.searchsorted(rows.src, np.arange(n_sources + 1)).astype(np.int32)
    largest = int(np.abs(weights.astype(np.int64)).max(initial=0)) * int(factor.max(initial=1))
    # a row of zeros fills up groups of eight sources
    zero_at, weights = len(weights), np.concatenate([weights, np.zeros(int(rows.size.max(initial=0)), weights.dtype)])
    index_at = np.where(rows.dense, -1, rows.at)
    return Rows(
        ptr=row_ptr,
        dst=rows.dst,
        size=rows.size,
        weight_at=rows.at,
        index_at=index_at,
        delay=rows.delay,
        factor=factor,
        weights=weights,
        indices=lists.target.astype(np.int32),
        pattern=_patterns(row_ptr, rows, weights.dtype == np.int8),
        zero_at=zero_at,
        unit=unit,
        bound=largest * int(repeated.sum()),
        events=events,
        depth=int(rows.delay.max(initial=0)) + 1,
        width=max(int((rows.dst + np.where(rows.dense, rows.size, 1)).max(initial=0)), 1),
    )


def _own_rows(rows: _Segments, weights: Array) -> tuple[_Segments, Array]:
    """Give each source its own copy of its dense rows, joined over cores and aligned; unless that takes much memory.

    Rows with the same delay and scale join if less than `ALIGN` targets lie between them, then start and end at
    multiples of `ALIGN`. The gaps hold zeros. So the rows of most sources cover the same targets even where a lowering
    left out single zeros, and the inner loops have no remainders.
    """
    dense = rows.dense
    joins = np.zeros(len(dense), bool)
    end = rows.dst + rows.size
    gap = rows.dst[1:] - end[:-1]
    same = (rows.src, rows.delay, rows.exponent)
    joins[1:] = dense[1:] & dense[:-1] & (gap >= 0) & (gap < ALIGN)
    for key in same:
        joins[1:] &= key[1:] == key[:-1]
    head = np.flatnonzero(~joins)
    if not len(head):
        return rows, weights
    joined = rows.take(head)
    first = joined.dst // ALIGN * ALIGN
    last = -(-np.append(end[head[1:] - 1], end[-1]) // ALIGN) * ALIGN
    length = np.where(joined.dense, last - first, 0)
    if int(length.sum()) > max(8 * len(weights), 2**22):
        return rows, weights
    old = len(weights) if (~dense).any() else 0
    at = old + np.cumsum(length) - length
    own = np.zeros(old + int(length.sum()), weights.dtype)
    own[:old] = weights[:old]
    run = np.cumsum(~joins) - 1
    to = at[run] + rows.dst - first[run]
    own[ragged(to[dense], rows.size[dense])] = weights[ragged(rows.at[dense], rows.size[dense])]
    aligned = _Segments(
        joined.src,
        np.where(joined.dense, first, joined.dst),
        np.where(joined.dense, length, joined.size),
        np.where(joined.dense, at, joined.at),
        joined.delay,
        joined.exponent,
        joined.dense,
    )
    return aligned, own


def _rises(lists: Lists, at: Array, size: Array) -> Array:
    """Whether the targets of each piece (entries at.. of the lists) strictly rise."""
    if not len(at):
        return np.zeros(0, bool)
    falls = np.zeros(len(lists.target), np.int64)
    falls[1:] = np.diff(lists.target) <= 0
    falls[at] = 0
    return np.asarray(np.add.reduceat(falls, at) == 0)


def _pieces(lists: Lists) -> tuple[Array, Array, Array, Array, Array, Array, Lists]:
    """Cut every list into dense runs, or into one sparse piece per delay where the runs are short.

    Returns piece_ptr [L+1], and per piece: size, first entry, offset added to the base, delay, is dense; and the lists
    in the order the pieces refer to.
    """
    n_lists, total = len(lists.ptr) - 1, len(lists.weight)
    owner = np.repeat(np.arange(n_lists), np.diff(lists.ptr))
    first = np.zeros(total, bool)
    first[lists.ptr[:-1][np.diff(lists.ptr) > 0]] = True
    run = first.copy()
    run[1:] |= (np.diff(lists.target) != 1) | (np.diff(lists.delay) != 0)
    n_runs = np.bincount(owner[run], minlength=n_lists)
    dense_list = np.diff(lists.ptr) >= LONG_RUN * n_runs
    dense_list |= n_runs == 1
    dense = dense_list[owner] if total else np.zeros(0, bool)
    delay = np.where(dense, 0, lists.delay)
    if ((np.diff(delay) < 0) & (np.diff(owner) == 0)).any():
        order = np.lexsort((delay, owner))
        lists = Lists(lists.ptr, lists.weight[order], lists.target[order], lists.delay[order])
    by_delay = first.copy()
    by_delay[1:] |= np.diff(lists.delay) != 0
    head = np.flatnonzero(np.where(dense, run, by_delay))
    size = np.diff(np.append(head, total))
    piece_ptr = np.concatenate([[0], np.cumsum(np.bincount(owner[head], minlength=n_lists))]).astype(np.int64)
    is_dense = dense[head]
    offset = np.where(is_dense, lists.target[head], 0).astype(np.int64)
    return piece_ptr, size, head, offset, lists.delay[head].astype(np.int64), is_dense, lists


def _patterns(ptr: Array, rows: _Segments, int8: bool) -> Array:
    """Sources whose dense rows cover the same targets share a number >= 0; -1 where `deliver_alike` cannot be used."""
    n_rows = np.diff(ptr)
    pattern = np.full(len(n_rows), -1, np.int32)
    if not int8 or not len(rows.src):
        return pattern
    key = np.stack([rows.dst, rows.size, rows.delay, rows.exponent, rows.dense.astype(np.int64)], axis=1)
    _, kind = np.unique(key, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    sparse = np.concatenate([[0], np.cumsum(~rows.dense)])
    usable = np.flatnonzero((n_rows > 0) & (n_rows <= _FEW_ROWS) & (sparse[ptr[1:]] == sparse[ptr[:-1]]))
    known: dict[bytes, int] = {}
    for source in usable:
        pattern[source] = known.setdefault(kind[ptr[source] : ptr[source + 1]].tobytes(), len(known))
    return pattern


def _small_weights(lists: Lists) -> tuple[Array, int, Array]:
    """Weights as the smallest integers that hold them: (weights, unit, exponent per entry).

    weight = weights << (unit + exponent). One exponent for everything if int8 holds that, else one per list.
    """
    w = lists.weight.astype(np.int64)
    exponent = np.zeros(len(w), np.int64)
    if not len(w) or not w.any():
        return np.zeros(len(w), np.int8), 0, exponent
    unit = _trailing_zeros(int(np.bitwise_or.reduce(w)))
    small = w >> unit
    if not _fits(small, np.int8):
        filled = np.flatnonzero(np.diff(lists.ptr) > 0)
        zeros = np.full(len(lists.ptr) - 1, 63)
        joint = np.bitwise_or.reduceat(w, lists.ptr[:-1][filled])
        # trailing zeros are classes of scale: a few in any network, so that rows of neighbouring cores still join
        zeros[filled] = [_trailing_zeros(int(x)) if x else unit for x in joint]
        exponent = np.repeat(zeros, np.diff(lists.ptr)) - unit
        if not _fits(w >> (unit + exponent), np.int8):
            exponent[:] = 0
        small = w >> (unit + exponent)
    for dtype in (np.int8, np.int32):
        if _fits(small, dtype):
            return small.astype(dtype), unit, exponent
    raise DescriptorError("a synaptic weight does not fit 32 bits", fix="the file is damaged; export it again")


def _fits(x: Array, dtype: Any) -> bool:
    info = np.iinfo(dtype)
    return bool(x.min() >= info.min and x.max() <= info.max)


def _trailing_zeros(x: int) -> int:
    return (x & -x).bit_length() - 1
