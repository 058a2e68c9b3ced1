"""What a connection needs of a core, counted from the layer's geometry: the sizes of `encode` without its lists.

A tile of a convolution is a box of channels, rows and columns. Which source pixels reach it, with how many synapses and
from which slot to which, is a product over the axes; pixels share a population axon's list where the same taps reach
the same places. No weight of a kernel is taken to be zero, and no two of them equal.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from snnkit.graph.geometry import Axis, axes, edges
from snnkit.graph.model import Population
from snnkit.graph.synapses import Conv, Dense
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.axons import (
    POPULATION,
    AxonCount,
    atoms_max,
    cheapest,
    discrete_lists,
    list_format,
    list_words,
    population_base,
)
from snnkit.targets.loihi.encode import encode
from snnkit.targets.loihi.wires import Wires

Array = np.ndarray[Any, Any]


def count(
    wires: Wires, neurons: Array, *, pop16_left: int = spec.POP16_AXONS, uniform: bool = False
) -> AxonCount | None:
    """As `encode`; what no formula gives (a tile that is no box, a sparse matrix) is encoded for this tile alone."""
    synapse = wires.connection.synapse
    if isinstance(synapse, Dense):
        return _dense(wires, synapse, neurons, uniform)
    if isinstance(synapse, Conv):
        box = _box(neurons, synapse.out_shape)
        if box is not None:
            return _conv(wires, synapse, box, pop16_left, uniform)
    return encode(wires, neurons, pop16_left=pop16_left, uniform=uniform)


def alike(population: Population, wires: tuple[Wires, ...]) -> Array:
    """A number per neuron [n], equal only where neurons alone on a core need the same of it."""
    kinds = []
    for w in wires:
        synapse = w.connection.synapse
        if isinstance(synapse, Conv):
            y, x = (edges(a) for a in axes(synapse))
            plane = y[:, None] * (int(x.max(initial=0)) + 1) + x[None, :]
            kinds.append(np.tile(plane.reshape(-1), synapse.out_shape[0]))
        elif isinstance(synapse, Dense):
            some = synapse.weight != 0
            kinds.append(np.count_nonzero(some, axis=1))
            if isinstance(w.register, np.ndarray):
                kinds.append(np.where(some, w.register, 0).max(axis=1, initial=0))
        else:
            matrix = synapse.matrix().tocsr()
            kinds.append(np.diff(matrix.indptr))
    number = np.zeros(population.n, np.int64)
    for kind in kinds:
        _, number = np.unique(number * (int(kind.max(initial=0)) + 1) + kind, return_inverse=True)
    return number.reshape(-1)


# -------------------------------------------------------------------------------------------------------------- dense
def _dense(wires: Wires, synapse: Dense, neurons: Array, uniform: bool) -> AxonCount | None:
    some = synapse.weight[neurons] != 0
    sources = np.flatnonzero(some.any(0))
    if not sources.size:
        return None
    register = wires.register
    delay = int(np.where(some, register[neurons], 0).max()) if isinstance(register, np.ndarray) else int(register)
    some = some[:, sources]
    first, last = some.argmax(0), len(neurons) - 1 - some[::-1].argmax(0)
    lists = discrete_lists(wires, first, last, some.sum(0), delay, uniform=uniform, core=len(neurons))
    return AxonCount(wires, spec.DISCRETE, len(sources), lists.words, lists.formats, delay, sources)


# -------------------------------------------------------------------------------------------------------- convolutions
class _Box(NamedTuple):
    """Channels, rows and columns of a tile: begin and end of each."""

    channels: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]


def _box(neurons: Array, shape: tuple[int, int, int]) -> _Box | None:
    """The box that a tile is, if its neurons are one in order."""
    if not len(neurons):
        return None
    low, high = ([int(v) for v in np.unravel_index(int(neurons[k]), shape)] for k in (0, -1))
    sizes = [b - a + 1 for a, b in zip(low, high)]
    if min(sizes) < 1 or int(np.prod(sizes)) != len(neurons):
        return None
    o, y, x = (np.arange(a, b + 1) for a, b in zip(low, high))
    whole = ((o[:, None, None] * shape[1] + y[None, :, None]) * shape[2] + x).reshape(-1)
    if not np.array_equal(whole, neurons):
        return None
    return _Box(*((a, b + 1) for a, b in zip(low, high)))  # type: ignore[arg-type]


class _Reach(NamedTuple):
    """What one axis of a box is reached by: source pixels [S] with the first, last and number of outputs of each, and
    a number that is equal where the same taps lead there."""

    source: Array
    first: Array
    last: Array
    number: Array
    taps: Array


@lru_cache(maxsize=4096)
def _reach(axis: Axis, begin: int, end: int) -> _Reach:
    out = np.arange(begin, end)
    inside = axis.valid(out)
    place, tap = np.nonzero(inside)
    at = axis.source(out)[inside]
    order = np.lexsort((place, at))
    at, place, tap = at[order], place[order], tap[order]
    source, first, number = np.unique(at, return_index=True, return_counts=True)
    known: dict[bytes, int] = {}
    taps = [known.setdefault(tap[a : a + k].tobytes(), len(known)) for a, k in zip(first, number)]
    return _Reach(source, place[first], place[first + number - 1], number, np.array(taps, np.int64))


def _conv(wires: Wires, conv: Conv, box: _Box, pop16_left: int, uniform: bool) -> AxonCount | None:
    rows, columns = axes(conv)
    y, x = _reach(rows, *box.rows), _reach(columns, *box.columns)
    if not y.source.size or not x.source.size:
        return None
    key = (box.channels, rows.alike(*box.rows), columns.alike(*box.columns), pop16_left, uniform)
    if key not in wires.known:
        wires.known[key] = _box_count(wires, conv, box, y, x, pop16_left, uniform)
    per_out, per_in = conv.out_shape[0] // conv.groups, conv.in_shape[0] // conv.groups
    low, high = box.channels[0] // per_out, (box.channels[1] - 1) // per_out + 1
    channel = np.arange(low * per_in, high * per_in)
    _, h, w = conv.in_shape
    sources = ((channel[:, None, None] * h + y.source[None, :, None]) * w + x.source[None, None, :]).reshape(-1)
    return replace(wires.known[key], sources=sources)


def _box_count(wires: Wires, conv: Conv, box: _Box, y: _Reach, x: _Reach, pop16_left: int, uniform: bool) -> AxonCount:
    """What a box needs; its sources are left out."""
    width = box.columns[1] - box.columns[0]
    plane = width * (box.rows[1] - box.rows[0])
    (low, high), size = box.channels, plane * (box.channels[1] - box.channels[0])
    per_out, per_in = conv.out_shape[0] // conv.groups, conv.in_shape[0] // conv.groups
    groups = np.arange(low // per_out, (high - 1) // per_out + 1)
    begin, end = np.maximum(groups * per_out, low) - low, np.minimum((groups + 1) * per_out, high) - low

    def slots(channel: Array, row: Array, column: Array) -> Array:
        return channel[:, None, None] * plane + row[None, :, None] * width + column[None, None, :]

    first, last = slots(begin, y.first, x.first), slots(end - 1, y.last, x.last)
    number = (end - begin)[:, None, None] * (y.number[:, None] * x.number)[None]
    delay, none = int(wires.register), np.zeros(0, np.int64)
    lists = discrete_lists(
        wires, first.reshape(-1), last.reshape(-1), number.reshape(-1), delay, uniform=uniform, core=size
    )
    channels = len(groups) * per_in  # those of a group look alike
    words = lists.words * per_in
    discrete = AxonCount(wires, spec.DISCRETE, number.size * per_in, words, lists.formats, delay, none)

    def population(kind: int) -> AxonCount | None:
        if channels > atoms_max(kind) or (number != number[:1]).any():
            return None
        base = population_base(first[0], kind)
        fmt = list_format(wires, delay, spec.SPARSE, int((last[-1] - base).max()))
        taps = y.taps[:, None] * (int(x.taps.max()) + 1) + x.taps[None, :]
        _, shown = np.unique((taps * (size + 1) + first[0] - base).reshape(-1), return_index=True)
        length = channels * number[0].reshape(-1)[shown]
        return AxonCount(wires, kind, number[0].size, int(list_words(fmt, length).sum()), (fmt,), delay, none)

    return cheapest(discrete, (population(kind) for kind in POPULATION), wires.share, pop16_left)
