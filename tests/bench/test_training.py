"""The training benchmark: its rows, and that networks with the same settings compute the same."""

from __future__ import annotations

import math

import pytest
import torch

from snnkit.bench import training
from snnkit.errors import UsageError

KEYS = {"work", "impl", "settings", "ms_min", "ms_median", "floor_ratio", "peak_ratio", "differing_spikes"}


def test_rows() -> None:
    rows = {row["impl"]: row for row in training.run(shape=(3, 2, 16), rounds=1)}
    assert list(rows)[:4] == ["snnkit", "snnkit, neuron alone", "snnkit, eager loop", "no neuron"]
    for row in rows.values():
        assert row.keys() >= KEYS
        assert 0 < row["ms_min"] <= row["ms_median"]
        assert math.isfinite(row["loss"])
    same = [name for name in ("snnkit", "snnkit, neuron alone", "snnkit, eager loop", "spikingjelly") if name in rows]
    assert {rows[name]["differing_spikes"] for name in same} == {0}
    assert rows["snnkit"]["loss"] == rows["snnkit, neuron alone"]["loss"]
    assert rows["snnkit, defaults"]["differing_spikes"] > 0
    assert rows["no neuron"]["differing_spikes"] is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu() -> None:
    with pytest.raises(UsageError, match="no CUDA device"):
        training.run(quick=True, device="cuda")


@pytest.mark.gpu
@pytest.mark.timeout(300)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_rows_of_a_gpu() -> None:
    rows = {row["impl"]: row for row in training.run(quick=True, device="cuda")}
    assert list(rows)[:4] == ["snnkit", "snnkit, neuron alone", "snnkit, eager loop", "no neuron"]
    for row in rows.values():
        assert 0 < row["ms_min"] <= row["ms_median"]
        assert math.isfinite(row["loss"])
        assert row["settings"].endswith("ms on the device")
    graphs = rows["snnkit, CUDA graphs"]
    assert graphs["differing_spikes"] == 0
    assert math.isclose(graphs["loss"], rows["snnkit"]["loss"], rel_tol=1e-5)
    assert graphs["times_ours"] == 1
