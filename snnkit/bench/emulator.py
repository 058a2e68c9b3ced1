"""Speed of the Loihi emulator, all updates and counters on, after load and compilation.

The peer is timed in its own environment, because nengo-loihi needs numpy < 2:

    PYTHON_OF_THAT_ENVIRONMENT snnkit/bench/peers/nengo_loihi_emulator.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor as store
from snnkit import emulator
from snnkit.descriptor import Layer, Manifest, Port, Readout
from snnkit.targets.loihi import schema, spec

Array = np.ndarray[Any, Any]

PEER_SECONDS = 0.88
"""nengo-loihi 1.1.0 on the first workload, 2 cores: 16 samples one after the other, stepping only."""


def dense_network(weights: Sequence[Array], thresholds: Sequence[int], folder: Path, *, name: str = "dense") -> Path:
    """Write a descriptor of dense layers: `weights` [n_dst, n_src] even mantissas, 8 bits mixed.

    Every layer is cut over cores by synapse memory; the layers are called h0, h1, ...
    """
    fmt = schema.SynapseFormat(compression=spec.DENSE)
    n_src = weights[0].shape[1]
    cores: list[tuple[int, int, int]] = []  # (layer, first, end)
    for k, w in enumerate(weights):
        n_dst, n_in = w.shape
        most = min(spec.COMPARTMENTS_PER_CORE, n_dst)
        while fmt.list_words(most) * n_in > spec.SYNAPSE_WORDS_PER_CORE:
            most -= 1
        cores += [(k, at, min(at + most, n_dst)) for at in range(0, n_dst, most)]
    tables: dict[str, list[Array]] = {t: [] for t in schema.TABLES}
    placement = [np.zeros((len(w), 2), np.int32) for w in weights]
    empty = schema.SynapseFormat(*[0] * len(schema.FORMAT_COLUMNS))
    for c, (k, first, end) in enumerate(cores):
        part = weights[k][first:end].T
        n, m = part.shape
        words, at = schema.encode_synapses([empty, fmt], np.ones(n), np.arange(n + 1) * m, part.reshape(-1))
        after = [i for i, core in enumerate(cores) if core[0] == k + 1]
        local, target = np.meshgrid(np.arange(m), after, indexing="ij")
        zero = np.zeros(local.size, np.int64)
        tables["core"].append(np.array([[1, 23, 7, 0]]))
        tables["compartment_profile"].append(np.array([[4095, 256, 1]]))
        tables["threshold_profile"].append(np.array([thresholds[k]]))
        tables["compartment"].append(np.zeros((m, 4), int))
        tables["synapse_format"].append(np.array([empty, fmt]))
        tables["synapse_memory"].append(words)
        tables["input_axon"].append(
            np.stack([np.full(n, spec.DISCRETE), np.ones(n), at, np.full(n, m), np.zeros(n)], axis=1)
        )
        tables["output_axon"].append(
            np.stack([local.reshape(-1), target.reshape(-1), local.reshape(-1) + first, zero, zero], axis=1)
        )
        if k == 0:
            line = np.arange(n)
            tables["host_input"].append(np.stack([line * 0, line, line * 0 + c, line, line * 0], axis=1))
        placement[k][first:end] = np.stack([np.full(m, c), np.arange(m)], axis=1)
    arrays: dict[str, Array] = {
        t: np.concatenate(tables[t]).astype(dtype) for t, (dtype, _) in schema.TABLES.items() if tables[t]
    }
    rows = np.array([[len(tables[t][c]) for t in schema.POINTER_COLUMNS] for c in range(len(cores))])
    arrays["core_ptr"] = np.concatenate([np.zeros((1, rows.shape[1]), int), np.cumsum(rows, 0)]).astype(np.int64)
    arrays |= {f"{schema.PLACEMENT}h{k}": p for k, p in enumerate(placement)}
    section = schema.LoihiSection(n_cores=len(cores), n_chips=1 + len(cores) // spec.CORES_PER_CHIP)
    manifest = Manifest(
        target=spec.NAME,
        revision=spec.REVISION,
        name=name,
        evidence="open-simulator",
        layers=tuple(Layer(name=f"h{k}", shape=(len(w),), n=len(w), lag=k) for k, w in enumerate(weights)),
        ports=(Port(name="in", shape=(n_src,), n=n_src),),
        readout=Readout(layer=f"h{len(weights) - 1}", rule="count"),
        chip=section.model_dump(mode="json"),
    )
    path = folder / f"{name}.snnx"
    store.write(path, manifest, arrays, {})
    return path


def _even(rng: np.random.Generator, n_dst: int, n_src: int, low: int = -20, high: int = 24) -> Array:
    return rng.integers(low, high, (n_dst, n_src)) * 2


def _time(emu: emulator.Emulator, raster: Array, repeats: int) -> tuple[float, float, dict[str, int]]:
    counters = emu.run({"in": raster}, ticks=len(raster)).totals()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        emu.run({"in": raster}, ticks=len(raster))
        seconds.append(time.perf_counter() - start)
    return min(seconds), statistics.median(seconds), counters


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Rows of `snnkit bench emulator`: best and median seconds of a batched call, events and updates per second."""
    rng = np.random.default_rng(0)
    rows = []
    repeats = 5 if quick else 30
    with tempfile.TemporaryDirectory() as folder:
        work: list[tuple[str, list[Array], list[int], tuple[int, int]]] = [
            ("dense 1024-512-10", [_even(rng, 512, 1024), _even(rng, 10, 512)], [1400, 2500], (100, 16)),
        ]
        if not quick:
            work.append(("wide 2048-8192", [_even(rng, 8192, 2048)], [3000], (100, 16)))
        for title, weights, thresholds, (steps, batch) in work:
            path = dense_network(weights, thresholds, Path(folder), name=title.replace(" ", "_"))
            start = time.perf_counter()
            emu = emulator.open(path)
            loading = time.perf_counter() - start
            raster = (rng.random((steps, batch, weights[0].shape[1])) < 0.05).astype(np.uint8)
            best, median, counters = _time(emu, raster, repeats)
            rows.append(
                {
                    "workload": title,
                    "samples": batch,
                    "steps": steps,
                    "load_s": loading,
                    "best_s": best,
                    "median_s": median,
                    "events_per_s": counters["synaptic_events"] / best,
                    "updates_per_s": counters["neuron_updates"] / best,
                    "spikes": counters["spikes"],
                    "times_nengo_loihi": PEER_SECONDS / best if title.startswith("dense") else None,
                }
            )
    return rows
