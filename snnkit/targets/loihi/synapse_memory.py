"""The bits of Loihi's synapse memory: lists of synapses to words and back.

A list of synapses starts at its axon's word and consists of blocks, each padded to whole words: 4 bits format index,
6 bits number of synapses minus one, then per synapse weight, delay, tag and (if sparse) index, least significant bit
first. This is the size nengo-loihi 1.1.0 counts (block.py, SynapseConfig.bits_per_axon). Within a dense list the
targets are base, base + 1, ...; within a sparse one base + index. A population axon with a atoms holds a lists of equal
length one after the other (blocks may span atoms); a spike with atom k uses the k-th. A base is below 256 for every
kind of axon, and a multiple of 4 for 16-bit population axons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.errors import DescriptorError
from snnkit.targets.images import FIX
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.synapse_format import SynapseFormat, decode_weights, encode_weights
from snnkit.targets.loihi.tables import FORMAT_COLUMNS

Array = np.ndarray[Any, Any]


def encode_synapses(
    formats: Sequence[SynapseFormat],
    list_format: Array,
    list_ptr: Array,
    mantissa: Array,
    index: Array | None = None,
    delay: Array | None = None,
) -> tuple[Array, Array]:
    """Lay out the lists of one core one after the other.

    Args:
        formats: the core's table, row 0 unused.
        list_format: [L] row of `formats` of each list.
        list_ptr: [L+1] first synapse of each list in the following arrays.
        mantissa: [S] weight mantissas.
        index: [S] offsets from the axon's base, needed for sparse lists only.
        delay: [S] delay registers, 0 if not given.

    Returns:
        (words uint64 [W], first word int64 [L] of each list)

    Raises:
        DescriptorError: a value does not fit its field.
    """
    list_ptr = np.asarray(list_ptr, np.int64)
    list_format = np.asarray(list_format, np.int64)
    length = np.diff(list_ptr)
    total = int(list_ptr[-1])
    if (length <= 0).any():
        raise DescriptorError("an empty list of synapses cannot be stored", fix="leave the axon out")
    if list_format.size and (list_format.min() < 1 or list_format.max() >= len(formats)):
        raise DescriptorError(f"synapse format index outside 1..{len(formats) - 1}")
    table = np.array(formats, np.int64).reshape(-1, len(FORMAT_COLUMNS))
    widths = _widths(table)
    bits = widths.sum(1)
    per_block = table[:, 7] + 1
    full_words = -(-(spec.HEADER_BITS + per_block * bits) // spec.SYNAPSE_WORD_BITS)

    n_full, rest = np.divmod(length, per_block[list_format])
    words_of = n_full * full_words[list_format] + np.where(
        rest > 0, -(-(spec.HEADER_BITS + rest * bits[list_format]) // spec.SYNAPSE_WORD_BITS), 0
    )
    word_ptr = np.concatenate([[0], np.cumsum(words_of)]).astype(np.int64)
    words = np.zeros(int(word_ptr[-1]) + 1, np.uint64)

    value = np.zeros(total, np.uint64)
    fmt = np.repeat(list_format, length)
    for row in np.unique(list_format):
        mine = fmt == row
        f = SynapseFormat(*(int(x) for x in table[row]))
        v = encode_weights(np.asarray(mantissa)[mine], f)
        shift = f.weight_bits
        d = np.zeros(v.shape, np.int64) if delay is None else np.asarray(delay, np.int64)[mine]
        _fits(d, f.delay_bits, "delay", spec.DELAY_MAX)
        v |= d.astype(np.uint64) << np.uint64(shift)
        shift += f.delay_bits + f.tag_bits
        if f.compression == spec.SPARSE:
            if index is None:
                raise DescriptorError("a sparse list of synapses needs indices")
            i = np.asarray(index, np.int64)[mine]
            _fits(i, f.index_bits, "index", None)
            v |= i.astype(np.uint64) << np.uint64(shift)
        value[mine] = v

    position = np.arange(total) - np.repeat(list_ptr[:-1], length)
    block, slot = np.divmod(position, per_block[fmt])
    start = np.repeat(word_ptr[:-1], length) + block * full_words[fmt]
    first = slot == 0
    count = np.minimum(np.repeat(length, length) - position, per_block[fmt])
    words[start[first]] = (fmt[first] | (count[first] - 1) << spec.HEADER_FORMAT_BITS).astype(np.uint64)

    offset = start * spec.SYNAPSE_WORD_BITS + spec.HEADER_BITS + slot * bits[fmt]
    word, bit = offset >> 6, (offset & 63).astype(np.uint64)
    if total:
        change = np.flatnonzero(np.diff(word, prepend=-1))
        words[word[change]] |= np.bitwise_or.reduceat(value << bit, change)
        spill = np.flatnonzero((offset & 63) + bits[fmt] > spec.SYNAPSE_WORD_BITS)
        words[word[spill] + 1] |= value[spill] >> (np.uint64(64) - bit[spill])
    return words[:-1], word_ptr[:-1]


@dataclass(frozen=True)
class DecodedSynapses:
    """Lists read from the synapse memory of one core: `ptr` [L+1], the rest per synapse [S].

    `mantissa` int32 after the dropped bits; `wgt_exp` int8; `index` int32, -1 where the list is dense; `delay` uint8.
    """

    ptr: Array
    mantissa: Array
    wgt_exp: Array
    index: Array
    delay: Array


def decode_synapses(formats: Array, words: Array, word: Array, n_synapses: Array, *, core: int = 0) -> DecodedSynapses:
    """Read lists of one core: list l starts at `word[l]` and holds `n_synapses[l]` synapses.

    The formats come from the block headers. `formats` is the core's part of `synapse_format`.

    Raises:
        DescriptorError: a list leaves the memory, a header names no format, or a field is out of range.
    """
    table = np.asarray(formats, np.int64).reshape(-1, len(FORMAT_COLUMNS))
    n_synapses = np.asarray(n_synapses, np.int64)
    n_words = len(words)
    total = int(n_synapses.sum())
    if total > n_words * spec.SYNAPSES_PER_BLOCK:
        raise DescriptorError(
            f"core {core}: input axons describe {total} different synapses in {n_words} words of synapse memory",
            fix=FIX,
        )
    bits = _widths(table).sum(1)
    at, left = np.asarray(word, np.int64).copy(), n_synapses.copy()
    active = np.flatnonzero(left > 0)
    lists, starts, counts, rows = [], [], [], []
    while active.size:
        here = at[active]
        if (here < 0).any() or (here >= n_words).any():
            raise _memory_error(core, n_words)
        header = words[here]
        row = (header & np.uint64(15)).astype(np.int64)
        n = ((header >> np.uint64(spec.HEADER_FORMAT_BITS)) & np.uint64(63)).astype(np.int64) + 1
        if (row == 0).any() or (row >= len(table)).any():
            wrong = int(here[(row == 0) | (row >= len(table))][0])
            raise DescriptorError(
                f"core {core}: word {wrong} of the synapse memory is no block header (it names no synapse format)",
                fix=FIX,
            )
        if (n > left[active]).any():
            raise DescriptorError(
                f"core {core}: a block of synapses is longer than its input axon's list",
                fix=FIX,
            )
        lists.append(active)
        starts.append(here)
        counts.append(n)
        rows.append(row)
        at[active] += -(-(spec.HEADER_BITS + n * bits[row]) // spec.SYNAPSE_WORD_BITS)
        left[active] -= n
        if (at[active] > n_words).any():
            raise _memory_error(core, n_words)
        active = active[left[active] > 0]
    ptr = np.concatenate([[0], np.cumsum(n_synapses)]).astype(np.int64)
    if not lists:
        empty = np.zeros(0, np.int32)
        return DecodedSynapses(ptr, empty, empty.astype(np.int8), empty, empty.astype(np.uint8))
    which = np.concatenate(lists)
    order = np.argsort(which, kind="stable")
    count, row = np.concatenate(counts)[order], np.concatenate(rows)[order]
    start = np.concatenate(starts)[order]
    fmt = np.repeat(row, count)
    slot = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
    offset = np.repeat(start, count) * spec.SYNAPSE_WORD_BITS + spec.HEADER_BITS + slot * bits[fmt]
    w, bit = offset >> 6, (offset & 63).astype(np.uint64)
    padded = np.concatenate([words, np.zeros(1, np.uint64)])
    value = (padded[w] >> bit) | (padded[w + 1] << np.uint64(1) << (np.uint64(63) - bit))
    width = _widths(table)[fmt]
    mantissa = decode_weights(_take(value, 0, width[:, 0]), table[fmt, 1], width[:, 0])
    delay = _take(value, width[:, 0], width[:, 1])
    if delay.size and int(delay.max()) > spec.DELAY_MAX:
        raise DescriptorError(f"core {core}: a synaptic delay of {int(delay.max())} is above {spec.DELAY_MAX}")
    index = _take(value, width[:, :3].sum(1), width[:, 3]).astype(np.int32)
    index[table[fmt, 6] == spec.DENSE] = -1
    return DecodedSynapses(ptr, mantissa, table[fmt, 0].astype(np.int8), index, delay.astype(np.uint8))


def _widths(table: Array) -> Array:
    """[F,4] widths of weight, delay, tag and index field."""
    weight = np.array(spec.WEIGHT_BITS, np.int64)[table[:, 2]]
    index = np.where(table[:, 6] == spec.SPARSE, np.array(spec.INDEX_BITS, np.int64)[table[:, 5]], 0)
    return np.stack([weight, table[:, 3], table[:, 4], index], axis=1)


def _take(value: Array, shift: Array | int, width: Array) -> Array:
    mask = (np.uint64(1) << width.astype(np.uint64)) - np.uint64(1)
    return (value >> np.asarray(shift, np.uint64)) & mask


def _fits(value: Array, bits: int, what: str, limit: int | None) -> None:
    if value.size and (int(value.min()) < 0 or int(value.max()) >= 1 << bits or (limit and int(value.max()) > limit)):
        raise DescriptorError(
            f"a synaptic {what} of {int(value.max())} does not fit a field of {bits} bits",
            fix=f"give the synapse format more {what} bits",
        )


def _memory_error(core: int, n_words: int) -> DescriptorError:
    return DescriptorError(
        f"core {core}: an input axon's list of synapses leaves the core's {n_words} words of synapse memory",
        fix=FIX,
    )
