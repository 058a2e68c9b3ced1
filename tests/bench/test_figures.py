"""The figures of fusion, follow-digit and anomaly, measured on tiny data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from snnkit.bench.figures import anomaly, follow, fusion
from snnkit.bench.reproduce import FIGURES, reproduce


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_mcnemar_is_the_exact_binomial_test(right: list[tuple[bool, bool]]) -> None:
    a, b = np.array(right, bool).reshape(-1, 2).T
    found = fusion.mcnemar(a, b)
    n, m = sum(x and not y for x, y in right), sum(y and not x for x, y in right)
    assert (found["only_first"], found["only_second"]) == (n, m)
    want = binomtest(n, n + m, 0.5).pvalue if n + m else 1.0
    assert found["p"] == pytest.approx(want)


def silent(stage: str, done: int, of: int) -> None:
    pass


def rooted(monkeypatch: pytest.MonkeyPatch, name: str, measure: Any) -> None:
    monkeypatch.setitem(FIGURES, name, FIGURES[name].__class__(FIGURES[name].text, FIGURES[name].bars, measure))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_anomaly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key, value in {"HOURS": 0.1, "GAP_S": 20.0, "VALIDATION": (100,), "TEST": (200,)}.items():
        monkeypatch.setattr(anomaly, key, value)
    rooted(monkeypatch, "anomaly", anomaly.anomaly("pulse/loihi", (0,)))
    found = reproduce("anomaly", tmp_path, {"minutes": [10, 3, 3]}, silent)
    assert set(found["held"]) <= set(found["measured"])
    assert found["measured"]["alarms_that_differ_from_graph"] == 0
    assert found["measured"]["detected"] > 0.6
    assert found["measured"]["differing_spikes"] == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_follow_digit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key, value in {"SCENES": 2, "SECONDS": 0.5, "TUNING": 2, "TUNING_SECONDS": 0.5}.items():
        monkeypatch.setattr(follow, key, value)
    rooted(monkeypatch, "follow-digit", follow.follow_digit("follow_digit/loihi", (0,)))
    found = reproduce("follow-digit", tmp_path, {"sizes": [600, 60, 60]}, silent)
    measured = found["measured"]
    assert set(found["held"]) <= set(measured)
    assert measured["rms_centroid_pd"] < measured["rms_no_control"]
    assert measured["differing_spikes"] == 0
    assert (tmp_path / "seed0-film.gif").exists()
