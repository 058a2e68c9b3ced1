"""Words that synaptic rows and population tables take, from the numbers of synapses alone: encoded or only counted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.targets.spinnaker import spec

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class BlockCount:
    """One block: the key and mask of its source, its rows, and the words of the longest without the header."""

    key: int
    mask: int
    n_rows: int
    length: int

    @property
    def words(self) -> int:
        """Words of all rows, filled up to the unit in which addresses count."""
        size, unit = self.n_rows * stride(self.length), spec.ADDRESS_UNIT // 4
        return -(-size // unit) * unit


def stride(length: int) -> int:
    """Words from row to row, where the longest has `length` behind its header."""
    return max(length, 1) + spec.ROW_HEADER_WORDS


def row_lengths(plastic: Array, fixed: Array) -> Array:
    """Words of rows with so many synapses, without headers."""
    return np.asarray(plastic_words(plastic) + fixed + control_words(plastic))


def plastic_words(plastic: Array) -> Array:
    """Words of the plastic part: last time, last trace, and two weights a word."""
    return np.where(plastic > 0, 2 + (plastic + 1) // 2, 0)


def control_words(plastic: Array) -> Array:
    """Words of the controls of plastic synapses, two a word."""
    return np.asarray((plastic + 1) // 2)


def table_words(blocks: Collection[BlockCount]) -> int:
    """Words of the population table: blocks with equal key and mask share an entry."""
    entries = {(b.key, b.mask) for b in blocks}
    return 2 + spec.TABLE_ENTRY_WORDS * len(entries) + len(blocks)
