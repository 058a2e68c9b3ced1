"""The emulator benchmark: its rows, and that its SpiNNaker network is the plain executor's."""

from __future__ import annotations

import dataclasses

import numpy as np

from snnkit import emulator as emulators
from snnkit.bench import emulator
from snnkit.graph import Dense
from snnkit.graph.run import run


def test_rows(monkeypatch) -> None:
    small = [
        dataclasses.replace(w, shape=(40,), steps=10, samples=2, activity=0.3,
                            layers=tuple((Dense(s.weight[:, :40] if k == 0 else s.weight), v // 40)
                                         for k, (s, v) in enumerate(w.layers)))
        for w in emulator.workloads(True)
    ]  # fmt: skip
    monkeypatch.setattr(emulator, "workloads", lambda quick: small)
    export = emulator.truenorth.export
    monkeypatch.setattr(emulator.truenorth, "CORES", 2)
    monkeypatch.setattr(emulator.truenorth, "export", lambda folder: export(folder, cores=2))
    rows = emulator.run(quick=True)
    assert [r["target"] for r in rows] == ["loihi", "spinnaker", "truenorth", "brainscales2"]
    assert all(r["events_per_s"] > 0 and r["updates_per_s"] > 0 and r["best_ms"] <= r["median_ms"] for r in rows)


def test_the_spinnaker_network_is_the_plain_executors(tmp_path) -> None:
    work = next(w for w in emulator.workloads(False) if w.model == "exp")
    layers = tuple(
        (Dense(s.weight[:30, :60] if k == 0 else s.weight[:, :30]), v) for k, (s, v) in enumerate(work.layers)
    )
    for model in ("delta", "exp"):
        small = dataclasses.replace(work, shape=(60,), layers=tuple((s, v // 10) for s, v in layers), model=model)
        x = (np.random.default_rng(0).random((20, 3, 60)) < 0.2).astype(np.uint8)
        trace = run(emulator.network(small), {"in": x}, ticks=20)
        result = emulators.open(emulator.export(small, tmp_path)).run({"in": x}, ticks=20)
        assert trace.spikes["h0"].sum() > 50
        assert all(np.array_equal(result.spikes[k], trace.spikes[k]) for k in ("h0", "h1"))
