"""The rows of every packet as segments that the kernel walks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.emulator.rows import ragged
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.decode_core import Core, fields, headers, read_core
from snnkit.targets.spinnaker.decode_plastic import Plastic, build_plastic

Array = np.ndarray[Any, Any]

DENSE_SHARE = 0.2
"""Rows that reach this share of a core's ring entries with one delay are added as a whole."""


@dataclass(frozen=True, eq=False)
class Delivery:
    """Fixed synapses by source: segments `ptr[s]` to `ptr[s + 1]` in the order in which they are processed.

    A segment adds `size` words to the slot `delay` steps ahead: to neighbouring entries from `dst` on (index -1), or at
    `indices`. `events`: synapses of a packet of each source; `rows`: rows it makes the cores read.

    Where no slot can saturate (`bound`: the largest sum of words into one ring entry), order does not matter, and rows
    that reach a target once are also kept as int16 with the receptor as sign: `signed_at` of a segment, -1 for none;
    sources with equal `pattern` >= 0 have such rows only, for the same targets and delays. A row of zeros is at `zero`.
    """

    ptr: Array
    dst: Array
    size: Array
    weight_at: Array
    index_at: Array
    delay: Array
    weights: Array
    indices: Array
    events: Array
    rows: Array
    signed_at: Array
    half: Array
    signed: Array
    zero: int
    pattern: Array
    bound: int
    depth: int

    def arguments(self) -> tuple[Any, ...]:
        """The arrays in the order of the kernel."""
        return (
            self.ptr, self.dst, self.size, self.weight_at, self.index_at, self.delay, self.weights, self.indices,
            self.events, self.rows, self.signed_at, self.half, self.signed, self.zero, self.pattern,
        )  # fmt: skip


def build(
    cores: Mapping[int, Core], reached: Mapping[int, tuple[Array, Array]], n_sources: int
) -> tuple[Delivery, Plastic]:
    """The rows of all packets.

    Args:
        cores: by number. reached: (sources, keys) of the packets that arrive at each core.
        n_sources: lines and neurons.

    Raises:
        DescriptorError: a row reaches a neuron that its core does not have.
    """
    parts = [_core_rows(core, *reached[number]) for number, core in cores.items() if number in reached]
    parts = [p for p in parts if len(p[0])]
    depth = 1 << max((c.delay_bits for c in cores.values()), default=1)
    if parts:
        source, order, core_of, start, _ = (np.concatenate(x) for x in zip(*parts))
    else:
        source = order = core_of = start = np.zeros(0, np.int64)
    by = np.lexsort((order, core_of, source))
    source, core_of, start = source[by], core_of[by], start[by]
    return _fixed(cores, source, core_of, start, n_sources, depth), build_plastic(
        cores, source, core_of, start, n_sources
    )


def _core_rows(core: Core, source: Array, keys: Array) -> tuple[Array, ...]:
    """Rows that packets read on one core: (source, order, core, first word, row)."""
    entry, neuron = core.table.find(keys)
    known = entry >= 0
    source, entry, neuron = source[known], entry[known], neuron[known]
    first, count = core.table.entries[entry, 2], core.table.entries[entry, 4]
    which = ragged(first, count)
    source, neuron = np.repeat(source, count), np.repeat(neuron, count)
    length = core.table.length[which]
    start = core.table.word[which] + neuron * (length + spec.ROW_HEADER_WORDS)
    some = length > 0
    start = start[some]
    words.read_rows(core.matrix, start, length[some], core.number)
    return source[some], which[some], np.full(len(start), core.number), start, neuron[some]


