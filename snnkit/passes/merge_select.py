"""Merge the blocks of a concatenation into the synapse behind them: each source keeps its own slice of the weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.graph.model import Graph
from snnkit.graph.synapses import Conv, Dense, Pool, Scale, Select, Sparse
from snnkit.passes.chains import rewrite_chains


def _channels(select: Select, shape: tuple[int, int, int]) -> slice | None:
    """The block of whole channels of `shape` that `select` fills in order, if it is one."""
    pixels = shape[1] * shape[2]
    start = int(select.dst[0]) if select.dst.size else 0
    whole = start % pixels == 0 and select.dst.size % pixels == 0 and select.size == shape[0] * pixels
    if not whole or not np.array_equal(select.dst, np.arange(start, start + select.dst.size)):
        return None
    return slice(start // pixels, (start + select.dst.size) // pixels)


def _merge(first: Any, then: Any) -> tuple[Any, ...] | None:
    if not isinstance(first, Select):
        return None
    if isinstance(then, Dense):
        return (Dense(then.weight[:, first.dst]),)
    if isinstance(then, Sparse):
        return (Sparse(then.weight[:, first.dst].tocsr()),)
    if isinstance(then, Scale):
        return (Scale(then.factor[first.dst]), first)
    if isinstance(then, Select):
        return (Select(then.dst[first.dst], then.size),)
    if isinstance(then, Conv) and then.groups == 1:
        block = _channels(first, then.in_shape)
        if block is not None:
            shape = (block.stop - block.start, *then.in_shape[1:])
            return (Conv(then.weight[:, block], shape, then.stride, then.padding, then.dilation),)
    if isinstance(then, Pool):
        block = _channels(first, then.in_shape)
        if block is not None:
            c, oh, ow = then.out_shape
            shape = (block.stop - block.start, *then.in_shape[1:])
            dst = np.arange(block.start * oh * ow, block.stop * oh * ow)
            return (Pool(shape, then.kernel, then.stride, then.padding, then.average), Select(dst, c * oh * ow))
    return None


def merge_select(graph: Graph) -> Graph:
    """The graph with concatenations merged into the synapses behind them."""
    return rewrite_chains(graph, _merge)
