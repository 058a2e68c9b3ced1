"""Fold elementwise scales (what a batch norm is in eval mode) into the weights beside them.

A batch norm y = gamma*(x - mean)/sqrt(var + eps) + beta is a scale and a shift; the exporter has put the shift into
the population's bias, so only the scale stands in the chain. It moves into the synapse before it (rows of W) or,
where none is there, into the one behind it (columns of W). A scale over a convolution must be equal within each
channel; batch norms are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.graph.model import Array, Graph
from snnkit.graph.synapses import Conv, Dense, Scale, Sparse
from snnkit.passes.chains import rewrite_chains


def per_channel(factor: Array, channels: int) -> Array | None:
    """The factor of each channel, or None if it varies within a channel."""
    table = factor.reshape(channels, -1)
    return table[:, 0] if bool(np.all(table == table[:, :1])) else None


def _fold(first: Any, then: Any) -> tuple[Any, ...] | None:
    if isinstance(then, Scale):
        if isinstance(first, Scale):
            return (Scale(first.factor * then.factor),)
        if isinstance(first, Dense):
            return (Dense(first.weight * then.factor[:, None]),)
        if isinstance(first, Sparse):
            return (Sparse((then.matrix() @ first.weight).tocsr()),)
        if isinstance(first, Conv):
            factor = per_channel(then.factor, first.out_shape[0])
            return None if factor is None else (_with_weight(first, first.weight * factor[:, None, None, None]),)
        return None
    if isinstance(first, Scale):
        if isinstance(then, Dense):
            return (Dense(then.weight * first.factor[None, :]),)
        if isinstance(then, Sparse):
            return (Sparse((then.weight @ first.matrix()).tocsr()),)
        if isinstance(then, Conv):
            factor = per_channel(first.factor, then.in_shape[0])
            if factor is None:
                return None
            by_group = factor.reshape(then.groups, -1)  # [groups, C_in/groups]
            rows = np.repeat(by_group, then.weight.shape[0] // then.groups, axis=0)
            return (_with_weight(then, then.weight * rows[:, :, None, None]),)
    return None


def _with_weight(conv: Conv, weight: Array) -> Conv:
    return Conv(weight, conv.in_shape, conv.stride, conv.padding, conv.dilation, conv.groups)


def fold_norm(graph: Graph) -> Graph:
    """The graph with every scale folded into a neighbouring synapse where that is exact."""
    return rewrite_chains(graph, _fold)
