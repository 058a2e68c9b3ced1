"""Pulse: episodes lie where they are said to, the code is the delta code, windows have the classes they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snnkit.data import Pulse
from snnkit.data.pulse import windows as w
from snnkit.data.pulse.waveform import KINDS, RATE, record
from snnkit.encoding import encode_delta
from snnkit.errors import ParameterError


def test_recordings_are_keyed_and_hold_every_kind() -> None:
    a, again, other = record(240, 1, gap_s=15), record(240, 1, gap_s=15), record(240, 2, gap_s=15)
    assert np.array_equal(a.wave, again.wave)
    assert a.episodes == again.episodes != other.episodes
    assert {e.kind for e in a.episodes} == set(KINDS)
    for before, after in zip(a.episodes, a.episodes[1:]):
        assert after.start - before.stop >= 9 * RATE
    assert a.deviates().sum() == sum(e.stop - e.start for e in a.episodes)


def beats(wave: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Samples at which R peaks lie: local maxima above 0.7."""
    x = wave[start:stop]
    return start + np.flatnonzero((x[1:-1] > 0.7) & (x[1:-1] >= x[:-2]) & (x[1:-1] > x[2:])) + 1


def test_normal_beats_come_regularly_and_episodes_deviate() -> None:
    r = record(600, 3, gap_s=30)
    ends = [0, *(e.stop + RATE for e in r.episodes)]
    starts = [*(e.start - RATE for e in r.episodes), len(r.wave) - RATE]
    for begin, end in zip(ends, starts):
        interval = np.diff(beats(r.wave, begin, end))
        interval = interval[interval > 20]  # noise can split a peak
        assert ((interval > 60) & (interval < 100)).all()
    for e in r.episodes:
        part = r.wave[e.start : e.stop]
        if e.kind == "pause":
            assert len(beats(r.wave, e.start, e.stop)) == 0
        if e.kind == "flutter":
            power = np.abs(np.fft.rfft(part - part.mean()))
            assert abs(power.argmax() * RATE / len(part) - 5.0) < 0.5
        if e.kind == "early":
            assert part.min() < -0.5
        if e.kind == "contact":
            assert part.std() > 0.35


def test_code_is_the_delta_code() -> None:
    wave = record(30, 5).wave
    frames = w.code(wave)
    for k, threshold in enumerate(w.THRESHOLDS):
        series = torch.from_numpy(wave / threshold)[:, None, None]
        want = encode_delta(series, 1.0, counts=True).clamp(max=1)[:, 0, :, 0]
        assert np.array_equal(frames[:, :, 0, k], want.numpy().astype(np.uint8))


def test_windows_and_classes() -> None:
    data = Pulse(minutes=(4, 2, 3), batch_size=16)
    assert data.input_shape == (2, 1, 3)
    assert (data.T, data.num_classes, data.dt_us) == (128, 2, 10_000)
    for split, minutes in zip(("train", "validation", "test"), (4, 2, 3)):
        r = record(60 * minutes, w.KEYS[split], 0, w.GAP_S)
        seen, dataset = w.overlap(r), data.dataset(split)
        assert (np.diff(w.starts(len(r.wave))) == w.HOP).all()
        assert (seen >= w.LEAST).sum() == (dataset.labels == 1).sum() >= (dataset.labels == 0).sum() > 5
        k = int(np.flatnonzero(dataset.labels == 1)[0])
        first = int(np.flatnonzero(seen >= w.LEAST)[0]) * w.HOP
        positions = np.flatnonzero(seen >= w.LEAST)
        assert first == positions[0] * w.HOP
        assert np.array_equal(dataset[k][0], w.code(r.wave)[first : first + w.STEPS])
    assert data.digest == Pulse(minutes=(4, 2, 3)).digest != Pulse(minutes=(4, 2, 3), data_seed=1).digest


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="minutes"):
        Pulse(minutes=(1, 1, 1))
    with pytest.raises(ParameterError, match="gap_s 5"):
        record(60, 0, gap_s=5)
