"""Routing tables: a tree of shortest paths from every source core, and few entries per chip.

An entry may match keys that never come by. Where a packet only goes straight on, none is needed. Entries of one route
are merged into cubes of keys that touch no key with another route, unless an earlier entry takes that one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.targets.spinnaker import spec
from snnkit.targets.spinnaker.machine import Chip, neighbour

Array = np.ndarray[Any, Any]
Cube = tuple[int, int]
"""Key and mask."""


@dataclass(frozen=True)
class Stream:
    """What one core sends: its chip, key and mask, and the (chip, core) pairs that must get it."""

    chip: Chip
    key: int
    mask: int
    targets: tuple[tuple[Chip, int], ...]


def build_routes(streams: Iterable[Stream], board: str) -> dict[Chip, Array]:
    """Router entries int64 [E, 3] (key, mask, route) by chip."""
    wanted: dict[Chip, list[tuple[Cube, int, bool]]] = {}
    parents: dict[Chip, dict[Chip, tuple[Chip, int]]] = {}
    for s in streams:
        if not s.targets:
            continue
        if s.chip not in parents:
            parents[s.chip] = _paths(s.chip, board)
        for chip, route, straight in _tree(s, parents[s.chip]):
            wanted.setdefault(chip, []).append(((s.key, s.mask), route, straight))
    return {chip: _entries(items) for chip, items in sorted(wanted.items())}


def _paths(start: Chip, board: str) -> dict[Chip, tuple[Chip, int]]:
    """For every chip the one before it, and the link from there, on a shortest path from `start`."""
    parent: dict[Chip, tuple[Chip, int]] = {start: (start, -1)}
    queue = deque([start])
    while queue:
        at = queue.popleft()
        came_by = parent[at][1]
        for link in sorted(range(len(spec.LINKS)), key=lambda k: (k != came_by, k)):  # straight on costs no entry
            there = neighbour(board, at, link)
            if there is not None and there not in parent:
                parent[there] = at, link
                queue.append(there)
    return parent


def _tree(s: Stream, parent: dict[Chip, tuple[Chip, int]]) -> list[tuple[Chip, int, bool]]:
    """(chip, route word, whether the router would do the same without an entry)."""
    route: dict[Chip, int] = {}
    for chip, core in s.targets:
        route[chip] = route.get(chip, 0) | 1 << (spec.CORE_BIT + core)
    for chip in list(route):
        while chip != s.chip:
            before, link = parent[chip]
            known = before in route
            route[before] = route.get(before, 0) | 1 << link
            if known:
                break
            chip = before
    return [(c, word, c != s.chip and word == 1 << parent[c][1]) for c, word in sorted(route.items())]


def _entries(items: Sequence[tuple[Cube, int, bool]]) -> Array:
    """Few entries that give every key its route; the first match wins."""
    groups: dict[int, list[Cube]] = {}
    for cube, route, straight in items:
        if not straight:
            groups.setdefault(route, []).append(cube)
    order = sorted(groups, key=lambda r: (len(groups[r]), r))
    passing = {route: [c for c, r, straight in items if straight and r != route] for route in order}
    rows: list[tuple[int, int, int]] = []
    for k, route in enumerate(order):
        foreign = [c for later in order[k + 1 :] for c in groups[later]] + passing[route]
        rows += [(key, mask, route) for key, mask in _cover(sorted(set(groups[route])), foreign)]
    return np.array(rows, np.int64).reshape(-1, 3)


def _cover(cubes: list[Cube], foreign: list[Cube]) -> list[Cube]:
    """Cubes that contain `cubes` and touch none of `foreign`, by halving the keys where one does not do."""
    key, mask = cubes[0]
    for k, m in cubes[1:]:
        mask &= m & ~(k ^ key)
    key &= mask
    if len(cubes) == 1 or not any((k ^ key) & mask & m == 0 for k, m in foreign):
        return [(key, mask)]
    differ, common = 0, 0xFFFFFFFF
    for k, m in cubes:
        differ |= k ^ cubes[0][0]
        common &= m
    top = (differ & common).bit_length() - 1
    if top < 0:
        return cubes
    halves = [[c for c in cubes if (c[0] >> top & 1) == bit] for bit in (0, 1)]
    near = [[c for c in foreign if not c[1] >> top & 1 or (c[0] >> top & 1) == bit] for bit in (0, 1)]
    return [*_cover(halves[0], near[0]), *_cover(halves[1], near[1])]
