"""What a fresh process finds out about a descriptor, or computes with the emulator's functions, for replay.

Functions of (folder, arguments) that return arrays by name; see `snnkit.targets.fresh.Job.call`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import emulator
from snnkit.targets.spinnaker import arithmetic, setup, words
from snnkit.targets.spinnaker.emulate import SpinnakerChip
from snnkit.targets.spinnaker.pair_rule import read_rule

Array = np.ndarray[Any, Any]

OPERATIONS = {
    0: ("product of s16.15", arithmetic.mul),
    1: ("exponential to s16.15", lambda a, b: setup.expk(a)),
    2: ("exponential to u0.32", lambda a, b: setup.expulr(a)),
    3: ("quotient of s16.15", setup.divide),
    4: ("s16.15 times u0.32", arithmetic.dec),
}
"""Scalar operations by number."""


def _open(folder: Path | None) -> SpinnakerChip:
    assert folder is not None
    chip = emulator.open(folder).chip
    assert isinstance(chip, SpinnakerChip)
    return chip


def arrivals(folder: Path | None, arguments: Mapping[str, Array]) -> dict[str, Array]:
    """`arrived.<core>` int64 [K, 2]: source and key of every packet that the routers bring to a core, once each time;
    `astray` [K, 2]: those that they bring to a core without neurons."""
    chip = _open(folder)
    return {"astray": chip.astray} | {f"arrived.{number}": np.stack(pair, 1) for number, pair in chip.reached.items()}


def rows(folder: Path | None, arguments: Mapping[str, Array]) -> dict[str, Array]:
    """What the keys that arrive find: `words.<core>` int64 [W, 3] (source, plastic, word), sorted.

    `lost` [K, 2] (source, key): packets that reach a core without neurons, or find no entry. `<region>.<core>`: the
    regions with parameters (of plasticity: those that were read, written again).
    """
    chip = _open(folder)
    out: dict[str, Array] = {}
    lost = [chip.astray]
    for core in chip.cores:
        none = np.zeros(0, np.int64)
        source, keys = chip.reached.get(core.number, (none, none))
        missed = core.table.find(keys)[0] < 0
        lost.append(np.stack([source[missed], keys[missed]], 1))
        found = words.found(core.table, core.matrix, keys, core.number)
        found[:, 0] = source[found[:, 0]]
        out[f"words.{core.number}"] = found[np.lexsort(found.T[::-1])]
        out |= {f"{name}.{core.number}": region for name, region in core.regions.items()}
        if len(core.stdp):
            out[f"stdp_params.{core.number}"] = read_rule(core.stdp, core.binary, core.number).region()
    return out | {"lost": np.concatenate(lost)}


def scalars(folder: Path | None, arguments: Mapping[str, Array]) -> dict[str, Array]:
    """`result` uint32 [K] of the emulator's functions, number `op`, of `a` and `b` int64 [K]."""
    columns = (arguments[k].tolist() for k in ("op", "a", "b"))
    return {"result": np.array([OPERATIONS[op][1](a, b) & 0xFFFFFFFF for op, a, b in zip(*columns)], np.uint32)}
