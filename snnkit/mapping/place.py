"""Give tiles a core: layer after layer, so that a layer's cores are neighbours and every chip is filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Site(NamedTuple):
    """One core with neurons. `core` counts through all chips, `slot` is its number on its chip."""

    core: int
    chip: int
    slot: int
    layer: str
    tile: int


def place(layers: Sequence[tuple[str, int]], cores_per_chip: int) -> list[Site]:
    """Cores for (layer, number of tiles), chip after chip."""
    names = [(name, tile) for name, count in layers for tile in range(count)]
    return [Site(k, k // cores_per_chip, k % cores_per_chip, name, tile) for k, (name, tile) in enumerate(names)]
