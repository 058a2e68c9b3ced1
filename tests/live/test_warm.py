"""First calls before the input is open: every size, once, and then a network as a fresh one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.bench.live import untrained
from snnkit.live import open_network
from snnkit.live.warm import EVERY, sizes, warm_up

sys.path.insert(0, str(Path(__file__).parent))
from networks import write


@given(st.integers(1, 5000))
def test_sizes(most: int) -> None:
    found = list(sizes(most))
    assert found[0] == most == max(found)
    assert len(found) == len(set(found)) <= EVERY + 8
    assert set(range(1, min(most, EVERY) + 1)) <= set(found)


@pytest.mark.parametrize("kind", ["model", "emulator"])
def test_a_warm_network_is_as_a_fresh_one(kind: str, tmp_path: Path) -> None:
    side = 34 if kind == "model" else 9
    path = (
        untrained(tmp_path / "run", channels=[3, 4], kernel_size=3) if kind == "model" else write(tmp_path / "a.snnx")
    )
    warm, fresh = open_network(path), open_network(path)
    x = (np.random.default_rng(0).random((9, 2 * side * side)) < 0.3).astype(np.uint8)
    calls: list[int] = []
    feed = warm.feed

    def counted(frames: Any) -> Any:
        calls.append(len(frames))
        return feed(frames)

    warm.feed = counted  # type: ignore[method-assign]
    warm.feed(x)  # something before it
    calls.clear()
    warm_up(warm, 5)
    assert sorted(set(calls)) == [1, 2, 3, 4, 5]
    assert warm.counters() == fresh.counters()
    done = len(calls)
    warm.feed(x)
    warm_up(warm, 4)  # nothing is left to do, but it is at rest
    assert len(calls) == done + 1
    for part in (x[:4], x[4:5], x[5:]):
        assert np.array_equal(warm.feed(part), fresh.feed(part))
    assert np.array_equal(warm.flush(), fresh.flush())
