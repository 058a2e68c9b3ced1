"""Alarms against a plain rule, judging by hand, thresholds from validation, and a chip that watches like its model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnkit import nn as snn
from snnkit.data.pulse.waveform import RATE, Episode, Recording, record
from snnkit.data.pulse.windows import HOP, STEPS, code
from snnkit.errors import ParameterError
from snnkit.loops import watching as w
from snnkit.models import DenseClassifier
from snnkit.validation.pipeline import to_chip, write_descriptor


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=60), st.floats(-1, 1), st.integers(1, 3))
def test_alarm_rule(values: list[float], threshold: float, hold: int) -> None:
    found = w.alarms(np.array(values), w.Rule(threshold, hold))
    want, ringing, free = [], False, 0
    for k in range(len(values)):
        time = k * HOP + STEPS
        if values[k] < threshold:
            if ringing:
                free = time + w.DEAD_S * RATE
            ringing = False
        elif k >= hold - 1 and min(values[k - hold + 1 : k + 1]) >= threshold and not ringing:
            ringing = True
            want += [time] * (time >= free)
    assert found.tolist() == want


def test_judging_by_hand() -> None:
    r = Recording(np.zeros(3600 * RATE), (Episode("pause", 1000, 1100), Episode("flutter", 5000, 5400)))
    found = w.judge([np.array([400, 1150, 1160, 9000])], [r])
    assert found.delays["pause"] == [1.5]
    assert found.delays["flutter"] == [float("inf")]
    assert (found.false, found.hours) == (2, 1.0)
    said = found.summary()
    assert (said["detected"], said["delay_median_s"], said["false_alarms_per_hour"]) == (0.5, 1.5, 2.0)
    assert said["delay_p90_s"] == float("inf")
    late = w.judge([np.array([1100 + STEPS, 1101 + STEPS])], [r])
    assert late.false == 1


def test_quantiles_count_what_never_came() -> None:
    assert w.quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert w.quantile([1.0, float("inf")], 0.5) == 1.0
    assert np.isnan(w.quantile([], 0.9))


def test_the_rule_is_chosen_within_the_allowed_false_alarms() -> None:
    r = record(600, 4, gap_s=20)
    rng = np.random.default_rng(0)
    from snnkit.data.pulse.windows import overlap

    margin = overlap(r) / 30 + rng.normal(0, 0.5, len(overlap(r)))
    rule = w.choose([margin], [r], most_false=6.0)
    seen = w.judge([w.alarms(margin, rule)], [r])
    assert seen.false / seen.hours <= 6.0
    assert np.isfinite(seen.all_delays).mean() > 0.9
    never = w.choose([np.zeros(100)], [Recording(np.zeros(100 * HOP + STEPS), ())], most_false=0.0)
    assert len(w.alarms(np.zeros(100), never)) == 0
    with pytest.raises(ParameterError, match="hold"):
        w.alarms(margin, w.Rule(0.0, 0))


def test_model_graph_and_chip_raise_the_same_alarms(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = DenseClassifier((2, 1, 3), 2, [8], decay=1.0, norm=False, dropout=0.0).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((p * 24).round() / 8)  # a chip's integers hold them exactly
    stream = code(record(60, 6, gap_s=15).wave)
    samples = stream[np.arange(3)[None] * HOP + np.arange(STEPS)[:, None]]
    chip = to_chip(net, (2, 1, 3), "loihi", samples, steps=STEPS, readout="last")
    write_descriptor(tmp_path / "watch.snnx", chip, "loihi", samples)
    model = w.margins(stream, w.of_model(net))
    graph = w.margins(stream, w.of_graph(chip))
    emulated = w.margins(stream, w.of_descriptor(tmp_path / "watch.snnx"))
    assert np.array_equal(graph, emulated)
    assert len(model) == len(emulated) == (len(stream) - STEPS) // HOP + 1
    assert any(isinstance(m, snn.LI) for m in net.modules())
    scale = emulated[model != 0] / model[model != 0]
    assert np.allclose(scale, scale[0])  # the same margins in another unit
    for level in np.quantile(model, [0.5, 0.8, 0.95]):
        a = w.alarms(model, w.Rule(float(level)))
        assert np.array_equal(a, w.alarms(emulated / scale[0], w.Rule(float(level - 1e-9))))
