"""Choose how one connection reaches one core: discrete axons (dense or sparse lists) or population axons.

Every choice is encoded in full, so what the partitioner measures is what the memory images will hold; `count` measures
the same from a layer's geometry. What a list needs is said in `axons`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.targets.loihi import spec
from snnkit.targets.loihi.axons import (
    POPULATION,
    AxonCount,
    atoms_max,
    cheapest,
    discrete_lists,
    list_format,
    list_words,
    population_base,
)
from snnkit.targets.loihi.wires import CODE_OFFSET, Wires, delay_of, mantissa_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class AxonGroup(AxonCount):
    """The input axons of one connection into one core.

    Per axon: `source` [A] (population axons: the first source), `base`, `list_of`; lists are `ptr` [L+1] into `index`
    and `code` [S]; `list_format` [L] is a position in `formats`. `sources`, `axon_of`, `atom_of` [R] say which source
    neuron drives which axon with which atom.
    """

    atoms: int
    base: Array
    list_of: Array
    ptr: Array
    index: Array
    code: Array
    list_format: Array
    axon_of: Array
    atom_of: Array


def encode(
    wires: Wires, neurons: Array, *, pop16_left: int = spec.POP16_AXONS, uniform: bool = False
) -> AxonGroup | None:
    """The encoding of one connection into a core with these neurons in its slots; None if it does not reach them.

    `pop16_left`: numbers below 1024 still free on the core; `uniform`: use one synapse format, not two.
    """
    columns = wires.columns(neurons)
    discrete = _discrete(wires, columns, uniform)
    if discrete is None or wires.grid is None:
        return discrete
    return cheapest(discrete, (_population(wires, columns, kind) for kind in POPULATION), wires.share, pop16_left)


def _largest_delay(code: Array) -> int:
    return int(delay_of(code).max()) if code.size else 0


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
    reached = count > 0  # all, unless as_dense
    first, last = np.zeros(len(sources), np.int64), np.zeros(len(sources), np.int64)
    first[reached], last[reached] = index[start[reached]], index[start[reached] + count[reached] - 1]
    delay = _largest_delay(code)
    lists = discrete_lists(wires, first, last, count, delay, uniform=uniform, core=n)
    length = np.where(lists.sparse, count, lists.span)
    ptr = np.concatenate([[0], np.cumsum(length)])
    out_index = np.zeros(int(ptr[-1]), np.int64)
    out_code = np.full(int(ptr[-1]), CODE_OFFSET, np.int32)
    owner = np.repeat(np.arange(len(sources)), count)
    within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    entry = start[owner] + within
    offset = index[entry] - lists.base[owner]
    at = ptr[owner] + np.where(lists.sparse[owner], within, offset)
    out_index[at], out_code[at] = offset, code[entry]
    number = np.arange(len(sources))
    both = len(lists.formats) == 2
    return AxonGroup(
        wires=wires, kind=spec.DISCRETE, n_axons=len(sources), words=lists.words, formats=lists.formats,
        max_delay=delay, sources=sources, atoms=1, base=lists.base, list_of=number, ptr=ptr, index=out_index,
        code=out_code, list_format=lists.sparse.astype(np.int64) if both else np.zeros(len(sources), np.int64),
        axon_of=number, atom_of=np.zeros(len(sources), np.int64),
    )  # fmt: skip


def _population(wires: Wires, columns: sp.csc_matrix, kind: int) -> AxonGroup | None:
    """One axon per source pixel, the channel as atom; pixels whose targets look alike share a list."""
    assert wires.grid is not None
    channels, pixels = wires.grid
    count = np.diff(columns.indptr).reshape(channels, pixels)
    active = np.flatnonzero(count.any(1))
    used = np.flatnonzero(count.any(0))
    atoms = len(active)
    if atoms == 0 or atoms > atoms_max(kind) or (count[np.ix_(active, used)] != count[active[0], used]).any():
        return None
    column = (active[None, :] * pixels + used[:, None]).ravel()  # pixel by pixel, within it channel by channel
    length = count[active][:, used].T.ravel().astype(np.int64)
    start = columns.indptr[:-1].astype(np.int64)[column]
    within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    entry = np.repeat(start, length) + within
    target, code = columns.indices.astype(np.int64)[entry], columns.data[entry]
    size = length.reshape(len(used), atoms).sum(1)
    ptr = np.concatenate([[0], np.cumsum(size)])
    base = population_base(np.minimum.reduceat(target, ptr[:-1]), kind)
    index = target - np.repeat(base, size)
    list_of, shown = _alike(index, code, ptr)
    if list_of is None:
        return None
    delay = _largest_delay(code)
    fmt = list_format(wires, delay, spec.SPARSE, int(index.max()))
    lists = size[shown]
    list_ptr = np.concatenate([[0], np.cumsum(lists)])
    take = np.repeat(ptr[shown] - list_ptr[:-1], lists) + np.arange(int(lists.sum()))
    return AxonGroup(
        wires=wires, kind=kind, n_axons=len(used), words=int(list_words(fmt, lists).sum()), formats=(fmt,),
        max_delay=delay, sources=column, atoms=atoms, base=base, list_of=list_of, ptr=list_ptr, index=index[take],
        code=code[take], list_format=np.zeros(len(shown), np.int64), axon_of=np.repeat(np.arange(len(used)), atoms),
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
