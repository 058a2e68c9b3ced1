"""Speed of the emulators, all updates and counters on, after load and compilation: Loihi's, and BrainScaleS-2's.

The peer is timed in its own environment, because nengo-loihi needs numpy < 2:

    PYTHON_OF_THAT_ENVIRONMENT snnkit/bench/peers/nengo_loihi_emulator.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor, emulator
from snnkit.bench import brainscales2
from snnkit.errors import FindingsError
from snnkit.graph import Connection, Conv, Dense, Graph, Input, LoihiNeuron, LoihiWeightFormat, Population, Readout
from snnkit.targets.loihi import TARGET
from snnkit.targets.manifest import build_manifest

Array = np.ndarray[Any, Any]

PEER_SECONDS = 0.88
"""nengo-loihi 1.1.0 on the first workload, 2 cores: 16 samples one after the other, stepping only."""


@dataclass(frozen=True)
class Workload:
    """Layers of LIF neurons: synapses and threshold mantissas, driven at a rate of `activity` per line and step."""

    name: str
    shape: tuple[int, ...]
    layers: tuple[tuple[Dense | Conv, int], ...]
    activity: float = 0.05
    steps: int = 100
    samples: int = 16
    peer: float | None = None


def _mantissas(rng: np.random.Generator, *shape: int) -> Array:
    return (rng.integers(-20, 24, shape) * 2).astype(np.int32)


def workloads(quick: bool) -> list[Workload]:
    """The dense network of the peer; unless quick, two wide layers and a convolutional network on 34 x 34 events."""
    rng = np.random.default_rng(0)
    dense = ((Dense(_mantissas(rng, 512, 1024)), 1400), (Dense(_mantissas(rng, 10, 512)), 2500))
    found = [Workload("dense 1024-512-10", (1024,), dense, peer=PEER_SECONDS)]
    if not quick:
        frame = ((Dense(_mantissas(rng, 512, 2312)), 2500),)
        wide = ((Dense(_mantissas(rng, 4096, 1024)), 1400),)
        first = Conv(_mantissas(rng, 16, 2, 5, 5), (2, 34, 34), stride=(2, 2))
        second = Conv(_mantissas(rng, 32, 16, 3, 3), first.out_shape, stride=(2, 2))
        layers = ((first, 200), (second, 300), (Dense(_mantissas(rng, 10, second.n_dst)), 1500))
        found += [
            Workload("wide 2312-512", (2312,), frame),
            Workload("wide 1024-4096", (1024,), wide),
            Workload("conv 2x34x34-16c5-32c3-10", (2, 34, 34), layers, activity=0.02),
        ]
    return found


def network(work: Workload) -> Graph:
    """The workload as an integer graph on the chip's timeline."""
    populations, connections = [], []
    before = "in"
    for k, (synapse, vth) in enumerate(work.layers):
        shape = synapse.out_shape if isinstance(synapse, Conv) else (synapse.n_dst,)
        n = synapse.n_dst

        def full(value: int, n: int = n) -> Array:
            return np.full(n, value, np.int32)

        neuron = LoihiNeuron(full(4095), full(256), full(vth), full(0), full(0), full(1))
        populations.append(Population(f"h{k}", shape, neuron, lag=k))
        connections.append(Connection(f"{before}-h{k}", before, f"h{k}", synapse, min(k, 1), LoihiWeightFormat()))
        before = f"h{k}"
    return Graph(
        work.name.replace(" ", "_"),
        (Input("in", work.shape),),
        tuple(populations),
        tuple(connections),
        readout=Readout(before, "count"),
        steps=work.steps,
        timeline="chip",
    )


def export(work: Workload, folder: Path) -> Path:
    """Lower the workload and write its descriptor."""
    graph = network(work)
    lowered = TARGET.lower(graph)
    if not lowered.ok:
        raise FindingsError(f"the workload {work.name!r} does not fit the chip", lowered.findings)
    path = folder / f"{graph.name}.snnx"
    descriptor.write(path, build_manifest(TARGET, graph, lowered), lowered.arrays, {})
    return path


def _time(emu: emulator.Emulator, raster: Array, repeats: int) -> tuple[Sequence[float], dict[str, int]]:
    counters = emu.run({"in": raster}, ticks=len(raster)).totals()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        emu.run({"in": raster}, ticks=len(raster))
        seconds.append(time.perf_counter() - start)
    return seconds, counters


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Rows of `snnkit bench emulator`: best and median seconds of one batched call, events and updates per second.

    `times_nengo_loihi` is the best time against `PEER_SECONDS`, where the workload is the peer's.
    """
    rng = np.random.default_rng(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for work in workloads(quick):
            path = export(work, Path(folder))
            start = time.perf_counter()
            emu = emulator.open(path)
            loading = time.perf_counter() - start
            n = int(np.prod(work.shape))
            raster = (rng.random((work.steps, work.samples, n)) < work.activity).astype(np.uint8)
            seconds, counters = _time(emu, raster, 5 if quick else 30)
            best = min(seconds)
            rows.append(
                {
                    "workload": work.name,
                    "samples": work.samples,
                    "steps": work.steps,
                    "cores": int(emu.manifest.resources.totals.get("cores", 0)),
                    "load_s": round(loading, 3),
                    "best_ms": round(best * 1e3, 2),
                    "median_ms": round(statistics.median(seconds) * 1e3, 2),
                    "events_per_s": round(counters["synaptic_events"] / best),
                    "updates_per_s": round(counters["neuron_updates"] / best),
                    "times_nengo_loihi": round(work.peer / best) if work.peer else None,
                }
            )
    return [*rows, *brainscales2.rows(quick)]
