"""Cores read from their regions, and the rows of every packet as segments that the kernel walks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.emulator.rows import ragged
from snnkit.errors import DescriptorError
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.machine import Chip

Array = np.ndarray[Any, Any]

DENSE_SHARE = 0.2
"""Rows that reach this share of a core's ring entries with one delay are added as a whole."""
_FIX = "the file is damaged; export it again"


@dataclass(frozen=True, eq=False)
class Core:
    """One core: `first` global neuron, raw parameters, keys or None, its memory and the table that addresses it."""

    number: int
    chip: Chip
    p: int
    binary: int
    n: int
    first: int
    raw: Mapping[str, Array]
    keys: Array | None
    shift: tuple[int, int]
    target_bits: int
    delay_bits: int
    table: words.Table
    matrix: Array
    stdp: Array


def read_core(number: int, chip: Chip, p: int, binary: int, n: int, first: int, regions: Mapping[str, Array]) -> Core:
    """A core from its regions.

    Raises:
        DescriptorError: a region has the wrong size or contradicts another.
    """
    head = regions["synapse_params"].astype(np.int64)
    own = regions["core_params"].astype(np.int64)
    if len(head) != 9 or head[0] != n or head[1] != spec.RECEPTORS or head[3] != spec.RECEPTOR_BITS:
        raise DescriptorError(f"core {number}: the synapse parameters do not describe {n} neurons", fix=_FIX)
    target_bits, delay_bits = int(head[2]), int(head[4])
    widths = target_bits + spec.RECEPTOR_BITS + delay_bits
    if widths > spec.INDEX_BITS_MAX or n > 1 << target_bits or delay_bits < 1:
        raise DescriptorError(f"core {number}: indices of {widths} bits for {n} neurons", fix=_FIX)
    if len(own) != 7 + n or own[1] != n or own[4] != spec.RECEPTORS or (own[5:7] != head[7:9]).any():
        raise DescriptorError(f"core {number}: the core parameters do not describe {n} neurons", fix=_FIX)
    if (head[7:9] > 31).any():
        raise DescriptorError(f"core {number}: a ring buffer shift above 31", fix=_FIX)
    raw = words.read_neurons(regions["neuron_params"], n, binary != spec.DELTA, number)
    table = words.read_table(regions["population_table"], number)
    return Core(
        number, chip, p, binary, n, first, raw, own[7:] if own[0] else None, (int(head[7]), int(head[8])),
        target_bits, delay_bits, table, regions["synaptic_matrix"], regions["stdp_params"],
    )  # fmt: skip


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


