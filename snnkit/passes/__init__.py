"""Graph → graph rewrites, one per file. `simplify` and `to_chip_timeline` run them in the order that works."""

from __future__ import annotations

from snnkit.graph.model import Graph
from snnkit.passes.collapse import collapse
from snnkit.passes.fold_norm import fold_norm
from snnkit.passes.gate_bias import gate_bias
from snnkit.passes.lag import add_lag, loop_findings
from snnkit.passes.merge_pool import merge_pool
from snnkit.passes.merge_select import merge_select

__all__ = [
    "add_lag",
    "collapse",
    "fold_norm",
    "gate_bias",
    "loop_findings",
    "merge_pool",
    "merge_select",
    "simplify",
]


def simplify(graph: Graph) -> Graph:
    """Every connection becomes one synapse: norms folded, pools and concatenations merged, the rest multiplied out."""
    for _ in range(2):  # a norm behind a pool can be folded only once the pool is merged, and the other way round
        graph = merge_select(merge_pool(fold_norm(graph)))
    return collapse(graph)
