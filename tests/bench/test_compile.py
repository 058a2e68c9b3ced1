"""The reference architectures under torch.compile: all of them compile whole, and how that is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnkit.bench import compile as bench
from snnkit.models.catalog import CATALOG


def test_every_class_of_architecture_takes_part() -> None:
    assert {CATALOG[name].model for name in bench.ALL} >= {a.model for a in CATALOG.values() if a.name != "crossbar"}
    assert set(bench.QUICK) <= set(bench.ALL)


def test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(name: str, cache: str) -> dict[str, object]:
        later = {"eager": (4.0, 5.0), "compiled": (2.0, 3.0)}
        return {"first": {"eager": 10.0, "compiled": 1000.0}, "later": later, "differing": int(name != "dense")}

    monkeypatch.setattr(bench, "_measured", measured)
    rows = bench.run(quick=True)
    assert [row["work"] for row in rows[::4]] == ["torch.compile, dense", "torch.compile, recurrent-shd"]
    assert [(row["ms_min"], row["floor_ratio"]) for row in rows[:4]] == [
        (1000.0, None), (1000.0, None), (2.0, 0.5), (4.0, 1.0),
    ]  # fmt: skip
    assert [row["differing_spikes"] for row in rows] == [0, 0, 0, 0, 1, 1, 1, 0]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", bench.ALL)
def test_compiled_whole(name: str, tmp_path: Path) -> None:
    """Forward and backward, by Inductor, in a process of its own; the outputs are the eager network's."""
    found = bench._measured(name, str(tmp_path))
    assert found["differing"] == 0
    assert all(ms > 0 for ms in found["first"].values())
