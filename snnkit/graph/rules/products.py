"""Exact products of spikes and weights for the plain executor, with the cheaper of two sparse algorithms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.errors import GraphError
from snnkit.graph.model import Connection
from snnkit.graph.synapses import Dense

Array = np.ndarray[Any, Any]
SPARSE_BELOW = 0.1  # share of active sources under which sparse x sparse is faster than sparse x dense


@dataclass(eq=False)
class Part:
    """y = after(W x) for the synapses of one delay. `matrix` is W as CSR [n_dst, n_src], int64 or float64.

    Sums run in an order fixed by the matrix; integers are exact. `after` is a rounding that a chip applies to the
    sum of a connection rather than to each weight.
    """

    delay: int
    matrix: sp.csr_matrix
    after: Callable[[Array], Array] | None = None
    _transposed: sp.csr_matrix | None = field(default=None, repr=False)

    def apply(self, spikes: Array) -> Array:
        """W x for spikes (or counts) [B, n_src] -> [B, n_dst]."""
        dtype = self.matrix.dtype
        if np.count_nonzero(spikes) < SPARSE_BELOW * spikes.size:
            if self._transposed is None:
                self._transposed = self.matrix.T.tocsr()
            y = (sp.csr_matrix(spikes, dtype=dtype) @ self._transposed).toarray()
        else:
            y = np.ascontiguousarray((self.matrix @ np.ascontiguousarray(spikes.T, dtype=dtype)).T)
        return y if self.after is None else self.after(y)


def by_delay(
    connection: Connection, values: sp.csr_matrix, after: Callable[[Array], Array] | None = None
) -> list[Part]:
    """Split a connection's weights into one `Part` per delay. `values` is its matrix with the final numbers."""
    delay = connection.delay
    if not isinstance(delay, np.ndarray):
        return [Part(int(delay), values, after)]
    if not isinstance(connection.synapse, Dense) or delay.shape != values.shape:
        raise GraphError(f"connection {connection.name!r}: per-synapse delays need a Dense synapse of the same shape")
    dense = values.toarray()
    parts = [Part(int(d), sp.csr_matrix(np.where(delay == d, dense, 0)), after) for d in np.unique(delay)]
    return [p for p in parts if p.matrix.nnz]
