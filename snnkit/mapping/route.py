"""Count the axons that leave a core: one or more slots per source neuron and core that it reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def fan_out(n: int, reached: Iterable[tuple[Array, int]]) -> Array:
    """Output slots of n source neurons [n], from (source neurons, slots each) per target core and axon group."""
    by_slots: dict[int, list[Array]] = {}
    for sources, each in reached:
        by_slots.setdefault(each, []).append(sources)
    slots = np.zeros(n, np.int64)
    for each, parts in by_slots.items():
        slots += each * np.bincount(np.concatenate(parts), minlength=n)
    return slots
