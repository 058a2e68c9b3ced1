"""The live benchmark: its streams are what they say, and a row of it accounts for every event."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snnkit.bench.live import BURST_MS, PERIOD_MS, RATE, WordSource, events, measure, untrained
from snnkit.live import open_network


def test_streams() -> None:
    for bursty in (False, True):
        made = events(RATE, 60, bursty)
        assert len(made) == 60_000
        t = made["t"]
        assert (np.diff(t) >= 0).all()
        assert 55_000 < t[-1] < 60_000 or bursty
        assert (t % (PERIOD_MS * 1000) < BURST_MS * 1000).all() == bursty
    assert len(WordSource(RATE, 0.1, True)._slices) == 100


def test_a_row(tmp_path: Path) -> None:
    network = open_network(untrained(tmp_path / "run", channels=[3, 4], kernel_size=3))
    row = measure(network, 50_000, 0.2, False)
    assert (row["network"], row["input"], row["steps"], row["late_share"], row["lost"]) == ("model", "words", 200, 0, 0)
    assert row["events_per_s"] > 0
    assert row["p99_ms"] >= row["p50_ms"] > 0
