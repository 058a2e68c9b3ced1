"""One run of the chip: columns for its neurons, drivers and labels for its sources. No graph, only numbers.

Signed inputs take a driver: its even row excitatory, its odd row inhibitory. Sources from outside the chip are sent by
the FPGA with a label that names half, bus, driver and a synapse label below `OUTSIDE_LABELS`; their drivers compare all
bits of the row select. A neuron's event keeps only 8 free bits: bits 6-7 choose a quarter of the drivers of its bus
(drivers of such sources compare those two bits only), bits 0-5 are a synapse label of its own, from `OUTSIDE_LABELS`.

A neuron of m joined columns has m synapses per row: up to m sources then share a driver, each heard by another column
(its `offset`). Joined over both halves, a neuron hears the drivers of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.targets.brainscales2 import spec

Array = np.ndarray[Any, Any]

JOINED = 2
"""Mode of an item whose neurons use both halves; 0 and 1 name a half."""
OUTSIDE_LABELS = spec.JOIN_COLUMNS_MAX
QUARTERS = 4
"""What bits 6-7 of a neuron's label can choose among."""


@dataclass(frozen=True, eq=False)
class Item:
    """Neurons of one population on this run.

    Attributes:
        layer: its name. neurons: their numbers [k].
        sources: int64, sources that at least one of them has.
        mode: 0, 1 or JOINED. columns: columns per neuron and half.
    """

    layer: str
    neurons: Array
    sources: Array
    mode: int
    columns: int = 1


@dataclass(eq=False)
class Allocation:
    """Where everything is, or why it does not fit (`reason`, with the resource, what is needed and available).

    Attributes:
        base: first column of each neuron, by item [k].
        slots: (half, source) -> (driver, offset).
        inside: internal source -> (bus, quarter, label) of the neuron that sends it.
        address: (item, position) -> (quarter, label) of every neuron.
    """

    reason: tuple[str, int, int] | None = None
    base: list[Array] = field(default_factory=list)
    slots: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    inside: set[int] = field(default_factory=set)
    address: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    kind: Array = field(default_factory=lambda: np.zeros((spec.HALVES, spec.DRIVERS), np.int8))

    @property
    def ok(self) -> bool:
        """Whether it fits."""
        return self.reason is None

    def slot(self, item: Item, source: int) -> tuple[int, int, int]:
        """(half, driver, offset) at which an item hears a source."""
        for half in (0, 1) if item.mode == JOINED else (item.mode,):
            found = self.slots.get((half, source))
            if found is not None:
                return half, *found
        raise KeyError(source)


FREE, OUTSIDE, INSIDE = 0, 1, 2


def bus_of(column: int) -> int:
    """The PADI bus, of both halves, that events of the neurons of a column can reach."""
    return column // spec.OUTPUT_COLUMNS % spec.BUSES


def allocate(items: Sequence[Item], neuron_of: dict[int, tuple[int, int]]) -> Allocation:
    """Fit items on one run.

    Args:
        items: see `Item`.
        neuron_of: source -> (item, position) for sources that are neurons of these items.
    """
    made = Allocation()
    if not _columns(items, made):
        return made
    need: list[dict[int, int]] = [{}, {}]
    either: dict[int, int] = {}
    for item in items:
        into = either if item.mode == JOINED else need[item.mode]
        for s in item.sources.tolist():
            into[s] = min(into.get(s, item.columns), item.columns)
    for s in list(either):  # what a half hears anyway serves joined neurons, too
        for half in (0, 1):
            if s in need[half]:
                need[half][s] = min(need[half][s], either.pop(s))
                break
    free = _Slots(made)
    if not _inside(items, need, either, neuron_of, free, made):
        return made
    _outside(need, either, neuron_of, free, made)
    made.kind = np.array(free.kind, np.int8)
    return made


