"""Speed of the emulators of the chips, all updates and counters on, after load and compilation.

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
from typing import Any, Literal

import numpy as np

from snnkit import descriptor, emulator
from snnkit.bench import brainscales2, truenorth
from snnkit.errors import FindingsError
from snnkit.graph import Connection, Conv, Dense, Graph, Input, LoihiNeuron, LoihiWeightFormat, Population, Readout
from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.graph.synapses import SpinnakerWeightFormat
from snnkit.targets import registry
from snnkit.targets.manifest import build_manifest
from snnkit.targets.spinnaker import constants

Array = np.ndarray[Any, Any]

PEER_SECONDS = 0.88
"""nengo-loihi 1.1.0 on the first workload, 2 cores: 16 samples one after the other, stepping only."""


@dataclass(frozen=True)
class Workload:
    """Layers of LIF neurons: synapses and threshold mantissas, driven at a rate of `activity` per line and step.

    `model` of a SpiNNaker neuron: "delta" (LIF) or "exp" (CubaLIF). Decays are 15/16 on both chips.
    """

    name: str
    shape: tuple[int, ...]
    layers: tuple[tuple[Dense | Conv, int], ...]
    activity: float = 0.05
    steps: int = 100
    samples: int = 16
    peer: float | None = None
    chip: Literal["loihi", "spinnaker"] = "loihi"
    model: Literal["delta", "exp"] = "delta"


def _mantissas(rng: np.random.Generator, *shape: int) -> Array:
    return (rng.integers(-20, 24, shape) * 2).astype(np.int32)


def workloads(quick: bool) -> list[Workload]:
    """The dense network of the peer on both chips; unless quick, two wide layers and a convolutional network on 34 x 34
    events on Loihi, and exponential synapses on SpiNNaker."""
    rng = np.random.default_rng(0)
    dense = ((Dense(_mantissas(rng, 512, 1024)), 1400), (Dense(_mantissas(rng, 10, 512)), 2500))
    found = [
        Workload("dense 1024-512-10", (1024,), dense, peer=PEER_SECONDS),
        Workload("dense 1024-512-10", (1024,), dense, chip="spinnaker"),
    ]
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
            Workload("dense 1024-512-10, exponential", (1024,), dense, chip="spinnaker", model="exp"),
        ]
    return found


def network(work: Workload) -> Graph:
    """The workload as an integer graph on the chip's timeline."""
    populations, connections = [], []
    before = "in"
    for k, (synapse, vth) in enumerate(work.layers):
        shape = synapse.out_shape if isinstance(synapse, Conv) else (synapse.n_dst,)
        if work.chip == "loihi":
            neuron, lag = _loihi(synapse.n_dst, vth), k
            form: Any = LoihiWeightFormat()
        else:
            neuron, lag, form = _spinnaker(synapse.n_dst, vth, work.model), k + 1, SpinnakerWeightFormat()
        populations.append(Population(f"h{k}", shape, neuron, lag=lag))
        connections.append(Connection(f"{before}-h{k}", before, f"h{k}", synapse, min(lag, 1), form))
        before = f"h{k}"
    return Graph(
        f"{work.chip}_{work.name}".replace(" ", "_"),
        (Input("in", work.shape),),
        tuple(populations),
        tuple(connections),
        readout=Readout(before, "count"),
        steps=work.steps,
        timeline="chip",
    )


def _loihi(n: int, vth: int) -> Any:
    def full(value: int) -> Array:
        return np.full(n, value, np.int32)

    return LoihiNeuron(full(4095), full(256), full(vth), full(0), full(0), full(1))


def _spinnaker(n: int, vth: int, model: Literal["delta", "exp"]) -> Any:
    """The same decay, and words of 2**10 units of v: R is 1/(1 - decay), so a word adds as much as on Loihi."""
    one, zero = np.full(n, 1 << 15, np.int32), np.zeros(n, np.int32)
    m, s = constants.membrane(np.full(n, 15 / 16)), constants.synapse(np.full(n, 0.5))
    gain = s.gain if model == "exp" else np.ones(n)
    return SpinnakerNeuron(
        model, v_init=zero, v_rest=zero, v_reset=zero, v_thresh=np.rint(gain * (vth << 10)).astype(np.int32),
        c_m=m.c.astype(np.int32), tau_m=m.tau.astype(np.int32), i_offset=zero, tau_refrac=zero,
        tau_syn_e=s.tau.astype(np.int32), tau_syn_i=s.tau.astype(np.int32), ts=one, refrac_init=zero, shift=(10, 10),
    )  # fmt: skip


def export(work: Workload, folder: Path) -> Path:
    """Lower the workload and write its descriptor."""
    graph, target = network(work), registry.get(work.chip)
    lowered = target.lower(graph)
    if not lowered.ok:
        raise FindingsError(f"the workload {work.name!r} does not fit the chip", lowered.findings)
    path = folder / f"{graph.name}.snnx"
    descriptor.write(path, build_manifest(target, graph, lowered), lowered.arrays, {})
    return path


def _time(
    emu: emulator.Emulator, raster: Array, repeats: int, probes: Sequence[str]
) -> tuple[Sequence[float], float, dict[str, int]]:
    """(seconds of each call, least processor seconds of a call over all threads, counters)."""
    counters = emu.run({"in": raster}, ticks=len(raster), probes=probes).totals()
    seconds, processor = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        emu.run({"in": raster}, ticks=len(raster), probes=probes)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    return seconds, min(processor), counters


def _measure(
    target: str,
    work: str,
    path: Path,
    raster: Array,
    repeats: int,
    peer: float | None = None,
    probes: Sequence[str] = ("s",),
) -> dict[str, Any]:
    """One row: a descriptor and its input [T, B, n]."""
    start = time.perf_counter()
    emu = emulator.open(path)
    loading = time.perf_counter() - start
    seconds, processor, counters = _time(emu, raster, repeats, probes)
    best = min(seconds)
    return {
        "target": target,
        "workload": work,
        "samples": raster.shape[1],
        "steps": len(raster),
        "cores": int(emu.manifest.resources.totals.get("cores", 0)),
        "load_s": round(loading, 3),
        "best_ms": round(best * 1e3, 2),
        "median_ms": round(statistics.median(seconds) * 1e3, 2),
        "events_per_s": round(counters["synaptic_events"] / best),
        "events_per_processor_s": round(counters["synaptic_events"] / processor),
        "updates_per_s": round(counters["neuron_updates"] / best),
        "times_nengo_loihi": round(peer / best) if peer else None,
    }


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Rows of `snnkit bench emulator`: best and median seconds of one batched call, events and updates per second.

    `events_per_processor_s` is the same per second of one core's time, which other programs on the machine disturb
    less. `times_nengo_loihi` is the best time against `PEER_SECONDS`, where the workload is the peer's.
    """
    rng = np.random.default_rng(1)
    repeats = 5 if quick else 30
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for work in workloads(quick):
            path = export(work, Path(folder))
            n = int(np.prod(work.shape))
            raster = (rng.random((work.steps, work.samples, n)) < work.activity).astype(np.uint8)
            rows.append(_measure(work.chip, work.name, path, raster, repeats, work.peer))
        path = truenorth.export(Path(folder))
        shape = (100, 16, truenorth.CORES * truenorth.SIDE)
        raster = (rng.random(shape) < truenorth.HOST_RATE).astype(np.uint8)
        rows.append(
            _measure("truenorth", f"{truenorth.CORES} full cores, half the bits", path, raster, repeats, probes=())
        )
    return [*rows, *brainscales2.rows(quick)]
