"""An order of neurons in which the targets of a convolution's spike lie side by side.

A spike of a convolutional layer reaches a few pixels of every channel. Counted channel after channel these are short
runs, counted pixel after pixel they are long ones, which are delivered several at a time. Sums of integers do not
depend on the order, so spikes, states and counters stay what they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.descriptor.schema import Layer
from snnkit.emulator.rows import Lists, ragged

Array = np.ndarray[Any, Any]

MOST_ENTRIES = 1 << 24
"""Networks with more synapses keep their order: every source gets lists of its own here."""
_BYTE = 127


def channels_last(layers: Iterable[Layer], placement: Mapping[str, Array], n: int) -> Array | None:
    """The new place int64 [n] of every neuron: layer after layer, layers [C, H, W] pixel after pixel; None where no
    layer has both channels and pixels."""
    parts, worth = [np.zeros(0, np.int64)], False
    for layer in layers:
        place = placement[layer.name]
        if len(layer.shape) == 3 and len(place) == math.prod(layer.shape) > layer.shape[0] > 1:
            place, worth = place.reshape(layer.shape).transpose(1, 2, 0).reshape(-1), True
        parts.append(place)
    first = np.concatenate(parts)
    rest = np.ones(n, bool)
    rest[first] = False
    if not worth or n - int(rest.sum()) < len(first):  # a damaged table may name a place twice
        return None
    order = np.empty(n, np.int64)
    order[np.concatenate([first, np.flatnonzero(rest)])] = np.arange(n)
    return order


def entries(lists: Lists, list_of: Array) -> int:
    """How many synapses there are where every connection has its own."""
    return int(np.diff(lists.ptr)[list_of].sum())


def regrouped(
    lists: Lists, source: Array, list_of: Array, base: Array, order: Array, n_sources: int
) -> tuple[Lists, Array, Array, Array]:
    """The same synapses in lists of each source, in the new order of their targets: (lists, source, list_of, base).

    A source has one list, or where eight bits cannot hold its weights one for each scale of the lists before.
    """
    scale = _scales(lists)
    by_source = np.argsort(source, kind="stable")
    source, list_of, base = source[by_source], list_of[by_source], base[by_source]
    sizes = np.diff(lists.ptr)[list_of]
    entry = ragged(lists.ptr[:-1][list_of], sizes)
    owner, own_scale = np.repeat(source, sizes), np.repeat(scale[list_of], sizes)
    weight = lists.weight[entry].astype(np.int64)
    target = order[np.repeat(base, sizes) + lists.target[entry]]
    lowest = np.full(n_sources, 63)
    np.minimum.at(lowest, source, scale[list_of])
    largest = np.zeros(n_sources, np.int64)
    np.maximum.at(largest, owner, np.abs(weight))
    kinds = int(scale.max(initial=0)) + 1
    wide = (largest >> np.minimum(lowest, 62)) > _BYTE
    group = owner * kinds + np.where(wide[owner], own_scale, 0)
    n, longest = len(order), int(lists.delay.max(initial=0)) + 1
    column = lists.delay[entry].astype(np.int64) * n + target
    if wide.any():
        at = np.argsort(group, kind="stable")
        group, column, weight = group[at], column[at], weight[at]
    start = np.flatnonzero(np.diff(group, prepend=-1))  # groups are in order by now
    used, ptr = group[start], np.append(start, len(group))
    rows = sp.csr_matrix((weight, column, ptr), shape=(len(used), n * longest))
    rows.sort_indices()
    made = Lists(ptr, rows.data, (rows.indices % n).astype(np.int32), (rows.indices // n).astype(np.int32))
    return made, used // kinds, np.arange(len(used)), np.zeros(len(used), np.int64)


def _scales(lists: Lists) -> Array:
    """Trailing zeros that all weights of a list share, int64 [L]; 0 where there are none."""
    out = np.zeros(len(lists.ptr) - 1, np.int64)
    filled = np.flatnonzero(np.diff(lists.ptr) > 0)
    if len(filled):
        joint = np.bitwise_or.reduceat(lists.weight.astype(np.int64), lists.ptr[:-1][filled])
        lowest = joint & -joint
        out[filled] = np.where(joint != 0, np.log2(np.maximum(lowest, 1)).astype(np.int64), 0)
    return out
