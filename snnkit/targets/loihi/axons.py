"""What input axons need of a core, from the lengths of their lists alone; the same for axons encoded and counted.

Sizes are those nengo-loihi 1.1.0 counts (block.py, SynapseConfig.bits_per_axon); population axons follow its
hardware/builder.py and builder/validate.py: a list holds the synapses of all atoms, an axon adds a base below 256 to
their indices, and 16-bit population axons need a base that is a multiple of 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from snnkit.targets.loihi import spec
from snnkit.targets.loihi.schema import SynapseFormat, index_code, weight_code
from snnkit.targets.loihi.wires import Wires

Array = np.ndarray[Any, Any]

BASE_BLOCK = spec.AXON_BASE_LIMIT


@dataclass(frozen=True, eq=False)
class AxonCount:
    """What the input axons of one connection into one core need.

    Attributes:
        kind: DISCRETE, POP16 or POP32. n_axons, words: input axons, and 64-bit words of synapse memory.
        formats: of its lists. max_delay: the largest delay register.
        sources: source neurons [R] that drive an axon.
    """

    wires: Wires
    kind: int
    n_axons: int
    words: int
    formats: tuple[SynapseFormat, ...]
    max_delay: int
    sources: Array


Axons = TypeVar("Axons", bound=AxonCount)
POPULATION = (spec.POP16, spec.POP32)


def cheapest(discrete: Axons, populations: Iterable[Axons | None], share: bool, pop16_left: int) -> Axons:
    """Population axons where they need less than discrete ones; with `share` wherever there are some."""
    best, must_save = discrete, not share
    for group in populations:
        if group is None or (group.kind == spec.POP16 and group.n_axons > pop16_left):
            continue
        if not must_save or _cost(group) < _cost(best):
            best, must_save = group, True
    return best


def _cost(group: AxonCount) -> tuple[int, int, int]:
    """Memory first, then input axons, then output slots."""
    return group.words, group.n_axons, spec.AXON_SLOTS[group.kind]


def list_format(wires: Wires, delay: int, compression: int, largest: int = 0) -> SynapseFormat:
    """The format of lists whose delays are at most `delay` and whose indices are at most `largest`."""
    fmt = wires.format
    return SynapseFormat(
        wgt_exp=fmt.exponent,
        sign_mode=fmt.sign_mode,
        weight_code=weight_code(fmt.bits),
        delay_bits=delay.bit_length(),
        index_code=index_code(largest) if compression == spec.SPARSE else 0,
        compression=compression,
    )


def list_words(fmt: SynapseFormat, length: Array) -> Array:
    """64-bit words of lists of these lengths."""
    full, rest = np.divmod(length, fmt.n_synapses + 1)
    last = -(-(spec.HEADER_BITS + rest * fmt.synapse_bits) // spec.SYNAPSE_WORD_BITS)
    return full * fmt.block_words(fmt.n_synapses + 1) + np.where(rest > 0, last, 0)


@dataclass(frozen=True, eq=False)
class DiscreteLists:
    """Lists of discrete axons: `base` and `span` [A] as one dense list, `sparse` bool [A] which are sparse."""

    base: Array
    span: Array
    sparse: Array
    formats: tuple[SynapseFormat, ...]
    words: int


def discrete_lists(
    wires: Wires, first: Array, last: Array, count: Array, delay: int, *, uniform: bool, core: int
) -> DiscreteLists:
    """Each axon's list dense or sparse, whichever is smaller; the same for all if `uniform`.

    Args:
        wires: the connection.
        first, last, count: the first and last neuron of the core that each axon reaches, and how many, [A].
        delay: the largest register. core: neurons of the core.
    """
    if wires.as_dense:
        base, span = np.zeros(len(count), np.int64), np.full(len(count), core)
    else:
        base = np.minimum(first, BASE_BLOCK - 1)
        span = last - base + 1
    dense_format = list_format(wires, delay, spec.DENSE)
    sparse_format = list_format(wires, delay, spec.SPARSE, int((span - 1).max()))
    few, many = list_words(sparse_format, count), list_words(dense_format, span)
    if wires.as_dense:
        sparse = np.zeros(len(count), bool)
    else:
        sparse = np.full(len(count), few.sum() < many.sum()) if uniform else few < many
    formats = tuple(f for f, used in ((dense_format, not sparse.all()), (sparse_format, sparse.any())) if used)
    return DiscreteLists(base, span, sparse, formats, int(np.where(sparse, few, many).sum()))


def population_base(least: Array, kind: int) -> Array:
    """Bases of population axons whose lists begin at these neurons of the core."""
    base = least % BASE_BLOCK
    return np.asarray(base - base % spec.POP16_BASE_MULTIPLE if kind == spec.POP16 else base)


def atoms_max(kind: int) -> int:
    """Source neurons that may share a population axon."""
    return spec.POP16_ATOMS if kind == spec.POP16 else spec.POP32_ATOMS
