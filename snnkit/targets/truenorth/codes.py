"""Weights as crossbar bits: each neuron's weights are sums of some of its four, one axon per input and weight used.

The axon's type picks one of the neuron's four weights, and types belong to the core. So an input gets an axon of each
type that some neuron of the core needs for it: one where a row of weights has one value, two (+ and -) where it is
trinary, four (1, 2, 4, -8) for the sixteen values of a 4-bit weight. A factor per neuron is free.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from snnkit.targets.truenorth import spec

Array = np.ndarray[Any, Any]

FOUR_BITS = (1, 2, 4, -8)


def basis(values: Array) -> tuple[int, int, int, int] | None:
    """Four weights of which some sum gives each of the values; None if there are none. Positive ones come first."""
    distinct = sorted({int(v) for v in np.asarray(values).reshape(-1)} - {0})
    if not distinct:
        return (0, 0, 0, 0)
    if max(abs(v) for v in distinct) > len(FOUR_BITS) * spec.WEIGHT_MAX:
        return None
    if len(distinct) == 1:
        found: tuple[int, ...] = (max(distinct[0], 0), min(distinct[0], 0))
    elif len(distinct) == 2:
        found = (distinct[1], distinct[0])
    else:
        small = _chosen(distinct, 2) or _chosen(distinct, 3)
        chosen = small or _four_bits(distinct) or (tuple(distinct) if len(distinct) == 4 else None)
        if chosen is None:
            return None
        found = chosen if chosen in (_four_bits(distinct),) else tuple(sorted(chosen, reverse=True))
    if any(abs(v) > spec.WEIGHT_MAX for v in found):
        return None
    a, b, c, d = (*found, 0, 0, 0, 0)[:4]
    return a, b, c, d


def _chosen(distinct: list[int], count: int) -> tuple[int, ...] | None:
    """`count` of the values whose sums give all of them."""
    if len(distinct) > 2**count - 1:
        return None
    for few in combinations(distinct, count):
        sums = {sum(part) for size in range(count + 1) for part in combinations(few, size)}
        if set(distinct) <= sums:
            return few
    return None


def _four_bits(distinct: list[int]) -> tuple[int, ...] | None:
    """(s, 2s, 4s, -8s) or its negative, where the values are s times -8..7."""
    unit = int(np.gcd.reduce(np.abs(distinct)))
    low, high = min(distinct) // unit, max(distinct) // unit
    if low >= -8 and high <= 7:
        return tuple(unit * k for k in FOUR_BITS)
    if low >= -7 and high <= 8:
        return tuple(-unit * k for k in FOUR_BITS)
    return None


def parts(value: int, weights: tuple[int, int, int, int]) -> list[int] | None:
    """A number as a sum of numbers that `masks` can give, largest first; None if there is no such sum."""
    sums = {sum(w for k, w in enumerate(weights) if mask >> k & 1) for mask in range(16)} - {0}
    found: list[int] = []
    while value:
        fitting = [s for s in sums if s * value > 0 and abs(s) <= abs(value)]
        if not fitting:
            return None
        found.append(max(fitting, key=abs))
        value -= found[-1]
    return found


def masks(values: Array, weights: tuple[int, int, int, int]) -> Array:
    """For each value a mask of axon types whose weights add up to it, the one with the fewest bits."""
    table: dict[int, int] = {}
    for mask in sorted(range(16), key=lambda m: (int(m).bit_count(), m)):
        used = [k for k in range(4) if mask >> k & 1]
        if all(weights[k] for k in used):
            table.setdefault(sum(weights[k] for k in used), mask)
    return np.array([table[int(v)] for v in np.asarray(values).reshape(-1)], np.int64)
