"""The region of pair STDP: written here and read back here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.errors import DescriptorError
from snnkit.targets.images import FIX
from snnkit.targets.spinnaker import spec

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


def read_rule(region: Array, binary: int, core: int) -> PairRule:
    """The learning rule of a core's region.

    Raises:
        DescriptorError: its region has the wrong size.
    """
    w = region.astype(np.int64)
    tables: list[Array] = []
    shifts: list[int] = []
    at = 1
    for _ in range(2):
        if at >= len(w):
            raise DescriptorError(f"core {core}: the plasticity parameters end too soon", fix=FIX)
        size, shift = int(w[at] & 0xFFFF), int(w[at] >> 16)
        half = np.arange(size)
        if at + 1 + (size + 1) // 2 > len(w):
            raise DescriptorError(f"core {core}: the plasticity parameters end too soon", fix=FIX)
        value = (w[at + 1 + half // 2] >> (16 * (half % 2))) & 0xFFFF
        tables.append(value - ((value & 0x8000) << 1))
        shifts.append(shift)
        at += 1 + (size + 1) // 2
    limits = region[at:].view(np.int32).astype(np.int64)
    if limits.size != 4 * spec.RECEPTORS or max(shifts) > 31:
        raise DescriptorError(f"core {core}: the plasticity parameters have the wrong size", fix=FIX)
    both = np.zeros((2, max(len(t) for t in tables)), np.int64)
    for k, t in enumerate(tables):
        both[k, : len(t)] = t
    return PairRule(
        both, (len(tables[0]), len(tables[1])), (shifts[0], shifts[1]), limits.reshape(2, 4), int(w[0]),
        int(binary == spec.EXP_MULTIPLICATIVE),
    )  # fmt: skip
