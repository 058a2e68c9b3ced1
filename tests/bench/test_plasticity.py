"""The STDP benchmark: its rows, that every contender learns the same, and the peer that runs in another environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snnkit.bench import plasticity
from snnkit.errors import UsageError

KEYS = {
    "work", "impl", "settings", "ms_min", "ms_median", "ms_per_sample", "times_snnkit", "differing_spikes",
    "weight_difference",
}  # fmt: skip

STAND_IN = """
import json, sys
import numpy as np
work = np.load(sys.argv[1])
print("a package that talks on import")
for line in sys.stdin:
    np.save(line.strip(), work["w"])
    print(json.dumps({"seconds": 0.5, "without_learning": 0.2}), flush=True)
"""


def test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(plasticity.PYTHON, raising=False)
    rows = plasticity.run(shape=(40, 3, 60, 20), rounds=2)
    assert all(set(row) == KEYS for row in rows)
    seen = {(row["work"], row["impl"]) for row in rows}
    assert seen >= {
        ("STDP, batch", "snnkit"),
        ("STDP, batch", "snnkit matrix products"),
        ("layer + STDP, batch", "snnkit"),
        ("layer + STDP, batch", "snnkit eager loop"),
        ("layer + STDP, online", "snnkit"),
    }
    for row in rows:
        assert 0 < row["ms_min"] <= row["ms_median"]
        assert row["differing_spikes"] == 0
        assert row["weight_difference"] < 1e-6


def test_the_peer_of_another_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its rounds take turns with the others; the stand-in does not learn, which the row shows."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$2"\n')
    python.chmod(0o755)
    monkeypatch.setenv(plasticity.PYTHON, str(python))
    rows = [row for row in plasticity.run(shape=(40, 3, 60, 20), rounds=2) if row["impl"] == "bindsnet"]
    assert [(row["work"], row["ms_min"]) for row in rows] == [("STDP, online", 300.0), ("layer + STDP, online", 500.0)]
    assert all(row["weight_difference"] > 0.001 for row in rows)


@pytest.mark.parametrize(("python", "message"), [("/no/such/python", "cannot be run"), ("false", "without a result")])
def test_a_python_without_the_peer(python: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plasticity.PYTHON, python)
    with pytest.raises(UsageError, match=message):
        plasticity.run(shape=(4, 1, 6, 2), rounds=1)
