"""The neuron benchmark: its rows, and that the contenders here compute the same."""

from __future__ import annotations

import pytest

from snnkit.bench import neurons

KEYS = {"work", "impl", "settings", "ms_min", "ms_median", "floor_ratio", "peak_ratio", "differing_spikes"}


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_rows(reset: str) -> None:
    rows = neurons.run(shape=(8, 4, 500), reset=reset, rounds=2)
    assert [row["impl"] for row in rows][:3] == ["memory floor", "snnkit fused", "snnkit eager loop"]
    for row in rows:
        assert set(row) == KEYS
        assert 0 < row["ms_min"] <= row["ms_median"] or row["impl"] == "memory floor"
    assert rows[1]["differing_spikes"] == rows[2]["differing_spikes"] == 0


def test_little_memory_shrinks_the_hungry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurons, "available_memory", lambda: 8 * 4.0 * 8 * 20 * 500)
    rows = neurons.run(shape=(8, 20, 500), rounds=1)
    shapes = {row["impl"]: row["settings"].split("]")[0] for row in rows if row["impl"] == "snnkit eager loop"}
    assert shapes == {"snnkit eager loop": "[8, 2, 500"}
    assert sum(row["impl"] == "snnkit fused" for row in rows) == 2