def _fixed(
    cores: Mapping[int, Core], source: Array, core_of: Array, start: Array, n_sources: int, depth: int
) -> Delivery:
    heads: list[tuple[Array, ...]] = []
    weights: list[Array] = []
    indices: list[Array] = []
    signed: list[Array] = []
    at_w = at_i = at_s = bound = 0
    events = np.zeros(n_sources, np.int64)
    for number, core in cores.items():
        mine = np.flatnonzero(core_of == number)
        if not len(mine):
            continue
        row = headers(core, start[mine])
        np.add.at(events, source[mine], row.fixed + row.controls)
        begin = row.start + 3 + row.plastic_words
        word = core.matrix[ragged(begin, row.fixed)].astype(np.int64)
        owner = np.repeat(np.arange(len(mine)), row.fixed)
        target, receptor, delay = fields(core, word & 0xFFFF)
        delay = np.where(delay == 0, 1 << core.delay_bits, delay)
        weight = word >> 16
        entry = receptor * core.n + target
        # a row splits by delay; the order of synapses with equal delay is kept
        by = np.lexsort((delay, owner))
        owner, entry, weight, delay = owner[by], entry[by], weight[by], delay[by]
        new = np.ones(len(owner), bool)
        new[1:] = (np.diff(owner) != 0) | (np.diff(delay) != 0)
        head = np.flatnonzero(new)
        size = np.diff(np.append(head, len(owner)))
        piece = np.repeat(np.arange(len(head)), size)
        slot = piece * (2 * core.n) + entry
        once = np.bincount(slot, minlength=len(head) * 2 * core.n).reshape(len(head), 2 * core.n).max(1, initial=0) < 2
        dense = once & (size >= DENSE_SHARE * 2 * core.n)
        rank = np.cumsum(dense) - 1
        full = np.zeros((int(dense.sum()), 2 * core.n), np.uint16)
        inside = dense[piece]
        full[rank[piece[inside]], entry[inside]] = weight[inside]
        small, alike = _signed(core, piece, size, once, entry, weight)
        signed_at = np.where(alike, at_s + (np.cumsum(alike) - 1) * core.n, -1)
        signed.append(small.reshape(-1))
        at_s += small.size
        bound = max(bound, int(np.bincount(entry, weights=weight, minlength=1).max(initial=0)))
        sparse_at = at_w + full.size + np.cumsum(np.where(dense, 0, size)) - np.where(dense, 0, size)
        index_at = np.where(dense, -1, at_i + np.cumsum(np.where(dense, 0, size)) - np.where(dense, 0, size))
        heads.append(
            (
                mine[owner[head]], np.full(len(head), 2 * core.first), np.where(dense, 2 * core.n, size),
                np.where(dense, at_w + rank * 2 * core.n, sparse_at), index_at, delay[head],
                signed_at, np.full(len(head), core.n),
            )
        )  # fmt: skip
        weights += [full.reshape(-1), weight[~inside].astype(np.uint16)]
        indices.append(entry[~inside].astype(np.int32))
        at_w += full.size + int((~inside).sum())
        at_i += int((~inside).sum())
    if heads:
        row_of, dst, size, weight_at, index_at, delay, signed_at, half = (np.concatenate(x) for x in zip(*heads))
    else:
        row_of = dst = size = weight_at = index_at = delay = signed_at = half = np.zeros(0, np.int64)
    by = np.argsort(row_of, kind="stable")
    ptr = np.searchsorted(source[row_of[by]], np.arange(n_sources + 1)).astype(np.int64)
    dst, size, weight_at, index_at, delay = (x[by] for x in (dst, size, weight_at, index_at, delay))
    signed_at, half = signed_at[by], half[by]
    longest = int(half.max(initial=0))
    return Delivery(
        ptr, dst, size, weight_at, index_at, delay, np.concatenate([np.zeros(0, np.uint16), *weights]),
        np.concatenate([np.zeros(0, np.int32), *indices]), events,
        np.bincount(source, minlength=n_sources).astype(np.int64), signed_at, half,
        np.concatenate([*signed, np.zeros(longest, np.int16)]), at_s, _patterns(ptr, dst, delay, signed_at),
        bound, depth,
    )  # fmt: skip


def _signed(core: Core, piece: Array, size: Array, once: Array, entry: Array, weight: Array) -> tuple[Array, Array]:
    """Rows as int16 [K, n] with the receptor as sign, and which pieces they are: a target once, words below 2**15."""
    n = core.n
    target = entry % n
    hits = np.bincount(piece * n + target, minlength=len(size) * n).reshape(len(size), n).max(1, initial=0)
    large = np.zeros(len(size), bool)
    large[piece[weight > np.iinfo(np.int16).max]] = True
    alike = once & (hits < 2) & ~large & (size >= DENSE_SHARE * n)
    rows = np.zeros((int(alike.sum()), n), np.int16)
    inside = alike[piece]
    rows[(np.cumsum(alike) - 1)[piece[inside]], target[inside]] = np.where(entry < n, weight, -weight)[inside]
    return rows, alike


def _patterns(ptr: Array, dst: Array, delay: Array, signed_at: Array) -> Array:
    """Sources whose rows are all signed and cover the same targets with the same delays share a number >= 0."""
    known: dict[tuple[bytes, bytes], int] = {}
    pattern = np.full(len(ptr) - 1, -1, np.int64)
    for source in np.flatnonzero(np.diff(ptr) > 0):
        mine = slice(ptr[source], ptr[source + 1])
        if (signed_at[mine] >= 0).all():
            pattern[source] = known.setdefault((dst[mine].tobytes(), delay[mine].tobytes()), len(known))
    return pattern


__all__ = ["Core", "Delivery", "Plastic", "build", "read_core"]
