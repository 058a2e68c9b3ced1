"""One network on every chip: a table of those that take it, and the reasons of those that do not; the core workload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import emulator
from snnkit.bench import truenorth
from snnkit.bench.chips import on_every_chip, summary
from snnkit.targets import registry
from snnkit.training import fit

pytestmark = pytest.mark.timeout(180)  # three chips' kernels are compiled where they are not cached yet

NET: dict[str, Any] = {
    "channels": [6], "kernels": [3], "strides": [2], "groups": [1], "votes": 3, "threshold": 0.25, "fan_in": 40,
}  # fmt: skip


def test_one_network_on_every_chip(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "seed_everything": 0,
        "model": {
            "memory_format": "channels_first",
            "net": {"class_path": "snnkit.models.CrossbarClassifier", "init_args": NET},
            "loss": "count_cross_entropy",
        },
        "data": {
            "class_path": "snnkit.data.SaccadeDigits",
            "init_args": {"T": 4, "batch_size": 16, "subset": 40, "cache_dir": str(tmp_path / "cache")},
        },
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "logger": False, "precision": "32-true"},
    }
    run = fit(settings, tmp_path / "run", progress=False)
    rows = on_every_chip(run, tmp_path / "chips", ["loihi", "spinnaker", "truenorth"])
    made = summary([{"seed": 0, **row} for row in rows])
    assert [row["fits"] for row in rows] == [True] * 3
    for name in ("loihi", "truenorth"):
        assert made[f"{name}_differing_from_torch"] == 0
    assert made["differing_spikes"] == 0
    assert [row["target"] for row in made["table"]] == ["loihi", "spinnaker", "truenorth"]
    assert all(row["of"] > 0 for row in made["table"])
    assert set(registry.names()) >= {row["target"] for row in rows}


def test_the_workload_of_full_cores(tmp_path: Path) -> None:
    emu = emulator.open(truenorth.export(tmp_path, cores=3))
    raster = (np.random.default_rng(0).random((20, 2, 3 * truenorth.SIDE)) < truenorth.HOST_RATE).astype(np.uint8)
    counters = emu.run({"in": raster}, ticks=20, probes=()).totals()
    active = counters["synaptic_events"] / (20 * 2 * 3 * truenorth.SIDE * 128)
    assert 0.04 < active < 0.06
    assert counters["neuron_updates"] == 20 * 2 * 3 * truenorth.SIDE
    assert counters["potentials_beyond_20_bits"] == 0
    assert counters["core_packets"] > 0
