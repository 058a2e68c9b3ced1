"""What may arrive at a neuron in one step: sums of weights, for all sources at once and by firing rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from snnkit.graph.model import Connection, Graph
from snnkit.targets.spinnaker import spec

Array = np.ndarray[Any, Any]

GOOD_WORD = 1023
"""A largest weight of 11 bits with its sign is good enough to insist on a proved bound."""
LEAST_SHARE = 1 / 8
"""A bound by rates is at least this share of the proved one: sources may fire together."""


@dataclass(frozen=True, eq=False)
class Arrivals:
    """`sure` [2, n]: excitatory and inhibitory weights of all sources at once. `used` [2, n]: the bounds to work with,
    and how they are known (`bound`). `packets` [n]: packets that may add to one slot."""

    sure: Array
    used: Array
    bound: Literal["proved", "rates"]
    packets: Array


def arrivals(
    graph: Graph, connections: Sequence[Connection], matrices: Sequence[sp.csr_matrix], n: int,
    rates: Mapping[str, Array], *, proved: bool, deviations: float,
) -> Arrivals:  # fmt: skip
    """Bounds of one population.

    Args:
        connections, matrices: what arrives, with real weights [n, sources].
        rates: firing probability (mean count) by source, where known.
        proved: insist on `sure`. deviations: above the mean, of the bound by rates.
    """
    sure = np.zeros((2, n))
    mean, var, largest, packets = np.zeros((2, n)), np.zeros((2, n)), np.zeros(n), np.zeros(n)
    known = True
    counts = {i.name: i.max_count for i in graph.inputs}
    for c, m in zip(connections, matrices):
        count = counts.get(c.src, 1)
        rate = rates.get(c.src)
        known &= rate is not None
        p = np.ones(m.shape[1]) if rate is None else np.asarray(rate, np.float64).reshape(-1)
        packets += np.diff(m.indptr) * count
        np.maximum(largest, np.asarray(abs(m).max(axis=1).todense()).reshape(-1), out=largest)
        for k, part in enumerate((m.maximum(0), (-m).maximum(0))):
            sure[k] += np.asarray(part.sum(1)).reshape(-1) * count
            mean[k] += part @ p
            var[k] += part.multiply(part) @ np.maximum(p * count - p * p, 1e-4)
    most = sure.max(0)
    words_of = np.where(most > 0, largest / np.maximum(most, 1e-30) * spec.WEIGHT_MAX, np.inf)
    if proved or not known or bool(np.all((words_of >= GOOD_WORD) | (largest == 0))):
        return Arrivals(sure, sure, "proved", packets)
    likely = np.minimum(mean + deviations * np.sqrt(var) + largest, sure)
    return Arrivals(sure, np.maximum(likely, LEAST_SHARE * sure), "rates", packets)
