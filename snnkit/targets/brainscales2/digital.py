"""Where an event goes: crossbar nodes, buses, drivers, rows, synapses. Integers only, exact.

A configuration of one chip is a mapping of images without the axis of parts (see `schema.py`): `synapse_weight`,
`synapse_label` [2, 256, 256], `driver` [2, 128, 4], `crossbar` [76, 2].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from snnkit._dialect import instantiate
from snnkit.targets.brainscales2 import arithmetic, spec

Array = np.ndarray[Any, Any]
_FORMS = instantiate(arithmetic, where=np.where)

FIRST_LINK_INPUT = spec.OUTPUTS
FIRST_BACKGROUND_INPUT = spec.OUTPUTS + spec.LINKS
FIRST_LINK_OUTPUT = spec.HALVES * spec.BUSES
DRIVER_COLUMNS = ("on", "mode_even", "mode_odd", "mask")


@cache
def nodes() -> Array:
    """(input, output) of the 76 crossbar nodes that exist, int64 [76, 2], in the order of the `crossbar` image.

    Inputs: 0-7 neurons, 8-11 links, 12-19 background. Outputs: 0-3 buses of half 0, 4-7 of half 1, 8-11 links.
    """
    found = []
    for k in range(spec.OUTPUTS):
        found += [(k, k % 4), (k, 4 + k % 4), (k, FIRST_LINK_OUTPUT + k % 4)]
    for k in range(spec.LINKS):
        found += [(FIRST_LINK_INPUT + k, bus) for bus in range(8)] + [(FIRST_LINK_INPUT + k, FIRST_LINK_OUTPUT + k)]
    for k in range(spec.BACKGROUND_SOURCES):
        bus = k % 4 + (0 if k < 4 else 4)
        found += [(FIRST_BACKGROUND_INPUT + k, bus), (FIRST_BACKGROUND_INPUT + k, FIRST_LINK_OUTPUT + k % 4)]
    return np.array(found, np.int64)


@dataclass(frozen=True, eq=False)
class Delivery:
    """Synapses that act, sorted: event, half, row, column int64 [K]; excitatory and inhibitory weight int64 [K]."""

    event: Array
    half: Array
    row: Array
    column: Array
    excitatory: Array
    inhibitory: Array

    def rows(self) -> Array:
        """All of it as one table [K, 6]."""
        return np.stack([self.event, self.half, self.row, self.column, self.excitatory, self.inhibitory], 1)


def outputs_of(crossbar: Array, source: Array, label: Array) -> Array:
    """Which crossbar outputs each event reaches: bool [E, 12]. source, label: int64 [E]."""
    where = nodes()
    reached = np.zeros((len(source), spec.CROSSBAR_OUTPUTS), bool)
    for (i, o), (mask, target) in zip(where, crossbar.astype(np.int64)):
        mine = source == i
        reached[mine, o] |= _FORMS.passes(label[mine], mask, target)
    return reached


def deliver(config: Mapping[str, Array], source: Array, label: Array) -> Delivery:
    """Which synapses act on each event, and with what weight.

    Args:
        config: see the module; rows of weight 0 do not act.
        source: crossbar inputs [E]. label: labels as the crossbar sees them (14 bits of a link, 11 of a neuron) [E].
    """
    source, label = np.asarray(source, np.int64), np.asarray(label, np.int64)
    reached = outputs_of(config["crossbar"], source, label)
    driver = config["driver"].astype(np.int64)
    parts = [np.zeros((0, 6), np.int64)]
    for half in range(spec.HALVES):
        weight, own = config["synapse_weight"][half], config["synapse_label"][half]
        for bus in range(spec.BUSES):
            events = np.flatnonzero(reached[:, half * spec.BUSES + bus])
            drivers = np.arange(spec.DRIVERS_PER_BUS) * spec.BUSES + bus
            drivers = drivers[driver[half, drivers, 0] > 0]
            if not len(events) or not len(drivers):
                continue
            index, mask = drivers // spec.BUSES, driver[half, drivers, 3]
            e, d = np.nonzero(_FORMS.takes(label[events][:, None], index, mask))
            e, d = events[e], drivers[d]
            for side in (0, 1):
                parts.append(_row(weight, own, e, 2 * d + side, driver[half, d, 1 + side], label, half))
    table = np.concatenate(parts)
    table = table[np.lexsort(table[:, :4].T[::-1])]
    return Delivery(*table.T)


def _row(weight: Array, own: Array, event: Array, row: Array, mode: Array, label: Array, half: int) -> Array:
    act = (own[row] == _FORMS.forwarded(label[event])[:, None]) & (weight[row] > 0) & (mode[:, None] > 0)
    k, column = np.nonzero(act)
    w = weight[row[k], column].astype(np.int64)
    up, down = _FORMS.signed(w, mode[k])
    return np.stack([event[k], np.full(len(k), half), row[k], column, up, down], 1)
