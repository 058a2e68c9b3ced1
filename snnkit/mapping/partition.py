"""Split one population into tiles that each fit a core, in as few tiles as a simple search finds.

A population with a [C, H, W] shape is cut along a grid (channels, rows, columns): convolutions then need few input
axons and share weights within a tile. Others are cut into runs of neighbours; where the neurons' parameters need more
profiles than a core has, into runs of neurons sorted by parameters. The search is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.mapping.resources import Over, Usage, fits, over

Array = np.ndarray[Any, Any]
Measure = Callable[[Array], Usage]

MORE_TILES = 6  # the grid search tries up to this many times the fewest tiles that the neuron count allows
RANKED = 8  # grids of one size whose largest tile fits and that are checked tile by tile


@dataclass(frozen=True, eq=False)
class Partition:
    """Tiles of one population: int64 neuron numbers in the order of their slots on a core.

    `tiles` is empty if some neuron alone does not fit; then `neuron` is one of them and `over` says why.
    """

    tiles: tuple[Array, ...]
    neuron: int | None = None
    over: tuple[Over, ...] = ()


def partition(
    shape: tuple[int, ...],
    measure: Measure,
    limits: Usage,
    *,
    order: Array | None = None,
    slots: str = "compartments",
    each: Mapping[str, Array] | None = None,
) -> Partition:
    """Tiles that fit.

    Args:
        shape: of the population; three dimensions mean [C, H, W].
        measure: what a core would need for given neurons.
        limits: what a core has.
        order: all neurons in an order in which neighbours go well together; default by number.
        slots: the resource that counts neurons, checked before `measure` is asked.
        each: resources that add up over neurons, by what each needs [n]; `measure` gives them too, but later.
    """
    n = int(np.prod(shape))
    natural = np.arange(n, dtype=np.int64)
    most = int(limits.get(slots, n))

    def possible(neurons: Array) -> bool:
        return len(neurons) <= most and all(need[neurons].sum() <= limits[name] for name, need in (each or {}).items())

    def feasible(neurons: Array) -> bool:
        return possible(neurons) and fits(measure(neurons), limits)

    if n == 0:
        return Partition(())
    if feasible(natural):
        return Partition((natural,))
    least = max((-(-int(need.sum()) // max(limits[name], 1)) for name, need in (each or {}).items()), default=0)
    grid = _grid(shape, possible, feasible, measure, limits, most, least) if len(shape) == 3 else None
    if grid is not None and order is None:
        return Partition(grid)
    runs = _runs(natural if order is None else order, feasible, most)
    if runs is None:
        if grid is not None:
            return Partition(grid)
        alone = next((k for k in range(n) if not feasible(natural[k : k + 1])), 0)
        return Partition((), alone, over(measure(natural[alone : alone + 1]), limits))
    if grid is not None and len(grid) <= len(runs):
        return Partition(grid)
    return Partition(runs)


def _runs(order: Array, feasible: Callable[[Array], bool], most: int) -> tuple[Array, ...] | None:
    """Cut an order into the longest runs that fit, then even them out if that works too."""
    tiles: list[Array] = []
    start, size = 0, min(most, len(order))
    while start < len(order):
        size = min(size, len(order) - start)
        if not feasible(order[start : start + size]):
            low, high = 0, size  # `low` fits, `high` does not
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if feasible(order[start : start + middle]) else (low, middle)
            if low == 0:
                return None
            size = low
        tiles.append(order[start : start + size])
        start += size
    even = np.array_split(order, len(tiles))
    return tuple(even) if all(feasible(t) for t in even) else tuple(tiles)


def _grid(
    shape: tuple[int, ...], possible: Callable[[Array], bool], feasible: Callable[[Array], bool], measure: Measure,
    limits: Usage, most: int, least: int,
) -> tuple[Array, ...] | None:  # fmt: skip
    """The smallest grid of equal tiles that fits; among equal numbers the one whose tiles need the least of a core.

    Fewer than `least` tiles cannot fit.
    """
    c, h, w = shape
    fewest = -(-(c * h * w) // most)
    for count in range(max(fewest, least), max(MORE_TILES * fewest, 2 * MORE_TILES) + 1):
        ranked: list[tuple[float, tuple[int, int, int]]] = []
        for cuts in _factors(count, (c, h, w)):
            tile = _tile(shape, cuts, tuple(k // 2 for k in cuts))
            if possible(tile):
                usage = measure(tile)
                if fits(usage, limits):
                    ranked.append((sum(usage.get(k, 0) / max(v, 1) for k, v in limits.items()), cuts))
        for _, cuts in sorted(ranked)[:RANKED]:
            tiles = tuple(_tile(shape, cuts, index) for index in np.ndindex(*cuts))
            if all(possible(t) for t in tiles) and all(feasible(t) for t in tiles):
                return tiles
    return None


def _factors(count: int, limits: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """All (a, b, c) with a*b*c = count within the limits."""
    return [
        (a, b, count // (a * b))
        for a in range(1, min(count, limits[0]) + 1)
        if count % a == 0
        for b in range(1, min(count // a, limits[1]) + 1)
        if (count // a) % b == 0 and count // (a * b) <= limits[2]
    ]


def _tile(shape: tuple[int, ...], cuts: tuple[int, ...], index: tuple[int, ...]) -> Array:
    """Neuron numbers of one tile of a grid, channels first."""
    c, y, x = (np.arange(*_piece(size, k, i), dtype=np.int64) for size, k, i in zip(shape, cuts, index))
    return ((c[:, None, None] * shape[1] + y[:, None]) * shape[2] + x).reshape(-1)


def _piece(size: int, pieces: int, k: int) -> tuple[int, int]:
    """Begin and end of piece k of nearly equal ones, the longer first."""
    each, longer = divmod(size, pieces)
    return k * each + min(k, longer), (k + 1) * each + min(k + 1, longer)
