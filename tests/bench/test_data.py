from __future__ import annotations

import numpy as np
import pytest

from snnkit.bench import data
from snnkit.data import SaccadeDigits
from snnkit.data.store import COLUMNS


@pytest.mark.slow
def test_rows_say_what_an_epoch_costs_beside_memory() -> None:
    rows = data.run(quick=True)
    by = {row["data"]: row for row in rows}
    assert len(by) == 4
    assert by["all events in memory"]["of_memory"] == 1
    assert by["all frames in memory, not augmented"]["of_frames"] == 1
    for row in rows:
        assert 0 < row["s_min"] <= row["s_median"]


def test_in_memory_means_the_same_events_in_no_file() -> None:
    mapped, copied = (SaccadeDigits(subset=20, progress=False) for _ in range(2))
    data._in_memory(copied)
    for name in COLUMNS:
        a, b = getattr(mapped.source.store, name), getattr(copied.source.store, name)
        assert np.array_equal(a, b)
        assert isinstance(a.base, np.memmap)
        assert not isinstance(b.base, np.memmap)
    assert copied.source.store.folder is None
