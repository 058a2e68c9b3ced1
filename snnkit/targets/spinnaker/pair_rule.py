"""The region of pair STDP: written here, read in `decode_plastic.read_stdp`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class PairRule:
    """Pair STDP of a core: `tables` int64 [2, L] in 4.11 (plus, minus), `sizes` of each used, `shifts` of their time
    axes; `limits` int64 [receptors, 4] s16.15 wmin, wmax, A+, A-; `back`: whether the delay of a synapse is also that
    of its neuron's spikes."""

    tables: Array
    sizes: tuple[int, int]
    shifts: tuple[int, int]
    limits: Array
    back: int
    multiplicative: int

    def region(self) -> Array:
        """Its words: back-propagation, both tables (size | shift << 16, two values a word), limits."""
        out = [self.back]
        for table, size, shift in zip(self.tables, self.sizes, self.shifts):
            half = np.append(table[:size] & 0xFFFF, np.zeros(size % 2, np.int64))
            out += [size | shift << 16, *(half[::2] | half[1::2] << 16)]
        return (np.array([*out, *self.limits.reshape(-1)], np.int64) & 0xFFFFFFFF).astype(np.uint32)
