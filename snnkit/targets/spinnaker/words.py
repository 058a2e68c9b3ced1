"""Words of the machine: synaptic rows, master population table, parameter regions. Written here and read back here.

A row: [P][P plastic words][F][C][F fixed words][ceil(C/2) words of controls], padded to the block's row length; P + 2 +
... : a block of rows of length L (without the 3 header words) has stride L + 3. A fixed word, from the top: weight 16 |
delay | receptor 1 | target. Plastic words: last time, last trace (low half), then weights, two a word. A control is the
low half of a fixed word. Sources: sPyNNaker 7.4.1 neuron/synapse_row.h, population_table.h, pyNN synapse_io.py,
master_pop_table.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.emulator.rows import ragged
from snnkit.errors import DescriptorError
from snnkit.targets.images import FIX
from snnkit.targets.spinnaker import sizes, spec

Array = np.ndarray[Any, Any]

NEURON_FIELDS = ("v_init", "v_rest", "c_m", "tau_m", "i_offset", "v_reset", "tau_refrac", "refrac_init", "ts")


def bits_for(n: int) -> int:
    """Bits of an index below n, at least 1."""
    return max(int(n - 1).bit_length(), 1)


@dataclass(frozen=True, eq=False)
class Synapses:
    """Synapses of one block, in the order of their rows, [S]: row, target, weight word, delay, receptor, plastic."""

    row: Array
    target: Array
    weight: Array
    delay: Array
    receptor: Array
    plastic: Array

    def take(self, which: Array) -> Synapses:
        """Some of them."""
        return Synapses(*(getattr(self, k)[which] for k in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of all neurons of one source on one core. The key of core c, neuron k of a source population is
    key + (c << shift) + (k << colour_bits); neuron k of core c is row c * per_core + k."""

    key: int
    mask: int
    core_mask: int
    shift: int
    per_core: int
    n_rows: int
    synapses: Synapses
    colour_bits: int = spec.COLOUR_BITS

    @property
    def count(self) -> sizes.BlockCount:
        """What it takes."""
        learns = self.synapses.plastic.astype(bool)
        plastic, fixed = (np.bincount(self.synapses.row[w], minlength=self.n_rows) for w in (learns, ~learns))
        length = int(sizes.row_lengths(plastic, fixed).max(initial=0))
        return sizes.BlockCount(self.key, self.mask, self.n_rows, length)


