"""Choose how one connection reaches one core: discrete axons (dense or sparse lists) or population axons.

Every choice is encoded in full, so what the partitioner measures is what the memory images will hold. Sizes are those
nengo-loihi 1.1.0 counts (block.py, SynapseConfig.bits_per_axon); population axons follow its hardware/builder.py and
builder/validate.py: a list holds the synapses of all atoms, an axon adds a base below 256 to their indices, and 16-bit
population axons need a base that is a multiple of 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.model import Connection
from snnkit.graph.synapses import Conv, Dense, LoihiWeightFormat
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.schema import SynapseFormat, index_code, weight_code

Array = np.ndarray[Any, Any]

CODE_SHIFT = 10  # a synapse as one number: delay register above the mantissa plus an offset
CODE_OFFSET = 1 << (CODE_SHIFT - 1)
BASE_BLOCK = spec.AXON_BASE_LIMIT


def stored_mantissa(mantissa: Array, fmt: LoihiWeightFormat) -> Array:
    """The mantissa that `fmt.bits` can hold, int64: low bits dropped downwards if mixed, off the magnitude if not."""
    w = np.asarray(mantissa).astype(np.int64)
    low = spec.WEIGHT_MAGNITUDE_BITS - fmt.bits + (fmt.sign_mode == spec.MIXED)
    if fmt.sign_mode == spec.INHIBITORY:
        return -((np.minimum(-w, -spec.MANTISSA_RANGE[spec.INHIBITORY][0]) >> low) << low)
    return (w >> low) << low


@dataclass(frozen=True, eq=False)
class Wires:
    """A connection made ready for encoding: synapses as codes in a CSR matrix [n_dst, n_src].

    `grid` is (channels, pixels) of the source if population axons are possible. `as_dense`: every source gets a dense
    list over the whole core, zeros included, as nengo-loihi does for a weight matrix. `share`: use population axons
    where possible, not only where they need less memory.
    """

    number: int
    connection: Connection
    from_host: bool
    codes: sp.csr_matrix
    grid: tuple[int, int] | None
    as_dense: bool
    share: bool

    @property
    def format(self) -> LoihiWeightFormat:
        fmt = self.connection.format
        assert isinstance(fmt, LoihiWeightFormat)
        return fmt


def prepare(
    number: int, connection: Connection, from_host: bool, *, as_dense: bool = False, share: bool = False
) -> Wires:
    """Weights and delay registers of a connection as codes. A neuron's delay d is register d - 1, an input's is d."""
    fmt = connection.format
    assert isinstance(fmt, LoihiWeightFormat)
    synapse = connection.synapse
    late = 0 if from_host else 1
    if isinstance(synapse, Dense):
        mantissa = stored_mantissa(synapse.weight, fmt)
        delay = np.broadcast_to(np.asarray(connection.delay, np.int64) - late, mantissa.shape)
        row, col = np.nonzero(mantissa)
        data = _code(mantissa[row, col], delay[row, col])
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=mantissa.shape[0]))])
        codes = sp.csr_matrix((data, col, indptr), shape=mantissa.shape)
    else:
        matrix = sp.csr_matrix(synapse.matrix())
        mantissa = stored_mantissa(matrix.data, fmt)
        data = _code(mantissa, np.full(mantissa.shape, int(np.max(connection.delay)) - late))
        codes = sp.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    grid = None
    if isinstance(synapse, Conv) and not as_dense:
        grid = (synapse.in_shape[0], synapse.in_shape[1] * synapse.in_shape[2])
    return Wires(number, connection, from_host, codes, grid, as_dense, share)


def _code(mantissa: Array, delay: Array) -> Array:
    return (delay << CODE_SHIFT | (mantissa + CODE_OFFSET)).astype(np.int32)


def mantissa_of(code: Array) -> Array:
    return (code & ((1 << CODE_SHIFT) - 1)) - CODE_OFFSET


def delay_of(code: Array) -> Array:
    return code >> CODE_SHIFT


@dataclass(frozen=True, eq=False)
class AxonGroup:
    """The input axons of one connection into one core.

    Per axon: `source` [A] (population axons: the first source), `base`, `list_of`; lists are `ptr` [L+1] into `index`
    and `code` [S]; `list_format` [L] is a position in `formats`. `sources`, `axon_of`, `atom_of` [R] say which source
    neuron drives which axon with which atom.
    """

    wires: Wires
    kind: int
    atoms: int
    base: Array
    list_of: Array
    ptr: Array
    index: Array
    code: Array
    formats: tuple[SynapseFormat, ...]
    list_format: Array
    words: int
    sources: Array
    axon_of: Array
    atom_of: Array

    @property
    def n_axons(self) -> int:
        return len(self.base)

    @property
    def max_delay(self) -> int:
        return int(delay_of(self.code).max()) if self.code.size else 0


def encode(
    wires: Wires, neurons: Array, *, pop16_left: int = spec.POP16_AXONS, uniform: bool = False
) -> AxonGroup | None:
    """The encoding of one connection into a core with these neurons in its slots; None if it does not reach them.

    `pop16_left`: numbers below 1024 still free on the core; `uniform`: use one synapse format, not two.
    """
    columns = sp.csr_matrix(wires.codes[neurons]).tocsc()
    discrete = _discrete(wires, columns, uniform)
    if discrete is None or wires.grid is None:
        return discrete
    best, must_save = discrete, not wires.share
    for kind in (spec.POP16, spec.POP32):
        group = _population(wires, columns, kind)
        if group is None or (kind == spec.POP16 and group.n_axons > pop16_left):
            continue
        if not must_save or _cost(group) < _cost(best):
            best, must_save = group, True
    return best


def _cost(group: AxonGroup) -> tuple[int, int, int]:
    """Memory first, then input axons, then output slots."""
    return group.words, group.n_axons, spec.AXON_SLOTS[group.kind]


def _format(wires: Wires, code: Array, compression: int, largest: int = 0) -> SynapseFormat:
    fmt = wires.format
    delay = int(delay_of(code).max()) if code.size else 0
    return SynapseFormat(
        wgt_exp=fmt.exponent,
        sign_mode=fmt.sign_mode,
        weight_code=weight_code(fmt.bits),
        delay_bits=delay.bit_length(),
        index_code=index_code(largest) if compression == spec.SPARSE else 0,
        compression=compression,
    )


def _words(fmt: SynapseFormat, length: Array) -> Array:
    """64-bit words of lists of these lengths."""
    full, rest = np.divmod(length, fmt.n_synapses + 1)
    last = -(-(spec.HEADER_BITS + rest * fmt.synapse_bits) // spec.SYNAPSE_WORD_BITS)
    return full * fmt.block_words(fmt.n_synapses + 1) + np.where(rest > 0, last, 0)


def _discrete(wires: Wires, columns: sp.csc_matrix, uniform: bool) -> AxonGroup | None:
    """One axon per source neuron; each list dense or sparse, whichever is smaller."""
    n = columns.shape[0]
    start, stop = columns.indptr[:-1].astype(np.int64), columns.indptr[1:].astype(np.int64)
    if not wires.as_dense and wires.grid is not None and columns.nnz:  # kernel zeros matter to shared lists only
        keep = mantissa_of(columns.data) != 0
        if not keep.all():
            pruned = columns.copy()
            pruned.data = np.where(keep, columns.data, 0)
            pruned.eliminate_zeros()
            columns = pruned
            start, stop = columns.indptr[:-1].astype(np.int64), columns.indptr[1:].astype(np.int64)
    sources = np.arange(columns.shape[1]) if wires.as_dense else np.flatnonzero(stop > start)
    if sources.size == 0:
        return None
    start, count = start[sources], (stop - start)[sources]
    index, code = columns.indices.astype(np.int64), columns.data
    if wires.as_dense:
        base, span = np.zeros(len(sources), np.int64), np.full(len(sources), n)
        sparse = np.zeros(len(sources), bool)
    else:
        first = index[start]
        base = np.minimum(first, BASE_BLOCK - 1)
        span = index[start + count - 1] - base + 1
    dense_format = _format(wires, code, spec.DENSE)
    sparse_format = _format(wires, code, spec.SPARSE, int((span - 1).max()))
    if not wires.as_dense:
        few, many = _words(sparse_format, count), _words(dense_format, span)
        sparse = np.full(len(sources), few.sum() < many.sum()) if uniform else few < many
    length = np.where(sparse, count, span)
    ptr = np.concatenate([[0], np.cumsum(length)])
    out_index = np.zeros(int(ptr[-1]), np.int64)
    out_code = np.full(int(ptr[-1]), CODE_OFFSET, np.int32)
    owner = np.repeat(np.arange(len(sources)), count)
    within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    entry = start[owner] + within
    offset = index[entry] - base[owner]
    at = ptr[owner] + np.where(sparse[owner], within, offset)
    out_index[at], out_code[at] = offset, code[entry]
    words = int(np.where(sparse, _words(sparse_format, length), _words(dense_format, length)).sum())
    formats = tuple(f for f, used in ((dense_format, not sparse.all()), (sparse_format, sparse.any())) if used)
    number = np.arange(len(sources))
    return AxonGroup(
        wires=wires, kind=spec.DISCRETE, atoms=1, base=base, list_of=number, ptr=ptr, index=out_index, code=out_code,
        formats=formats, list_format=sparse.astype(np.int64) if len(formats) == 2 else np.zeros(len(sources), np.int64),
        words=words, sources=sources, axon_of=number, atom_of=np.zeros(len(sources), np.int64),
    )  # fmt: skip


def _population(wires: Wires, columns: sp.csc_matrix, kind: int) -> AxonGroup | None:
    """One axon per source pixel, the channel as atom; pixels whose targets look alike share a list."""
    assert wires.grid is not None
    channels, pixels = wires.grid
    count = np.diff(columns.indptr).reshape(channels, pixels)
    active = np.flatnonzero(count.any(1))
    used = np.flatnonzero(count.any(0))
    atoms = len(active)
    most = spec.POP16_ATOMS if kind == spec.POP16 else spec.POP32_ATOMS
    if atoms == 0 or atoms > most or (count[np.ix_(active, used)] != count[active[0], used]).any():
        return None
    column = (active[None, :] * pixels + used[:, None]).ravel()  # pixel by pixel, within it channel by channel
    length = count[active][:, used].T.ravel().astype(np.int64)
    start = columns.indptr[:-1].astype(np.int64)[column]
    within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    entry = np.repeat(start, length) + within
    target, code = columns.indices.astype(np.int64)[entry], columns.data[entry]
    size = length.reshape(len(used), atoms).sum(1)
    ptr = np.concatenate([[0], np.cumsum(size)])
    base = np.minimum.reduceat(target, ptr[:-1]) % BASE_BLOCK
    if kind == spec.POP16:
        base -= base % spec.POP16_BASE_MULTIPLE
    index = target - np.repeat(base, size)
    list_of, shown = _alike(index, code, ptr)
    if list_of is None:
        return None
    fmt = _format(wires, code, spec.SPARSE, int(index.max()))
    lists = size[shown]
    list_ptr = np.concatenate([[0], np.cumsum(lists)])
    take = np.repeat(ptr[shown] - list_ptr[:-1], lists) + np.arange(int(lists.sum()))
    return AxonGroup(
        wires=wires, kind=kind, atoms=atoms, base=base, list_of=list_of, ptr=list_ptr, index=index[take],
        code=code[take], formats=(fmt,), list_format=np.zeros(len(shown), np.int64),
        words=int(_words(fmt, lists).sum()), sources=column, axon_of=np.repeat(np.arange(len(used)), atoms),
        atom_of=np.tile(np.arange(atoms), len(used)),
    )  # fmt: skip


def _alike(index: Array, code: Array, ptr: Array) -> tuple[Array | None, Array]:
    """Group runs with equal (index, code) sequences: (group per run, one run per group).

    Runs are grouped by a hash and then compared with their representative; None if two different runs collide.
    """
    size = np.diff(ptr)
    position = (np.arange(len(index)) - np.repeat(ptr[:-1], size)).astype(np.uint64)
    mixed = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + code.astype(np.uint64)
    mixed ^= mixed >> np.uint64(29)
    mixed *= (position + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9) | np.uint64(1)
    mixed ^= mixed >> np.uint64(32)
    keys = np.stack([np.add.reduceat(mixed, ptr[:-1]), size.astype(np.uint64)], 1)
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # lists in the order in which they are met
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    group, first = rank[group.reshape(-1)], first[order]
    twin = np.repeat(ptr[first[group]] - ptr[:-1], size) + np.arange(len(index))
    same = (index[twin] == index) & (code[twin] == code)
    return (group if same.all() else None), first
