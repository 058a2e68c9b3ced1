"""Loihi's part of the descriptor: the memory images, their checks, and the bits of the synapse memory.

Per-core tables stand one after the other; `core_ptr[c]` to `core_ptr[c + 1]` are the rows of core c. Cores are numbered
through all chips: core c is core c % 128 of chip c // 128.

    name                  type    shape   columns
    core_ptr              int64   [C+1,7] first row in each table of POINTER_COLUMNS
    core                  int32   [C,4]   CORE_COLUMNS
    compartment_profile   int32   [P,3]   PROFILE_COLUMNS
    threshold_profile     int32   [V]     vth mantissa
    compartment           int32   [N,4]   COMPARTMENT_COLUMNS, profile and threshold rows counted within the core
    synapse_format        int32   [F,8]   FORMAT_COLUMNS; row 0 of each core is unused and zero
    synapse_memory        uint64  [W]     64-bit words
    input_axon            int32   [A,5]   INPUT_AXON_COLUMNS, word counted within the core
    output_axon           int32   [O,5]   OUTPUT_AXON_COLUMNS, compartment and axon counted within their cores
    host_input            int32   [L,5]   HOST_INPUT_COLUMNS, the host's injection table
    placement.<layer>     int32   [n,2]   (core, compartment) of each neuron: labels probes, routes nothing

A list of synapses starts at its axon's word and consists of blocks, each padded to whole words: 4 bits format index,
6 bits number of synapses minus one, then per synapse weight, delay, tag and (if sparse) index, least significant bit
first. This is the size nengo-loihi 1.1.0 counts (block.py, SynapseConfig.bits_per_axon). Within a dense list the
targets are base, base + 1, ...; within a sparse one base + index. A population axon with a atoms holds a lists of equal
length one after the other (blocks may span atoms); a spike with atom k uses the k-th. A base is below 256 for every
kind of axon, and a multiple of 4 for 16-bit population axons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from snnkit.errors import DescriptorError
from snnkit.targets.images import FIX, bad, check_range, check_tables
from snnkit.targets.loihi import spec

Array = np.ndarray[Any, Any]

POINTER_COLUMNS = (
    "compartment",
    "compartment_profile",
    "threshold_profile",
    "synapse_format",
    "input_axon",
    "output_axon",
    "synapse_memory",
)
CORE_COLUMNS = ("ds_offset", "vmin_exp", "vmax_exp", "noise_at_membrane")
PROFILE_COLUMNS = ("du", "dv", "refract")
COMPARTMENT_COLUMNS = ("profile", "threshold", "bias_mant", "bias_exp")
FORMAT_COLUMNS = (
    "wgt_exp",
    "sign_mode",
    "weight_code",
    "delay_bits",
    "tag_bits",
    "index_code",
    "compression",
    "n_synapses",
)
INPUT_AXON_COLUMNS = ("kind", "atoms", "word", "n_synapses", "base")
OUTPUT_AXON_COLUMNS = ("compartment", "core", "axon", "atom", "kind")
HOST_INPUT_COLUMNS = ("port", "line", "core", "axon", "atom")

TABLES: dict[str, tuple[str, int]] = {
    "core_ptr": ("int64", len(POINTER_COLUMNS)),
    "core": ("int32", len(CORE_COLUMNS)),
    "compartment_profile": ("int32", len(PROFILE_COLUMNS)),
    "threshold_profile": ("int32", 0),
    "compartment": ("int32", len(COMPARTMENT_COLUMNS)),
    "synapse_format": ("int32", len(FORMAT_COLUMNS)),
    "synapse_memory": ("uint64", 0),
    "input_axon": ("int32", len(INPUT_AXON_COLUMNS)),
    "output_axon": ("int32", len(OUTPUT_AXON_COLUMNS)),
    "host_input": ("int32", len(HOST_INPUT_COLUMNS)),
}
"""Type and number of columns (0: one-dimensional) of every memory image."""
PLACEMENT = "placement."


class LoihiSection(BaseModel):
    """The manifest's `chip` section for Loihi."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    revision: Literal["loihi-1"] = "loihi-1"
    n_cores: int = Field(ge=0, le=spec.CORES_PER_CHIP * spec.MAX_CHIPS)
    n_chips: int = Field(ge=0, le=spec.MAX_CHIPS)
    update_order: tuple[str, ...] = spec.UPDATE_ORDER
    notes: dict[str, str] = Field(default_factory=dict)


