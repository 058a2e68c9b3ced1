"""The bench of recordings: every format's events come back, for us and for the peers that are right."""

from __future__ import annotations

import pytest

from snnkit.bench import files


@pytest.mark.filterwarnings("ignore")
def test_every_format_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "QUICK", 40_000)
    monkeypatch.setattr(files, "ROUNDS", 1)
    rows = files.run(quick=True)
    assert {r["format"] for r in rows} == set(files.ENDINGS)
    assert all(r["million_events_s"] > 0 and r["MB_s"] > 0 for r in rows)
    right = {(r["format"], r["reader"]): r["same events"] for r in rows}
    assert all(same for (_, reader), same in right.items() if reader == "snnkit read")
    assert right.get(("aedat4", "aedat"), True)
    assert right.get(("evt3", "evt3"), True)
