"""Speed of the BrainScaleS-2 emulator: 512 neurons, many recordings, many virtual chips in one batched call."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor, emulator
from snnkit.emulator.chip import Stimulus
from snnkit.errors import FindingsError
from snnkit.graph import Connection, CubaLIF, Dense, Graph, Input, Population, Readout
from snnkit.passes import add_lag
from snnkit.targets.brainscales2 import TARGET
from snnkit.targets.manifest import build_manifest

LINES, NEURONS, STEPS, ACTIVITY = 128, 512, 20, 0.25


def network() -> Graph:
    """128 lines to 512 CubaLIF, dense."""
    rng = np.random.default_rng(0)
    full = np.ones(NEURONS, np.float32)
    return Graph(
        "dense-128-512",
        (Input("in", (LINES,)),),
        (Population("h", (NEURONS,), CubaLIF(full * 0.6, full * 0.9, full)),),
        (Connection("w", "in", "h", Dense(rng.normal(0.004, 0.03, (NEURONS, LINES)))),),
        Readout("h", "count"),
        steps=STEPS,
    )


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """The row of `snnkit bench emulator`: seconds of one call on virtual chips, all updates and counters on."""
    samples, chips = (20, 4) if quick else (200, 20)
    made = TARGET.quantize(add_lag(network()))
    lowered = TARGET.lower(made.graph)
    if not lowered.ok:
        raise FindingsError("the workload does not fit the chip", lowered.findings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dense.snnx"
        descriptor.write(path, build_manifest(TARGET, made.graph, lowered), lowered.arrays, {})
        start = time.perf_counter()
        chip: Any = emulator.open(path).chip
        loading = time.perf_counter() - start
    raster = (np.random.default_rng(1).random((STEPS, samples, LINES)) < ACTIVITY).astype(np.uint8)
    none = np.zeros(0, np.int64)
    chip.run_chips(Stimulus(raster[:, :1], 1, none, none, STEPS, None, none), [None])  # compiles
    start, used = time.perf_counter(), time.process_time()
    traces = chip.run_chips(Stimulus(raster, 1, none, none, STEPS, None, none), chip.virtual(range(chips)))
    seconds, processor = time.perf_counter() - start, time.process_time() - used
    total = {k: sum(int(t.counters[k].sum()) for t in traces) for k in ("synaptic_events", "neuron_updates", "spikes")}
    return [
        {
            "target": TARGET.name,
            "workload": f"{LINES}-{NEURONS}, {chips} virtual chips",
            "samples": samples,
            "steps": STEPS,
            "cores": len(chip.parts),
            "load_s": round(loading, 3),
            "best_ms": round(seconds * 1e3, 2),
            "median_ms": round(seconds * 1e3, 2),
            "events_per_s": round(total["synaptic_events"] / seconds),
            "events_per_processor_s": round(total["synaptic_events"] / processor),
            "updates_per_s": round(total["neuron_updates"] / seconds),
            "times_nengo_loihi": None,
            "spikes_per_neuron_and_step": round(total["spikes"] / (samples * chips * NEURONS * STEPS), 3),
        }
    ]
