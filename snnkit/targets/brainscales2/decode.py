"""Memory images -> synapses by source, for each part: follows labels, crossbar, drivers and switches to neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit._dialect import instantiate
from snnkit.targets.brainscales2 import arithmetic, digital, schema, spec

Array = np.ndarray[Any, Any]
_FORMS = instantiate(arithmetic, where=np.where)


@dataclass(frozen=True, eq=False)
class Part:
    """One run of the chip. Sources: host entries, replayed events, then its own neurons.

    Attributes:
        first: global number of its first neuron. circuits: the head of each neuron [n].
        fires, visible: bool [n], whether its events are on, and whether they reach a link and so the host.
        entries: int64 [E, 2], (raster line, delay) of each host entry.
        replay_ptr, replay_source: sources of this part by global neuron of earlier parts.
        ptr, neuron, driver, excitatory, inhibitory: synapses by source; drivers count over both halves.
        hold_ps: refractory time [n]. target: int64 [n, 7], see `schema.TARGET_COLUMNS`.
    """

    first: int
    circuits: Array
    fires: Array
    visible: Array
    entries: Array
    replay_ptr: Array
    replay_source: Array
    ptr: Array
    neuron: Array
    driver: Array
    excitatory: Array
    inhibitory: Array
    hold_ps: Array
    target: Array

    @property
    def n(self) -> int:
        """Neurons."""
        return len(self.circuits)

    @property
    def first_own(self) -> int:
        """The source that is neuron 0."""
        return len(self.ptr) - 1 - self.n


def decode(arrays: Mapping[str, Array], starts: Array) -> list[Part]:
    """All parts of images that passed `schema.check_images`. starts: the first raster line of each port."""
    parts: list[Part] = []
    recorded: dict[tuple[int, int, int], list[int]] = {}
    first = 0
    for p in range(len(arrays["neuron"])):
        part, links, labels = _part(arrays, p, first, starts, recorded)
        for i, link in zip(*np.nonzero(links)):
            recorded.setdefault((p, int(link), int(labels[i])), []).append(first + int(i))
        parts.append(part)
        first += part.n
    return parts


def _part(
    arrays: Mapping[str, Array], p: int, first: int, starts: Array, recorded: Mapping[tuple[int, int, int], list[int]]
) -> tuple[Part, Array, Array]:  # fmt: skip
    """A part, the links that each of its neurons' events reach [n, 4], and their labels [n]."""
    config = {name: arrays[name][p] for name in ("synapse_weight", "synapse_label", "driver", "crossbar")}
    neuron = arrays["neuron"][p].astype(np.int64)
    group = schema.groups(neuron)
    heads = np.flatnonzero((neuron[:, 0] > 0) | (neuron[:, 1] > 0))
    number = np.full(spec.NEURONS, -1, np.int64)
    number[group[heads]] = np.arange(len(heads))
    local = number[group]

    host = arrays["host_input"][arrays["host_input"][:, 0] == p].astype(np.int64)
    replay = arrays["replay"][arrays["replay"][:, 3] == p].astype(np.int64)
    sent = np.concatenate([host[:, 4], replay[:, 4]])
    output = heads % spec.COLUMNS // spec.OUTPUT_COLUMNS
    labels = _FORMS.neuron_label(output, neuron[heads, 2])
    source = np.concatenate([digital.FIRST_LINK_INPUT + _FORMS.link_of(sent), output])
    found = digital.deliver(config, source, np.concatenate([_FORMS.link_label(sent), labels]))

    fires = neuron[heads, 0] > 0
    to = local[found.half * spec.COLUMNS + found.column]
    own = found.event - len(sent)
    act = (to >= 0) & ((own < 0) | fires[np.maximum(own, 0)] if len(heads) else own < 0)
    event = found.event[act]
    links = digital.outputs_of(config["crossbar"], output, labels)[:, digital.FIRST_LINK_OUTPUT :] & fires[:, None]
    sources = [
        (n, len(host) + r)
        for r, row in enumerate(replay)
        for n in recorded.get((int(row[0]), int(row[1]), int(row[2])), ())
    ]
    pairs = np.array(sorted(sources), np.int64).reshape(-1, 2)
    hold = np.maximum(neuron[heads, 3] * (spec.REFRACTORY_CLOCK_PS << neuron[heads, 4]), spec.RESET_LEAST_PS)
    part = Part(
        first, heads, fires, links.any(1),
        np.stack([starts[host[:, 1]] + host[:, 2], host[:, 3]], 1) if len(host) else np.zeros((0, 2), np.int64),
        np.searchsorted(pairs[:, 0], np.arange(first + 1)).astype(np.int64), np.ascontiguousarray(pairs[:, 1]),
        np.searchsorted(event, np.arange(len(source) + 1)).astype(np.int64), to[act],
        found.half[act] * spec.DRIVERS + found.row[act] // 2, found.excitatory[act], found.inhibitory[act],
        hold, arrays["target"][p][heads],
    )  # fmt: skip
    return part, links, labels