# ----------------------------------------------------------------------------------------------------- synapse format
class SynapseFormat(NamedTuple):
    """One row of `synapse_format`."""

    wgt_exp: int = 0
    sign_mode: int = spec.MIXED
    weight_code: int = 7
    delay_bits: int = 0
    tag_bits: int = 0
    index_code: int = 0
    compression: int = spec.DENSE
    n_synapses: int = spec.SYNAPSES_PER_BLOCK - 1

    @property
    def weight_bits(self) -> int:
        """Width of the weight field."""
        return spec.WEIGHT_BITS[self.weight_code]

    @property
    def index_bits(self) -> int:
        """Width of the index field, 0 if dense."""
        return spec.INDEX_BITS[self.index_code] if self.compression == spec.SPARSE else 0

    @property
    def dropped_bits(self) -> int:
        """Low bits of a mantissa that the field cannot hold: 8 - n, one more if mixed."""
        return spec.WEIGHT_MAGNITUDE_BITS - self.weight_bits + (self.sign_mode == spec.MIXED)

    @property
    def synapse_bits(self) -> int:
        """Bits of one synapse."""
        return self.weight_bits + self.delay_bits + self.tag_bits + self.index_bits

    def block_words(self, n: int) -> int:
        """64-bit words of a block of n synapses."""
        return -(-(spec.HEADER_BITS + n * self.synapse_bits) // spec.SYNAPSE_WORD_BITS)

    def list_words(self, n: int) -> int:
        """64-bit words of a list of n synapses (n > 0)."""
        full, rest = divmod(n, self.n_synapses + 1)
        return full * self.block_words(self.n_synapses + 1) + (self.block_words(rest) if rest else 0)


def weight_code(bits: int) -> int:
    """Register code of a weight field of at least `bits` bits."""
    return next(code for code, width in enumerate(spec.WEIGHT_BITS) if width >= bits)


def index_code(largest: int) -> int:
    """Register code of an index field that holds 0..largest."""
    bits = int(largest).bit_length()
    for code, width in enumerate(spec.INDEX_BITS):
        if width >= bits:
            return code
    raise DescriptorError(
        f"a synapse index of {largest} does not fit {spec.INDEX_BITS[-1]} bits", fix="place fewer targets on the core"
    )


def encode_weights(mantissa: Array, fmt: SynapseFormat) -> Array:
    """Weight fields (uint64) of mantissas: low bits are dropped by floor, inhibitory -256 becomes -255.

    Raises:
        DescriptorError: a mantissa has the wrong sign or magnitude for the format.
    """
    m = np.asarray(mantissa, np.int64)
    n = fmt.weight_bits
    if n == 0:
        return np.zeros(m.shape, np.uint64)
    if fmt.sign_mode == spec.INHIBITORY:
        m = np.maximum(m, spec.MANTISSA_RANGE[spec.INHIBITORY][0])
    low = m >> fmt.dropped_bits
    if fmt.sign_mode == spec.MIXED:
        wrong = (low < -(1 << (n - 1))) | (low >= 1 << (n - 1))
        field = low & ((1 << n) - 1)
    else:
        field = -low if fmt.sign_mode == spec.INHIBITORY else low
        wrong = (field < 0) | (field >= 1 << n)
    if wrong.any():
        raise DescriptorError(
            f"weight mantissa {int(np.asarray(mantissa)[wrong].flat[0])} does not fit sign mode {fmt.sign_mode} "
            f"with {n} bits",
            fix="use another sign mode or more weight bits",
        )
    return field.astype(np.uint64)


def decode_weights(field: Array, sign_mode: Array | int, bits: Array | int) -> Array:
    """Mantissas (int32) of weight fields; the inverse of `encode_weights` for values it can hold."""
    x = np.asarray(field).astype(np.int64)
    n = np.asarray(bits, np.int64)
    mixed = np.asarray(sign_mode) == spec.MIXED
    x = np.where(mixed & (n > 0) & ((x >> np.maximum(n - 1, 0)) & 1 == 1), x - (np.int64(1) << n), x)
    x = x << (spec.WEIGHT_MAGNITUDE_BITS - n + mixed)
    return np.where(np.asarray(sign_mode) == spec.INHIBITORY, -x, x).astype(np.int32)


# ------------------------------------------------------------------------------------------------------ synapse memory
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


# --------------------------------------------------------------------------------------------------------------- checks
def check_images(arrays: Mapping[str, Array], section: LoihiSection) -> None:
    """Raise DescriptorError unless the memory images are what a chip could hold.

    Structure, field ranges, pointers and the budgets of each core are checked; the synapse memory itself is checked by
    `decode_synapses`. Disputed or lossy settings load.
    """
    check_tables(arrays, TABLES, PLACEMENT, "Loihi")
    ptr, n_cores = arrays["core_ptr"], len(arrays["core"])
    if n_cores != section.n_cores or ptr.shape[0] != n_cores + 1:
        raise bad("core_ptr", f"has {ptr.shape[0]} rows for {n_cores} cores; the manifest says {section.n_cores}")
    if n_cores > section.n_chips * spec.CORES_PER_CHIP:
        raise bad("core", f"has {n_cores} rows; {section.n_chips} chips have {spec.CORES_PER_CHIP} cores each")
    sizes = [len(arrays[name]) for name in POINTER_COLUMNS]
    if ptr[0].any() or ptr[-1].tolist() != sizes or (np.diff(ptr, axis=0) < 0).any():
        raise bad("core_ptr", "does not rise from 0 to the sizes of its tables")
    _check_budgets(arrays, np.diff(ptr, axis=0))
    _check_fields(arrays, np.diff(ptr, axis=0))
    _check_axons(arrays, ptr)
    for name in arrays:
        if name.startswith(PLACEMENT):
            _check_placement(name, arrays[name], ptr)


def _check_budgets(arrays: Mapping[str, Array], used: Array) -> None:
    limits = (
        spec.COMPARTMENTS_PER_CORE,
        spec.COMPARTMENT_PROFILES_PER_CORE,
        spec.THRESHOLD_PROFILES_PER_CORE,
        spec.SYNAPSE_FORMATS_PER_CORE,
        spec.INPUT_AXONS_PER_CORE,
        spec.OUTPUT_AXON_SLOTS_PER_CORE,
        spec.SYNAPSE_WORDS_PER_CORE,
    )
    for column, (name, limit) in enumerate(zip(POINTER_COLUMNS, limits)):
        over = np.flatnonzero(used[:, column] > limit)
        if over.size:
            raise bad(name, f"has {used[over[0], column]} rows on core {over[0]}, a core has {limit}")
    kinds = arrays["output_axon"][:, 4]
    slots = np.where(kinds == spec.POP32, spec.AXON_SLOTS[spec.POP32], spec.AXON_SLOTS[spec.DISCRETE])
    core = np.repeat(np.arange(len(used)), used[:, 5])
    per_core = np.bincount(core, weights=slots, minlength=len(used))
    if per_core.size and per_core.max() > spec.OUTPUT_AXON_SLOTS_PER_CORE:
        where = int(per_core.argmax())
        raise bad("output_axon", f"needs {int(per_core[where])} slots on core {where}")


def _check_fields(arrays: Mapping[str, Array], used: Array) -> None:
    for name, columns, ranges in (
        ("core", CORE_COLUMNS, [(0, 1), (0, spec.VMIN_EXPONENT_MAX), (0, spec.VMAX_EXPONENT_MAX), (0, 1)]),
        (
            "compartment_profile",
            PROFILE_COLUMNS,
            [(0, spec.DECAY_MAX), (0, spec.DECAY_MAX), (spec.REFRACT_MIN, spec.REFRACT_MAX)],
        ),
        (
            "compartment",
            COMPARTMENT_COLUMNS,
            [
                (0, spec.COMPARTMENT_PROFILES_PER_CORE - 1),
                (0, spec.THRESHOLD_PROFILES_PER_CORE - 1),
                (spec.BIAS_MANTISSA_MIN, spec.BIAS_MANTISSA_MAX),
                (0, spec.BIAS_EXPONENT_MAX),
            ],
        ),
    ):
        for column, (field, (low, high)) in enumerate(zip(columns, ranges)):
            check_range(name, field, arrays[name][:, column], low, high, rows=True)
    check_range("threshold_profile", "vth", arrays["threshold_profile"], 0, spec.VTH_MANTISSA_MAX, rows=True)
    owner = np.repeat(np.arange(len(used)), used[:, 0])
    for column, table in ((0, 1), (1, 2)):
        wrong = np.flatnonzero(arrays["compartment"][:, column] >= used[owner, table])
        if wrong.size:
            raise bad("compartment", f"row {wrong[0]} names a {POINTER_COLUMNS[table]} its core does not have")

    formats = arrays["synapse_format"]
    first = np.zeros(len(formats), bool)
    starts = arrays["core_ptr"][:-1, 3]
    first[starts[used[:, 3] > 0]] = True
    if formats[first].any():
        raise bad("synapse_format", "row 0 of a core is used; it is reserved")
    rest = formats[~first]
    for column, (low, high) in enumerate(
        [
            (spec.WEIGHT_EXPONENT_MIN, spec.WEIGHT_EXPONENT_MAX),
            (spec.MIXED, spec.INHIBITORY),
            (0, len(spec.WEIGHT_BITS) - 1),
            (0, spec.DELAY_BITS_MAX),
            (0, 0),
            (0, len(spec.INDEX_BITS) - 1),
            (spec.SPARSE, spec.DENSE),
            (0, spec.SYNAPSES_PER_BLOCK - 1),
        ]
    ):
        check_range("synapse_format", FORMAT_COLUMNS[column], rest[:, column], low, high, rows=True)
    if not np.isin(rest[:, 6], (spec.SPARSE, spec.DENSE)).all():
        raise bad("synapse_format", "has a compression other than 0 (sparse) and 3 (dense)")


def _check_axons(arrays: Mapping[str, Array], ptr: Array) -> None:
    used = np.diff(ptr, axis=0)
    inputs = arrays["input_axon"]
    if not np.isin(inputs[:, 0], list(spec.AXON_SLOTS)).all():
        raise bad("input_axon", f"has a kind other than {sorted(spec.AXON_SLOTS)}")
    owner = np.repeat(np.arange(len(used)), used[:, 4])
    number = np.arange(len(inputs)) - ptr[owner, 4]
    most = np.select([inputs[:, 0] == spec.POP16, inputs[:, 0] == spec.POP32], [spec.POP16_ATOMS, spec.POP32_ATOMS], 1)
    for column, low, high in (
        (1, np.ones(len(inputs)), most),
        (2, np.zeros(len(inputs)), used[owner, 6] - 1),
        (3, inputs[:, 1], used[owner, 6] * spec.SYNAPSES_PER_BLOCK),
        (4, np.zeros(len(inputs)), np.full(len(inputs), spec.AXON_BASE_LIMIT - 1)),
    ):
        wrong = np.flatnonzero((inputs[:, column] < low) | (inputs[:, column] > high))
        if wrong.size:
            raise bad(
                "input_axon",
                f"row {wrong[0]} has {INPUT_AXON_COLUMNS[column]} {inputs[wrong[0], column]}, out of range",
            )
    if (inputs[:, 3] % np.maximum(inputs[:, 1], 1)).any():
        raise bad("input_axon", "has a list whose length is not a multiple of its atoms")
    pop16 = inputs[:, 0] == spec.POP16
    if (inputs[pop16, 4] % spec.POP16_BASE_MULTIPLE).any() or (number[pop16] >= spec.POP16_AXONS).any():
        raise bad("input_axon", "has a 16-bit population axon with a base not a multiple of 4 or a number above 1023")

    out = arrays["output_axon"]
    owner = np.repeat(np.arange(len(used)), used[:, 5])
    wrong = np.flatnonzero((out[:, 0] < 0) | (out[:, 0] >= used[owner, 0]))
    if wrong.size:
        raise bad("output_axon", f"row {wrong[0]} names compartment {out[wrong[0], 0]}, which its core does not have")
    target = _check_targets("output_axon", out[:, 1:4], inputs, ptr)
    if (inputs[target, 0] != out[:, 4]).any():
        raise bad("output_axon", "has a kind other than that of the input axon it names")
    host = arrays["host_input"]
    check_range("host_input", "port", host[:, 0], 0, 2**15, rows=True)
    check_range("host_input", "line", host[:, 1], 0, 2**24, rows=True)
    _check_targets("host_input", host[:, 2:5], inputs, ptr)


def _check_targets(name: str, target: Array, inputs: Array, ptr: Array) -> Array:
    """Rows of `input_axon` named by (core, axon, atom) triples."""
    core, axon, atom = target[:, 0], target[:, 1], target[:, 2]
    check_range(name, "core", core, 0, len(ptr) - 2, rows=True)
    count = np.diff(ptr[:, 4])
    wrong = np.flatnonzero((axon < 0) | (axon >= count[core]))
    if wrong.size:
        raise bad(name, f"row {wrong[0]} names input axon {axon[wrong[0]]}, which core {core[wrong[0]]} does not have")
    rows = np.asarray(ptr[core, 4] + axon)
    wrong = np.flatnonzero((atom < 0) | (atom >= inputs[rows, 1]))
    if wrong.size:
        raise bad(name, f"row {wrong[0]} names atom {atom[wrong[0]]}, which the input axon does not have")
    return rows


def _check_placement(name: str, table: Array, ptr: Array) -> None:
    if table.dtype != np.int32 or table.ndim != 2 or table.shape[1] != 2:
        raise bad(name, f"has type {table.dtype} and shape {list(table.shape)}, expected int32 with 2 columns")
    check_range(name, "core", table[:, 0], 0, len(ptr) - 2, rows=True)
    wrong = np.flatnonzero((table[:, 1] < 0) | (table[:, 1] >= np.diff(ptr[:, 0])[table[:, 0]]))
    if wrong.size:
        raise bad(name, f"row {wrong[0]} names compartment {table[wrong[0], 1]}, which its core does not have")