@dataclass(frozen=True, eq=False)
class Plastic:
    """Plastic rows: `ptr` int64 [S + 1] and `rows` list the rows of a source; row r holds synapses `at[r]`..`at[r+1]`.

    neuron: global target. entry: ring entry. delay: 0 if stored so. rule int64 [R]: position in `rules` of the row's
    core. lut_plus, lut_minus int64 [K, L], size int64 [K, 2]. limits int64 [K, 2, 4] (wmin, wmax, A+, A-) per receptor;
    backprop, multiplicative [K]. shift [S], receptor [S]. word: where row and core are in memory, for `words_after`.
    """

    ptr: Array
    rows: Array
    at: Array
    neuron: Array
    entry: Array
    receptor: Array
    delay: Array
    shift: Array
    rule: Array
    luts: Array
    sizes: Array
    limits: Array
    flags: Array
    weights: Array
    last_time: Array
    last_trace: Array
    rule_of_neuron: Array
    place: Array
    core: Array

    def arguments(self) -> tuple[Array, ...]:
        """The constant arrays in the order of the kernel."""
        return (
            self.ptr, self.rows, self.at, self.neuron, self.entry, self.receptor, self.delay, self.shift, self.rule,
            self.luts, self.sizes, self.limits, self.flags, self.weights, self.last_time, self.last_trace,
            self.rule_of_neuron,
        )  # fmt: skip

    def states(self, batch: int, n: int) -> tuple[Array, ...]:
        """Weights, times and traces of rows, and the post events of neurons, per sample."""
        some = len(self.rows) > 0
        rows, synapses, neurons = len(self.at) - 1, len(self.neuron), n if some else 0
        return (
            np.zeros((batch, synapses), np.int64), np.zeros((batch, rows, 2), np.int64),
            np.zeros((batch, neurons, spec.POST_EVENTS, 2), np.int64), np.zeros((batch, neurons), np.int64),
        )  # fmt: skip

    def record(self, ticks: int) -> tuple[Array, Array]:
        """Room for weights and row histories after every step."""
        return np.zeros((ticks, len(self.neuron)), np.int64), np.zeros((ticks, len(self.at) - 1, 2), np.int64)

    def words_after(self, history: tuple[Array, Array], cores: Sequence[Core]) -> dict[str, Array]:
        """`matrix.<core>` uint32 [ticks, words]: the synaptic matrix of each core after every step."""
        weights, rows = history
        out: dict[str, Array] = {}
        for core in cores:
            memory = np.repeat(core.matrix[None].astype(np.int64), len(weights), 0)
            for r in np.flatnonzero(self.core == core.number):
                at, mine = int(self.place[r]) + 1, slice(self.at[r], self.at[r + 1])
                memory[:, at] = rows[:, r, 0] & 0xFFFFFFFF
                memory[:, at + 1] = (memory[:, at + 1] & 0xFFFF0000) | (rows[:, r, 1] & 0xFFFF)
                n = mine.stop - mine.start
                memory[:, at + 2 : at + 2 + (n + 1) // 2] = 0
                for k in range(n):
                    memory[:, at + 2 + k // 2] |= (weights[:, mine.start + k] & 0xFFFF) << (16 * (k % 2))
            out[f"matrix.{core.number}"] = memory.astype(np.uint32)
        return out


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
    return _fixed(cores, source, core_of, start, n_sources, depth), _plastic(cores, source, core_of, start, n_sources)


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


def _headers(core: Core, start: Array) -> words.Row:
    w = core.matrix.astype(np.int64)
    p = w[start]
    return words.Row(start, p, w[start + 1 + p], w[start + 2 + p])


def _fields(core: Core, low: Array) -> tuple[Array, Array, Array]:
    """(target, receptor, delay field) of the low halves of words."""
    target = low & ((1 << core.target_bits) - 1)
    receptor = (low >> core.target_bits) & 1
    delay = (low >> (core.target_bits + spec.RECEPTOR_BITS)) & ((1 << core.delay_bits) - 1)
    if (target >= core.n).any():
        raise DescriptorError(
            f"core {core.number}: a synapse reaches neuron {int(target.max())}, the core has {core.n}", fix=_FIX
        )
    return target, receptor, delay


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
        row = _headers(core, start[mine])
        np.add.at(events, source[mine], row.fixed + row.controls)
        begin = row.start + 3 + row.plastic_words
        word = core.matrix[ragged(begin, row.fixed)].astype(np.int64)
        owner = np.repeat(np.arange(len(mine)), row.fixed)
        target, receptor, delay = _fields(core, word & 0xFFFF)
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


def _plastic(cores: Mapping[int, Core], source: Array, core_of: Array, start: Array, n_sources: int) -> Plastic:
    rule_of = {number: k for k, number in enumerate(n for n, c in cores.items() if len(c.stdp))}
    rules = [read_stdp(cores[number]) for number in rule_of]
    columns: dict[str, list[Any]] = {k: [] for k in ("neuron", "entry", "receptor", "delay", "shift", "weights")}
    per_row: dict[str, list[int]] = {k: [] for k in ("size", "rule", "time", "trace", "place", "core")}
    seen: dict[tuple[int, int], int] = {}
    of_source: list[tuple[int, int]] = []
    for number, core in cores.items():
        mine = np.flatnonzero(core_of == number)
        row = _headers(core, start[mine])
        for k in np.flatnonzero(row.controls > 0):
            place = (number, int(row.start[k]))
            if place not in seen:
                if number not in rule_of:
                    raise DescriptorError(f"core {number}: plastic synapses without a learning rule", fix=_FIX)
                seen[place] = len(seen)
                n, w = int(row.controls[k]), core.matrix.astype(np.int64)
                first = place[1] + 1
                half = np.arange(n)
                weight = (w[first + 2 + half // 2] >> (16 * (half % 2))) & 0xFFFF
                control = w[first + int(row.plastic_words[k]) + 2 + int(row.fixed[k]) + half // 2] >> (16 * (half % 2))
                target, receptor, delay = _fields(core, control & 0xFFFF)
                columns["neuron"].append(core.first + target)
                columns["entry"].append(2 * core.first + receptor * core.n + target)
                columns["receptor"].append(receptor)
                columns["delay"].append(delay)
                columns["shift"].append(np.array(core.shift)[receptor])
                columns["weights"].append(weight)
                trace = int(w[first + 1]) & 0xFFFF
                values = (n, rule_of[number], int(w[first]), trace - ((trace & 0x8000) << 1), *reversed(place))
                for name, value in zip(per_row, values):
                    per_row[name].append(value)
            of_source.append((int(source[mine[k]]), seen[place]))
    of_source.sort(key=lambda pair: pair[0])
    pairs = np.array(of_source, np.int64).reshape(-1, 2)
    flat = {k: np.concatenate([np.zeros(0, np.int64), *v]).astype(np.int64) for k, v in columns.items()}
    row_of = {k: np.array(v, np.int64) for k, v in per_row.items()}
    longest = max((r[0].shape[1] for r in rules), default=0)
    luts = np.zeros((len(rules), 2, longest), np.int64)
    for number, r in enumerate(rules):
        luts[number, :, : r[0].shape[1]] = r[0]
    neurons = [np.full(c.n, rule_of.get(number, -1)) for number, c in cores.items()]
    return Plastic(
        np.searchsorted(pairs[:, 0], np.arange(n_sources + 1)).astype(np.int64), np.ascontiguousarray(pairs[:, 1]),
        np.concatenate([[0], np.cumsum(row_of["size"])]).astype(np.int64), flat["neuron"], flat["entry"],
        flat["receptor"], flat["delay"], flat["shift"], row_of["rule"], luts,
        np.array([r[1] for r in rules], np.int64).reshape(-1, 2),
        np.array([r[2] for r in rules], np.int64).reshape(-1, 2, 4),
        np.array([r[3] for r in rules], np.int64).reshape(-1, 2), flat["weights"], row_of["time"], row_of["trace"],
        np.concatenate([np.zeros(0, np.int64), *neurons]).astype(np.int64), row_of["place"], row_of["core"],
    )  # fmt: skip


def read_stdp(core: Core) -> tuple[Array, tuple[int, int], Array, tuple[int, int]]:
    """(both tables [2, L], their shifts as (plus, minus), limits [2, 4], (back-propagation, multiplicative))."""
    w = core.stdp.astype(np.int64)
    tables: list[Array] = []
    shifts: list[int] = []
    at = 1
    for _ in range(2):
        if at >= len(w):
            raise DescriptorError(f"core {core.number}: the plasticity parameters end too soon", fix=_FIX)
        size, shift = int(w[at] & 0xFFFF), int(w[at] >> 16)
        half = np.arange(size)
        if at + 1 + (size + 1) // 2 > len(w):
            raise DescriptorError(f"core {core.number}: the plasticity parameters end too soon", fix=_FIX)
        value = (w[at + 1 + half // 2] >> (16 * (half % 2))) & 0xFFFF
        tables.append(value - ((value & 0x8000) << 1))
        shifts.append(shift)
        at += 1 + (size + 1) // 2
    limits = core.stdp[at:].view(np.int32).astype(np.int64)
    if limits.size != 4 * spec.RECEPTORS or max(shifts) > 31:
        raise DescriptorError(f"core {core.number}: the plasticity parameters have the wrong size", fix=_FIX)
    both = np.zeros((2, max(len(t) for t in tables)), np.int64)
    for k, t in enumerate(tables):
        both[k, : len(t)] = t
    learning = int(core.binary == spec.EXP_MULTIPLICATIVE)
    return both, (shifts[0], shifts[1]), limits.reshape(2, 4), (int(w[0] != 0), learning)
