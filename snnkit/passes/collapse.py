"""Turn every chain that is left into one synapse: unwrap it, or multiply its operators out to a sparse matrix."""

from __future__ import annotations

from dataclasses import replace

from snnkit.graph.model import Graph
from snnkit.graph.synapses import Chain, Conv, Dense, Pool, Sparse, Synapse


def _collapse(chain: Chain) -> Synapse:
    if len(chain.ops) == 1:
        op = chain.ops[0]
        if isinstance(op, Dense | Sparse | Conv):
            return op
        if isinstance(op, Pool):
            return op.as_conv()
    matrix = chain.matrix()
    matrix.sort_indices()
    return Sparse(matrix)


def collapse(graph: Graph) -> Graph:
    """The graph without chains."""
    connections = tuple(
        replace(c, synapse=_collapse(c.synapse)) if isinstance(c.synapse, Chain) else c for c in graph.connections
    )
    return graph.with_(connections=connections)
