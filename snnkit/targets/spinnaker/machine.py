"""Boards: which chips there are, who is whose neighbour, which cores are free; and how a packet finds its way.

A router takes the first entry with key & mask == entry key. Without one, a packet that came by a link leaves by the
opposite link; one from a core of the same chip has nowhere to go. Sources: SpiNNMachine version_3.py, version_5.py,
version_48_chips.py, multicast_routing_entry.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnkit.errors import DescriptorError
from snnkit.targets.images import FIX
from snnkit.targets.spinnaker import spec

Array = np.ndarray[Any, Any]
Chip = tuple[int, int]
Entries = Mapping[Chip, Array]
"""int64 [E, 3] key, mask, route by chip, in the order of the router."""

MAX_HOPS = 64


def chips_of(board: str) -> list[Chip]:
    """The chips of a board, in the order in which they are filled."""
    if board == "SpiNN-5":
        return [(x, y) for y, (first, last) in enumerate(spec.SPINN5_ROWS) for x in range(first, last + 1)]
    width, height = spec.BOARDS[board]
    return [(x, y) for y in range(height) for x in range(width)]


def cores_of(board: str, chip: Chip) -> range:
    """The cores of a chip that are free for applications."""
    ethernet = spec.TRIAD_ETHERNET if board == "triad" else ((0, 0),)
    first = spec.FIRST_CORE_ETHERNET if chip in ethernet else spec.FIRST_CORE
    return range(first, spec.LAST_CORE + 1)


def neighbour(board: str, chip: Chip, link: int) -> Chip | None:
    """The chip at the other end of a link; a triad is a torus, single boards end at their rim."""
    dx, dy = spec.LINKS[link]
    x, y = chip[0] + dx, chip[1] + dy
    if board == "triad":
        width, height = spec.BOARDS[board]
        return x % width, y % height
    return (x, y) if (x, y) in _CHIPS[board] else None


def walk(entries: Entries, board: str, chip: Chip, keys: Array) -> list[tuple[Chip, int, Array]]:
    """Where packets with these keys, sent by a core of `chip`, arrive: (chip, core, positions in `keys`).

    Raises:
        DescriptorError: a packet has nowhere to go, leaves the board, or goes round in circles.
    """
    arrived: list[tuple[Chip, int, Array]] = []
    front: list[tuple[Chip, int, Array]] = [(chip, -1, np.arange(len(keys)))]
    for _ in range(MAX_HOPS):
        onward: list[tuple[Chip, int, Array]] = []
        for at, came_by, which in front:
            table = entries.get(at, np.zeros((0, 3), np.int64))
            hit = (keys[which][:, None] & table[None, :, 1]) == table[None, :, 0]
            entry = np.where(hit.any(1), hit.argmax(1), -1) if len(table) else np.full(len(which), -1)
            for number in np.unique(entry):
                mine = which[entry == number]
                if number < 0 and came_by < 0:
                    raise DescriptorError(
                        f"router: the key {int(keys[mine[0]]):#x}, sent on chip {at}, matches no entry there",
                        fix=FIX,
                    )
                route = int(table[number, 2]) if number >= 0 else 1 << came_by
                for core in range(spec.LAST_CORE + 1):
                    if route >> (spec.CORE_BIT + core) & 1:
                        arrived.append((at, core, mine))
                for link in range(len(spec.LINKS)):
                    if route >> link & 1:
                        there = neighbour(board, at, link)
                        if there is None:
                            raise DescriptorError(f"router: a packet leaves the board at chip {at}", fix=FIX)
                        onward.append((there, link, mine))
        if not onward:
            return arrived
        front = onward
    raise DescriptorError("router: a packet goes round in circles", fix=FIX)


_CHIPS = {board: frozenset(chips_of(board)) for board in spec.BOARDS}
