"""A TrueNorth workload for `snnkit bench emulator`: full cores, half of the bits set, 5 % of the axons active."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit import descriptor
from snnkit.errors import FindingsError
from snnkit.graph import (
    Connection,
    Dense,
    Graph,
    Input,
    Population,
    Sparse,
    TrueNorthAxon,
    TrueNorthFormat,
    TrueNorthNeuron,
)
from snnkit.targets.manifest import build_manifest
from snnkit.targets.truenorth import TARGET
from snnkit.targets.truenorth.lower import LowerOptions

Array = np.ndarray[Any, Any]

CORES, SIDE = 64, 256
HOST_RATE = 0.045
"""Of each axon, per tick, from the host; the neurons' own spikes make it about 5 %."""


def network(cores: int = CORES, seed: int = 0) -> Graph:
    """Cores of 256 axons and 256 neurons, weights 1, -1, 2, -2 by axon type; neuron i sends to axon i of the next."""
    rng = np.random.default_rng(seed)
    populations: list[Population] = []
    connections: list[Connection] = []

    def full(value: int) -> Array:
        return np.full(SIDE, value, np.int32)

    for k in range(cores):
        neuron = TrueNorthNeuron(
            leak=full(-1), leak_reversal=full(0), leak_stoch=full(0), threshold=full(24), thr_mask_bits=full(0),
            neg_threshold=full(24), neg_saturate=full(1), reset_mode=full(0), reset_value=full(0), v_init=full(0),
        )  # fmt: skip
        populations += [Population(f"a{k}", (SIDE,), TrueNorthAxon()), Population(f"n{k}", (SIDE,), neuron)]
        bits = (rng.random((SIDE, SIDE)) < 0.5).astype(np.int32)
        crossbar = TrueNorthFormat(rng.integers(0, 4, SIDE), np.tile(np.array([1, -1, 2, -2]), (SIDE, 1)))
        connections.append(Connection(f"crossbar{k}", f"a{k}", f"n{k}", Dense(bits), 0, crossbar))
        mine = sp.eye(SIDE, cores * SIDE, k=k * SIDE, dtype=np.int32, format="csr")
        connections.append(Connection(f"host{k}", "in", f"a{k}", Sparse(mine), 0, TrueNorthFormat()))
        one = Sparse(sp.eye(SIDE, dtype=np.int32, format="csr"))
        connections.append(Connection(f"to{k}", f"n{k}", f"a{(k + 1) % cores}", one, 1, TrueNorthFormat()))
    return Graph(
        f"{cores}_full_cores", (Input("in", (cores * SIDE,)),), tuple(populations), tuple(connections), timeline="chip"
    )


def export(folder: Path, cores: int = CORES) -> Path:
    """Write the workload's descriptor."""
    graph = network(cores)
    lowered = TARGET.lower(graph, LowerOptions(strict=False))
    if not lowered.ok:
        raise FindingsError("the workload does not fit the chip", lowered.findings)
    path = folder / f"{graph.name}.snnx"
    manifest = build_manifest(TARGET, graph, lowered)
    layers = tuple(layer for layer in manifest.layers if layer.name.startswith("n"))  # nobody looks at the axons
    arrays = {k: a for k, a in lowered.arrays.items() if not k.startswith("placement.a")}
    descriptor.write(path, manifest.model_copy(update={"layers": layers}), arrays, {})
    return path
