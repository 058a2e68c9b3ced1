"""Cores in numbers, ready to be packed into memory images; the meeting point of placed networks and of the planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.graph.neurons import TrueNorthNeuron
from snnkit.targets.truenorth import schema, spec
from snnkit.targets.truenorth.schema import AXONS, NEURON_COLUMNS, NEURONS

Array = np.ndarray[Any, Any]


def _unused() -> Array:
    table = np.zeros((NEURONS, len(NEURON_COLUMNS)), np.int32)
    table[:, NEURON_COLUMNS.index("threshold")] = 1
    return table


@dataclass(eq=False)
class CoreImage:
    """One core. `kinds` [256], `bits` [256,256] (axon, neuron), `neuron` [256,13], `target` [256,4].

    `target` rows are (kind, core or 0, axon or output line, delay); `n_axons`, `n_neurons` count what is used.
    """

    layer: str
    kinds: Array = field(default_factory=lambda: np.zeros(AXONS, np.uint8))
    bits: Array = field(default_factory=lambda: np.zeros((AXONS, NEURONS), np.uint8))
    neuron: Array = field(default_factory=_unused)
    target: Array = field(default_factory=lambda: np.zeros((NEURONS, 4), np.int64))
    n_axons: int = 0
    n_neurons: int = 0

    def usage(self) -> dict[str, int]:
        """What it takes of a core's resources."""
        return {"neurons": self.n_neurons, "axons": self.n_axons, "synapses": int(self.bits.sum(dtype=np.int64))}


def neuron_rows(neuron: TrueNorthNeuron, which: Array, weight: Array, stochastic: Array | None = None) -> Array:
    """Rows of the neuron table for some neurons of a population; `weight` and `stochastic` [n, 4] by axon type."""
    chance = np.zeros(len(which), np.int64)
    if stochastic is not None:
        chance = (np.asarray(stochastic, np.int64) << np.arange(spec.AXON_TYPES)).sum(1)
    p = {key: np.asarray(value, np.int64)[which] for key, value in vars(neuron).items()}
    columns = [
        *np.asarray(weight, np.int64).T, chance, p["leak"], p["leak_reversal"] | p["leak_stoch"] << 1, p["threshold"],
        p["thr_mask_bits"], p["neg_threshold"], p["reset_mode"] | p["neg_saturate"] << 2, p["reset_value"], p["v_init"],
    ]  # fmt: skip
    return np.stack(columns, 1).astype(np.int32)


def pack(cores: Sequence[CoreImage], xy: Array, output_xy: tuple[int, int]) -> dict[str, Array]:
    """Memory images of cores at `xy` [C,2], without the host's tables."""
    n = len(cores)
    xy = np.asarray(xy, np.int64).reshape(n, 2)
    destination = np.zeros((n, NEURONS, len(schema.DESTINATION_COLUMNS)), np.int64)
    for c, core in enumerate(cores):
        kind = core.target[:, 0]
        place = np.zeros((NEURONS, 2), np.int64)
        place[kind == schema.TO_CORE] = xy[core.target[kind == schema.TO_CORE, 1]]
        place[kind == schema.TO_OUTPUT] = output_xy
        used = kind != schema.NOWHERE
        rows = np.column_stack([kind, place - xy[c], core.target[:, 2], core.target[:, 3]])
        destination[c][used] = rows[used]

    def stack(parts: list[Array], shape: tuple[int, ...], dtype: Any) -> Array:
        return np.stack(parts).astype(dtype) if parts else np.zeros((0, *shape), dtype)

    kinds = stack([c.kinds for c in cores], (AXONS,), np.uint8)
    bits = stack([c.bits for c in cores], (AXONS, NEURONS), np.uint8)
    return {
        "core": xy.astype(np.int16),
        "axon_type": schema.pack_axon_types(kinds),
        "crossbar": schema.pack_crossbar(bits),
        "neuron": stack([c.neuron for c in cores], (NEURONS, len(NEURON_COLUMNS)), np.int32),
        "destination": destination.astype(np.int16),
    }


def site(core: int) -> tuple[int, int]:
    """x and y of the core of that number: row by row on a chip of 64 x 64 cores, chips row by row on the board."""
    side = spec.CORES_PER_SIDE
    chip, slot = divmod(core, spec.CORES_PER_CHIP)
    return chip % spec.CHIPS_PER_SIDE * side + slot % side, chip // spec.CHIPS_PER_SIDE * side + slot // side