def _columns(items: Sequence[Item], made: Allocation) -> bool:
    """Columns, spread evenly over the event outputs and so over the buses; joined neurons first."""
    used = np.zeros((spec.HALVES, spec.COLUMNS), bool)
    made.base = [np.zeros(0, np.int64)] * len(items)
    for k in sorted(range(len(items)), key=lambda k: (-(items[k].mode == JOINED), -items[k].columns, k)):
        item = items[k]
        halves = [0, 1] if item.mode == JOINED else [item.mode]
        order = np.arange(spec.COLUMNS // item.columns)
        begin = order % spec.OUTPUTS * spec.OUTPUT_COLUMNS + order // spec.OUTPUTS * item.columns
        taken = used[halves].any(0)
        busy = np.asarray(taken)[begin[:, None] + np.arange(item.columns)].any(1)
        free = begin[~busy][: len(item.neurons)]
        if len(free) < len(item.neurons):
            share = spec.NEURONS if item.mode != JOINED else spec.COLUMNS // item.columns
            made.reason = ("neurons", len(item.neurons), min(share, len(begin)))
            return False
        for half in halves:
            used[half, (free[:, None] + np.arange(item.columns)).reshape(-1)] = True
        made.base[k] = free
    return True


class _Slots:
    """Free (driver, offset) pairs of both halves."""

    def __init__(self, made: Allocation) -> None:
        self.made = made
        self.kind: list[list[int]] = [[FREE] * spec.DRIVERS for _ in range(spec.HALVES)]
        self.taken: list[list[int]] = [[0] * spec.DRIVERS for _ in range(spec.HALVES)]
        self.free = [spec.DRIVERS] * spec.HALVES
        self.begin: dict[tuple[int, int], int] = {}

    def room(self, half: int, drivers: Sequence[int], kind: int, limit: int) -> int:
        """How many more sources with offsets below `limit` fit into these drivers."""
        state, taken = self.kind[half], self.taken[half]
        return sum(max(limit - taken[d], 0) for d in drivers if state[d] in (FREE, kind))

    def take(self, half: int, drivers: Sequence[int], kind: int, limit: int, source: int) -> bool:
        """Give a source a slot: in a driver that is in use and has room, else in a free one."""
        state, taken = self.kind[half], self.taken[half]
        chosen = -1
        for d in drivers:
            if state[d] == kind and taken[d] < limit:
                chosen = d
                break
            if chosen < 0 and state[d] == FREE:
                chosen = d
        return self._give(half, chosen, kind, source)

    def take_any(self, half: int, limit: int, source: int) -> bool:
        """As `take` for a source from outside, in any driver: they are used in order, so a free one ends the search."""
        state, taken = self.kind[half], self.taken[half]
        d = self.begin.get((half, limit), 0)  # those before it are full, or for neurons
        while d < spec.DRIVERS and state[d] != FREE and not (state[d] == OUTSIDE and taken[d] < limit):
            d += 1
        self.begin[half, limit] = d
        return self._give(half, d if d < spec.DRIVERS else -1, OUTSIDE, source)

    def _give(self, half: int, driver: int, kind: int, source: int) -> bool:
        if driver < 0:
            return False
        self.free[half] -= self.kind[half][driver] == FREE
        self.kind[half][driver] = kind
        self.made.slots[half, source] = (driver, self.taken[half][driver])
        self.taken[half][driver] += 1
        return True


def quarter_drivers(bus: int, quarter: int) -> list[int]:
    """Drivers of a bus whose index has these two low bits."""
    return [index * spec.BUSES + bus for index in range(quarter, spec.DRIVERS_PER_BUS, QUARTERS)]


def _inside(
    items: Sequence[Item], need: list[dict[int, int]], either: dict[int, int], neuron_of: dict[int, tuple[int, int]],
    free: _Slots, made: Allocation,
) -> bool:  # fmt: skip
    """Quarters and labels of all neurons, and slots of those that are sources here."""
    by_neuron: dict[tuple[int, int], list[int]] = {}
    for s in sorted({*need[0], *need[1], *either} & neuron_of.keys()):
        by_neuron.setdefault(neuron_of[s], []).append(s)
    labels = {(bus, q): list(range(spec.LABEL_MAX, OUTSIDE_LABELS - 1, -1))
              for bus in range(spec.BUSES) for q in range(QUARTERS)}  # fmt: skip
    limits = {s: min(need[0].get(s, 99), need[1].get(s, 99), either.get(s, 99)) for v in by_neuron.values() for s in v}
    for neuron, sources in sorted(by_neuron.items(), key=lambda kv: (min(limits[s] for s in kv[1]), kv[0])):
        bus = bus_of(int(made.base[neuron[0]][neuron[1]]))
        quarter = max(range(QUARTERS), key=lambda q: (_fit(sources, bus, q, need, either, free, labels), -q))
        if not labels[bus, quarter]:
            made.reason = ("labels", len(by_neuron), len(labels) * (spec.LABEL_MAX + 1 - OUTSIDE_LABELS))
            return False
        made.address[neuron] = (quarter, labels[bus, quarter].pop())
        drivers = quarter_drivers(bus, quarter)
        for s in sources:
            made.inside.add(s)
            for half in (0, 1):
                if s in need[half] and not free.take(half, drivers, INSIDE, need[half][s], s):
                    made.reason = ("drivers", len(need[half]) + len(either), spec.DRIVERS)
                    return False
            if s in either:
                halves = sorted((0, 1), key=lambda h: -free.room(h, drivers, INSIDE, either[s]))
                if not any(free.take(half, drivers, INSIDE, either[s], s) for half in halves):
                    made.reason = ("drivers", len(either), spec.HALVES * spec.DRIVERS)
                    return False
    for k, item in enumerate(items):
        for position in range(len(item.neurons)):
            if (k, position) not in made.address:
                bus = bus_of(int(made.base[k][position]))
                quarter = max(range(QUARTERS), key=lambda q: (len(labels[bus, q]), -q))
                made.address[k, position] = (quarter, labels[bus, quarter].pop())
    return True


def _fit(
    sources: Sequence[int], bus: int, quarter: int, need: list[dict[int, int]], either: dict[int, int], free: _Slots,
    labels: dict[tuple[int, int], list[int]],
) -> int:  # fmt: skip
    """How much room a quarter leaves a neuron's sources where they are needed."""
    if not labels[bus, quarter]:
        return -1
    drivers = quarter_drivers(bus, quarter)
    rooms = [free.room(h, drivers, INSIDE, need[h][s]) for s in sources for h in (0, 1) if s in need[h]]
    rooms += [sum(free.room(h, drivers, INSIDE, either[s]) for h in (0, 1)) for s in sources if s in either]
    return min(rooms, default=0)


def _outside(
    need: list[dict[int, int]], either: dict[int, int], neuron_of: dict[int, tuple[int, int]], free: _Slots,
    made: Allocation,
) -> None:  # fmt: skip
    for half in (0, 1):
        for s, limit in sorted(need[half].items(), key=lambda kv: (kv[1], kv[0])):
            if s not in neuron_of and not free.take_any(half, limit, s):
                made.reason = ("drivers", len(need[half]), spec.DRIVERS)
                return
    for s, limit in sorted(either.items(), key=lambda kv: (kv[1], kv[0])):
        if s in neuron_of:
            continue
        halves = (1, 0) if free.free[1] > free.free[0] else (0, 1)
        if not any(free.take_any(half, limit, s) for half in halves):
            made.reason = ("drivers", len(either), spec.HALVES * spec.DRIVERS)
            return
