"""A placed network: cores with neurons, parameters and synapses, sources with keys, router entries; and its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.targets.spinnaker import sizes, spec, words
from snnkit.targets.spinnaker.machine import Chip
from snnkit.targets.spinnaker.schema import PLACEMENT, REGIONS, SpinnakerSection

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class PlacedCore:
    """One core. `layer` and `neurons` (numbers in their population) say what it simulates; a source has none.

    `most`: neurons of the largest core of its population, which fixes the width of its indices. `raw`: parameters by
    name, int64 [n]. `key`: of neuron 0, or None if it sends nothing; `colour`: bits
    below the neuron in it. `stdp`: words of that region. `counted`: what its blocks take, where there are none because
    synapses were only counted.
    """

    chip: Chip
    p: int
    binary: int
    layer: str
    neurons: Array
    most: int = 1
    raw: Mapping[str, Array] = field(default_factory=dict)
    shift: tuple[int, int] = (0, 0)
    delay_bits: int = 1
    key: int | None = None
    colour: int = spec.COLOUR_BITS
    blocks: list[words.Block] = field(default_factory=list)
    stdp: Array = field(default_factory=lambda: np.zeros(0, np.uint32))
    counted: list[sizes.BlockCount] = field(default_factory=list)

    @property
    def n(self) -> int:
        """Neurons, or lines of a source."""
        return len(self.neurons)

    def counts(self) -> list[sizes.BlockCount]:
        """What its blocks take."""
        return [*self.counted, *(b.count for b in self.blocks)]

    def parameters(self) -> dict[str, Array]:
        """The words of each region but those of synapses."""
        keys = None if self.key is None else self.key + (np.arange(self.n) << self.colour)
        return {
            "core_params": words.core_params(self.n, self.most, keys, self.shift, self.colour),
            "neuron_params": words.neuron_params(self.raw, self.binary != spec.DELTA),
            "synapse_params": words.synapse_params(self.n, self.most, self.delay_bits, self.shift),
            "stdp_params": self.stdp,
        }

    def regions(self) -> dict[str, Array]:
        """The words of each region."""
        if self.binary == spec.SOURCE:
            return dict.fromkeys(REGIONS, np.zeros(0, np.uint32))
        table, matrix = words.encode_table(self.blocks, words.bits_for(self.most))
        mine = {**self.parameters(), "population_table": table, "synaptic_matrix": matrix}
        return {name: mine[name] for name in REGIONS}


@dataclass(eq=False)
class Network:
    """All cores, `host_key` rows (port, line, core, key), router entries by chip, and the layers' sizes."""

    board: str
    cores: list[PlacedCore]
    host_key: Array
    routes: dict[Chip, Array]
    layers: dict[str, int]

    def images(self) -> dict[str, Array]:
        """The memory images of `schema.TABLES`."""
        regions = [core.regions() for core in self.cores]
        sizes = np.array([[len(r[name]) for name in REGIONS] for r in regions], np.int64).reshape(-1, len(REGIONS))
        arrays: dict[str, Array] = {
            "core": np.array([[*c.chip, c.p, c.binary, c.n] for c in self.cores], np.int32).reshape(-1, 5),
            "core_ptr": np.concatenate([np.zeros((1, len(REGIONS)), np.int64), np.cumsum(sizes, 0)]),
            "host_key": np.asarray(self.host_key, np.int64).reshape(-1, 4),
            "router": self.router(),
        }
        for name in REGIONS:
            parts = [r[name] for r in regions]
            arrays[name] = np.concatenate([np.zeros(0, np.uint32), *parts])
        for layer, n in self.layers.items():
            table = np.zeros((n, 2), np.int32)
            for number, core in enumerate(self.cores):
                if core.layer == layer and core.binary != spec.SOURCE:
                    table[core.neurons] = np.stack([np.full(core.n, number), np.arange(core.n)], 1)
            arrays[PLACEMENT + layer] = table
        return arrays

    def router(self) -> Array:
        """All entries as one table."""
        rows = [np.column_stack([np.tile(chip, (len(e), 1)), e]) for chip, e in sorted(self.routes.items()) if len(e)]
        return np.concatenate([np.zeros((0, 5), np.int64), *rows]).astype(np.int64)

    def section(self) -> SpinnakerSection:
        """The manifest's section."""
        return SpinnakerSection(
            board=self.board,  # type: ignore[arg-type]
            n_cores=len(self.cores),
            n_chips=len({c.chip for c in self.cores}),
            router_entries=sum(len(e) for e in self.routes.values()),
        )
