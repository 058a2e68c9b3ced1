"""Labels that cannot be told apart: found on the images, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnkit._dialect import instantiate
from snnkit.graph.findings import Finding
from snnkit.targets.brainscales2 import arithmetic, digital, spec

Array = np.ndarray[Any, Any]
_FORMS = instantiate(arithmetic, where=np.where)


def label_collisions(arrays: Mapping[str, Array]) -> list[Finding]:
    """Findings about two sources that send one label into one crossbar input, or that act on one synapse.

    Args:
        arrays: memory images, see `schema.py`.
    """
    found: list[Finding] = []
    for p in range(len(arrays["neuron"])):
        found += _of_part({name: a[p] for name, a in arrays.items() if name in _PER_PART}, arrays, p)
    return found


_PER_PART = ("synapse_weight", "synapse_label", "driver", "crossbar", "neuron")


def _of_part(config: Mapping[str, Array], arrays: Mapping[str, Array], p: int) -> list[Finding]:
    host = arrays["host_input"][arrays["host_input"][:, 0] == p].astype(np.int64)
    replay = arrays["replay"][arrays["replay"][:, 3] == p].astype(np.int64)
    circuits = np.flatnonzero(config["neuron"][:, 0] > 0)
    output = circuits % spec.COLUMNS // spec.OUTPUT_COLUMNS
    sent = np.concatenate([host[:, 4], replay[:, 4]])
    own = _FORMS.neuron_label(output, config["neuron"][circuits, 2].astype(np.int64))
    entry = np.concatenate([digital.FIRST_LINK_INPUT + _FORMS.link_of(sent), output])
    label = np.concatenate([_FORMS.link_label(sent), own])
    names = [f"line {line} of port {port}" for _, port, line, _, _ in host.tolist()]
    names += [f"event {link_label} of part {part}" for part, _, link_label, _, _ in replay.tolist()]
    names += [f"circuit {c}" for c in circuits.tolist()]
    findings = []
    seen: dict[tuple[int, int], int] = {}
    for k, key in enumerate(zip(entry.tolist(), label.tolist())):
        if key in seen and names[seen[key]] != names[k]:
            findings.append(_collision(p, names[seen[key]], names[k], f"both send label {key[1]} into input {key[0]}"))
        seen.setdefault(key, k)
    acting = digital.deliver(config, entry, label)
    synapse = (acting.half * spec.ROWS + acting.row) * spec.COLUMNS + acting.column
    order = np.lexsort((acting.event, synapse))
    synapse, event = synapse[order], acting.event[order]
    for k in np.flatnonzero(np.diff(synapse) == 0).tolist():
        one, two = names[event[k]], names[event[k + 1]]
        if one != two:
            half, rest = divmod(int(synapse[k]), spec.ROWS * spec.COLUMNS)
            where = f"both act on the synapse at half {half}, row {rest // spec.COLUMNS}, column {rest % spec.COLUMNS}"
            findings.append(_collision(p, one, two, where))
    return findings


def _collision(p: int, one: str, two: str, what: str) -> Finding:
    return Finding(
        "LABEL_COLLISION", f"part {p}: {one} and {two}", what, resource="sources of one label", needed=2, available=1,
        remedy="give them different labels, or drivers with other masks",
    )  # fmt: skip