# ---------------------------------------------------------------------------------------------------------------- rows
def encode_rows(block: Block, target_bits: int) -> tuple[Array, int]:
    """(words uint32 of all rows, row length without header). The longest row decides the length."""
    s, n = block.synapses, block.n_rows
    low = (s.delay << (target_bits + spec.RECEPTOR_BITS)) | (s.receptor << target_bits) | s.target
    plastic = s.plastic.astype(bool)
    count_p = np.bincount(s.row[plastic], minlength=n)
    count_f = np.bincount(s.row[~plastic], minlength=n)
    words_p = sizes.plastic_words(count_p)
    stride = sizes.stride(int(sizes.row_lengths(count_p, count_f).max(initial=0)))
    out = np.zeros(n * stride, np.int64)
    start = np.arange(n) * stride
    out[start] = words_p
    out[start + 1 + words_p] = count_f
    out[start + 2 + words_p] = count_p
    fixed = s.take(~plastic)
    order = np.argsort(fixed.row, kind="stable")
    row = fixed.row[order]
    place = start[row] + 3 + words_p[row] + _position(row)
    out[place] = (fixed.weight[order] << 16) | low[~plastic][order]
    if plastic.any():
        moving = s.take(plastic)
        order = np.argsort(moving.row, kind="stable")
        row, at = moving.row[order], _position(moving.row[order])
        np.bitwise_or.at(out, start[row] + 3 + at // 2, moving.weight[order] << (16 * (at % 2)))
        control = start[row] + 3 + words_p[row] + count_f[row] + at // 2
        np.bitwise_or.at(out, control, (low[plastic][order] & 0xFFFF) << (16 * (at % 2)))
    return out.astype(np.uint32), stride - spec.ROW_HEADER_WORDS


def _position(row: Array) -> Array:
    """0, 1, 2, ... within each run of a sorted array."""
    first = np.searchsorted(row, row, side="left")
    return np.arange(len(row)) - first


@dataclass(frozen=True, eq=False)
class Row:
    """Where a row's parts are: numbers of words and first words, all [R]; `end` is behind its last word."""

    start: Array
    plastic_words: Array
    fixed: Array
    controls: Array

    @property
    def end(self) -> Array:
        """Behind the last used word."""
        return self.start + 3 + self.plastic_words + self.fixed + (self.controls + 1) // 2


def read_rows(words: Array, start: Array, length: Array, core: int) -> Row:
    """Headers of the rows that begin at these words, each with room for `length` words behind its header.

    Raises:
        DescriptorError: a row leaves its room or the memory.
    """
    w = words.astype(np.int64)
    room = start + length + spec.ROW_HEADER_WORDS
    if start.size and (start.min() < 0 or room.max() > len(w)):
        raise DescriptorError(f"core {core}: a synaptic row leaves the core's {len(w)} words of memory", fix=FIX)
    p = w[start]
    if (p > length).any():
        raise DescriptorError(f"core {core}: the plastic part of a synaptic row is longer than the row", fix=FIX)
    row = Row(start, p, w[start + 1 + p], w[start + 2 + p])
    if (row.end > room).any() or ((row.controls > 0) & (p != 2 + (row.controls + 1) // 2)).any():
        raise DescriptorError(f"core {core}: a synaptic row is longer than its block says", fix=FIX)
    return row


# --------------------------------------------------------------------------------------------- master population table
def encode_table(blocks: Sequence[Block], target_bits: int) -> tuple[Array, Array]:
    """(population table, synaptic matrix) of one core; blocks with equal key and mask share an entry."""
    groups: dict[tuple[int, int], list[Block]] = {}
    for b in blocks:
        groups.setdefault((b.key, b.mask), []).append(b)
    entries: list[int] = []
    addresses: list[int] = []
    memory: list[Array] = []
    at = 0
    for (key, mask), mine in sorted(groups.items()):
        b = mine[0]
        entries += [key, mask, len(addresses) | b.colour_bits << 13 | len(mine) << 16]
        entries += [b.core_mask | b.shift << 16, b.per_core | -(-b.per_core // 32) << 16]
        for one in mine:
            words, length = encode_rows(one, target_bits)
            pad = -len(words) % (spec.ADDRESS_UNIT // 4)
            addresses.append((length - 1) | (at * 4 // spec.ADDRESS_UNIT) << 8)
            memory.append(np.concatenate([words, np.zeros(pad, np.uint32)]))
            at += len(memory[-1])
    table = np.array([len(groups), len(addresses), *entries, *addresses], np.int64).astype(np.uint32)
    return table, np.concatenate(memory) if memory else np.zeros(0, np.uint32)


@dataclass(frozen=True, eq=False)
class Table:
    """A population table read back: `entries` int64 [E, 8] key, mask, first, colour bits, count, core mask, shift,
    neurons per source core; `length` and `word` int64 [A] of the addressed blocks (length 0: no block)."""

    entries: Array
    length: Array
    word: Array

    def find(self, keys: Array) -> tuple[Array, Array]:
        """(entry or -1, source neuron) of each key."""
        e = self.entries
        if not len(e):
            return np.full(len(keys), -1), np.zeros(len(keys), np.int64)
        matches = (keys[:, None] & e[None, :, 1]) == e[None, :, 0]
        entry = np.where(matches.any(1), matches.argmax(1), -1)
        _, _, _, colour, _, core_mask, shift, per_core = e[np.maximum(entry, 0)].T
        rest = keys & ~e[np.maximum(entry, 0), 1] & 0xFFFFFFFF
        neuron = (rest & ~(core_mask << shift)) >> colour
        return entry, neuron + ((keys >> shift) & core_mask) * per_core


def read_table(words: Array, core: int) -> Table:
    """The population table of one core.

    Raises:
        DescriptorError: it does not have the size it states.
    """
    w = words.astype(np.int64)
    if len(w) < 2 or len(w) != 2 + spec.TABLE_ENTRY_WORDS * w[0] + w[1]:
        raise DescriptorError(f"core {core}: the population table has {len(w)} words, not what it states", fix=FIX)
    e = w[2 : 2 + spec.TABLE_ENTRY_WORDS * w[0]].reshape(-1, spec.TABLE_ENTRY_WORDS)
    address = w[2 + spec.TABLE_ENTRY_WORDS * w[0] :]
    first, count = e[:, 2] & 0x1FFF, e[:, 2] >> 16
    if (first + count > len(address)).any() or (np.diff(e[:, 0]) < 0).any():
        raise DescriptorError(f"core {core}: the population table is not sorted or leaves its addresses", fix=FIX)
    entries = np.stack(
        [e[:, 0], e[:, 1], first, (e[:, 2] >> 13) & 7, count, e[:, 3] & 0xFFFF, e[:, 3] >> 16, e[:, 4] & 0xFFFF], 1
    )
    if (entries[:, 6] > 31).any():
        raise DescriptorError(f"core {core}: the population table shifts a key by more than 31 bits", fix=FIX)
    block = address >> 8
    empty = block == spec.ADDRESS_NONE
    length = np.where(empty, 0, (address & 0xFF) + 1)
    return Table(entries, length, np.where(empty, 0, block * spec.ADDRESS_UNIT // 4))


def found(table: Table, matrix: Array, keys: Array, core: int) -> Array:
    """All words that keys find on a core, int64 [W, 3]: position of the key, 1 if plastic, and the word (weight and
    control of a plastic synapse); sorted.

    Raises:
        DescriptorError: a row leaves the core's memory.
    """
    entry, neuron = table.find(keys)
    key = np.flatnonzero(entry >= 0)
    first, count = table.entries[entry[key], 2], table.entries[entry[key], 4]
    block, key = ragged(first, count), np.repeat(key, count)
    some = table.length[block] > 0
    block, key = block[some], key[some]
    start = table.word[block] + neuron[key] * (table.length[block] + spec.ROW_HEADER_WORDS)
    row = read_rows(matrix, start, table.length[block], core)
    w = matrix.astype(np.int64)
    fixed = w[ragged(start + 3 + row.plastic_words, row.fixed)]
    half = ragged(np.zeros_like(start), row.controls)
    weights, controls = (
        w[np.repeat(at, row.controls) + half // 2] >> (16 * (half % 2)) & 0xFFFF
        for at in (start + 3, start + 3 + row.plastic_words + row.fixed)
    )
    parts = [
        np.stack([np.repeat(key, n), np.full(len(word), plastic), word], 1)
        for plastic, n, word in ((0, row.fixed, fixed), (1, row.controls, weights << 16 | controls))
    ]
    rows = np.concatenate(parts)
    return rows[np.lexsort(rows.T[::-1])]


# --------------------------------------------------------------------------------------------------- parameter regions
def core_params(n: int, most: int, keys: Array | None, shift: tuple[int, int], colour: int = spec.COLOUR_BITS) -> Array:
    """The neuron core's region: has key, neurons, next power of two, colour bits, receptors, shifts, a key a neuron."""
    words = [int(keys is not None), n, 1 << bits_for(most) if most > 1 else 1, colour, spec.RECEPTORS, *shift]
    return np.concatenate([words, np.zeros(n, np.int64) if keys is None else keys]).astype(np.uint32)


def synapse_params(n: int, most: int, delay_bits: int, shift: tuple[int, int]) -> Array:
    """The synapses' region: neurons, receptors, bits of target, receptor and delay, drop late, input buffer, shifts."""
    head = [n, spec.RECEPTORS, bits_for(most), spec.RECEPTOR_BITS, delay_bits, 0, spec.INPUT_BUFFER]
    return np.array([*head, *shift], np.int64).astype(np.uint32)


def neuron_params(raw: Mapping[str, Array], exponential: bool) -> Array:
    """The neurons' region: steps per time step, 9 words a neuron, [step,] threshold, synapse parameters."""
    n = len(raw["v_init"])
    parts: list[Array] = [np.ones(1, np.int64), np.stack([raw[k] for k in NEURON_FIELDS], 1).ravel()]
    zero = np.zeros(n, np.int64)
    if exponential:
        synapse = (raw["tau_syn_e"], zero, raw["tau_syn_i"], zero, raw["ts"])
        parts += [raw["v_thresh"], np.stack(synapse, 1).ravel()]
    else:
        parts += [raw["ts"], raw["v_thresh"], np.stack([zero, zero], 1).ravel()]
    return (np.concatenate(parts).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)


def read_neurons(words: Array, n: int, exponential: bool, core: int) -> dict[str, Array]:
    """The raw parameters of a core's n neurons, int64 by name, with the initial synaptic states `s_e`, `s_i`."""
    size = 1 + n * (spec.NEURON_WORDS + (6 if exponential else 4))
    if len(words) != size or words[0] != 1:
        raise DescriptorError(f"core {core}: the neuron parameters have {len(words)} words, expected {size}", fix=FIX)
    w = words.view(np.int32).astype(np.int64)
    table = w[1 : 1 + n * spec.NEURON_WORDS].reshape(n, -1)
    raw = {k: table[:, i] for i, k in enumerate(NEURON_FIELDS)}
    rest = w[1 + n * spec.NEURON_WORDS :]
    if exponential:
        raw["v_thresh"] = rest[:n]
        synapse = rest[n:].reshape(n, 5)
        raw |= {"tau_syn_e": synapse[:, 0], "s_e": synapse[:, 1], "tau_syn_i": synapse[:, 2], "s_i": synapse[:, 3]}
        bad = (synapse[:, 4] != raw["ts"]).any() or (synapse[:, [0, 2]] <= 0).any()
    else:
        raw["v_thresh"] = rest[n : 2 * n]
        raw |= {"s_e": rest[2 * n :: 2], "s_i": rest[2 * n + 1 :: 2]}
        bad = (rest[:n] != raw["ts"]).any()
    if bad or (raw["ts"] <= 0).any() or (raw["c_m"] <= 0).any() or (raw["tau_m"] <= 0).any():
        raise DescriptorError(f"core {core}: a time constant, capacitance or step is not positive", fix=FIX)
    return raw
