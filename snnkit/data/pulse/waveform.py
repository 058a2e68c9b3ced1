"""SIMULATED pulses, in the form of an electrocardiogram, with anomalies whose times are known. Not medical data.

A beat is a sum of five bumps over its phase, z(φ) = Σ_i a_i · exp(−(φ − φ_i)² / (2 b_i²)), with the angles and widths
of McSharry et al. 2003 (doi:10.1109/TBME.2003.808805), and heights of its shape with R = 1; a bump's width in seconds
does not change with the length of a beat. Beats follow each other after 0.8 s, with 3 % of random and 4 % of slow
(breathing) variation. The baseline wanders by 0.05, white noise has 0.02. There are 100 samples per second.

Kinds of anomalies, one per episode; an episode begins with its first sample that deviates:

| kind | what |
| --- | --- |
| early | two early beats without a P wave, their QRS three times as wide and inverted |
| pause | one beat is left out |
| flutter | 3 to 6 s of a 5 Hz wave of amplitude 0.35 in place of beats |
| inverted | for 4 to 8 s, T is inverted and the ST segment lowered by 0.15 |
| contact | 1 to 3 s of noise of amplitude 0.5: the sensor has lost contact |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnkit.data.draws import keyed_rng
from snnkit.errors import ParameterError

RATE = 100
"""Samples per second."""
BEAT_S = 0.8
KINDS = ("early", "pause", "flutter", "inverted", "contact")
_ANGLE = np.array([-70.0, -15.0, 0.0, 15.0, 100.0]) / 360.0
_WIDTH = np.array([0.25, 0.1, 0.1, 0.1, 0.4]) / (2 * np.pi)
_HEIGHT = np.array([0.12, -0.1, 1.0, -0.15, 0.25])
_LEAD_S = 0.35
"""A beat's first bump begins so long before its R peak."""
_RHYTHM, _PLAN, _NOISE = 10, 11, 12


@dataclass(frozen=True)
class Episode:
    """An anomaly: its kind, and the samples from `start` to before `stop` that deviate."""

    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class Recording:
    """A waveform [n], 100 samples per second, and the episodes in it, in order."""

    wave: NDArray[np.float64]
    episodes: tuple[Episode, ...]

    def deviates(self) -> NDArray[np.bool_]:
        """For each sample [n] whether it belongs to an episode."""
        out = np.zeros(len(self.wave), np.bool_)
        for e in self.episodes:
            out[e.start : e.stop] = True
        return out


def record(seconds: float, key: int, seed: int = 0, gap_s: float = 60.0) -> Recording:
    """A recording of its own rhythm, noise and anomalies; the same for the same (seed, key).

    Args:
        seconds: length.
        key: number of the recording. seed: of all draws.
        gap_s: mean time from an episode's end to the next one's begin; at least 10 s pass.

    Raises:
        ParameterError: a length below 20 s or gaps below 12 s.
    """
    if not seconds >= 20 or not gap_s >= 12:
        raise ParameterError(f"seconds is {seconds}, gap_s {gap_s}", fix="give at least 20 s, and gaps of 12 s or more")
    n = round(seconds * RATE)
    wave = np.zeros(n)
    episodes: list[Episode] = []
    rhythm, plan = keyed_rng(seed, _RHYTHM, key), keyed_rng(seed, _PLAN, key)
    t = 0.5
    due = 10.0 + plan.exponential(gap_s - 10.0)
    kinds: list[str] = []
    while t * RATE < n:
        if t >= due and n - t * RATE > 12 * RATE:
            kinds = kinds or [KINDS[k] for k in plan.permutation(len(KINDS))]  # every kind is as frequent as any other
            start, t, stop = _anomaly(kinds.pop(), wave, t, rhythm, plan, episodes)
            assert start < stop
            due = t + 10.0 + plan.exponential(gap_s - 10.0)
            continue
        _add_beat(wave, t)
        t += _interval(t, rhythm)
    noise = keyed_rng(seed, _NOISE, key)
    clock = np.arange(n) / RATE
    wave += 0.05 * np.sin(2 * np.pi * 0.15 * clock + noise.uniform(0, 6)) + noise.normal(0, 0.02, n)
    return Recording(wave, tuple(episodes))


def _interval(t: float, rhythm: np.random.Generator) -> float:
    return BEAT_S * (1 + 0.04 * float(np.sin(2 * np.pi * 0.25 * t)) + float(np.clip(rhythm.normal(0, 0.03), -0.1, 0.1)))


def _add_beat(wave: NDArray[np.float64], at: float, height: NDArray[np.float64] = _HEIGHT, widen: float = 1.0) -> None:
    """Add a beat whose R peak lies at `at` seconds."""
    first = max(round((at - _LEAD_S - 0.2) * RATE), 0)
    clock = np.arange(first, min(round((at + 0.6) * RATE), len(wave))) / RATE - at
    wide = _WIDTH * BEAT_S * np.array([1.0, widen, widen, widen, 1.0])
    bumps = height[:, None] * np.exp(-((clock - _ANGLE[:, None] * BEAT_S) ** 2) / (2 * wide[:, None] ** 2))
    wave[first : first + len(clock)] += bumps.sum(0)


def _anomaly(
    kind: str,
    wave: NDArray[np.float64],
    t: float,
    rhythm: np.random.Generator,
    plan: np.random.Generator,
    episodes: list[Episode],
) -> tuple[int, float, int]:
    """Put an episode where the next beat would have its R peak, at t; returns (start, time of the next beat, stop)."""
    if kind == "early":
        ectopic = _HEIGHT * np.array([0.0, -1.0, -0.9, -1.0, -1.0])
        at = t - 0.4 * BEAT_S
        for _ in range(2):
            _add_beat(wave, at, ectopic, 3.0)
            at += 0.75 * BEAT_S
        begin, end, following = t - 0.4 * BEAT_S - 0.15, at - 0.75 * BEAT_S + 0.45, at + 0.5 * BEAT_S
    elif kind == "pause":
        begin, end, following = t - 0.25, t + _interval(t, rhythm) - 0.25, t + BEAT_S
    elif kind == "inverted":
        begin, following = t + 0.05, t
        stop = t + plan.uniform(4, 8)
        while following < stop:
            _add_beat(wave, following, _HEIGHT * np.array([1.0, 1.0, 1.0, 1.0, -1.0]))
            last = following
            following += _interval(following, rhythm)
        end = last + 0.5
        wave[round(begin * RATE) : round(end * RATE)] -= 0.15
    else:
        length = plan.uniform(3, 6) if kind == "flutter" else plan.uniform(1, 3)
        begin, end = t - 0.2, t - 0.2 + length
        clock = np.arange(round(begin * RATE), round(end * RATE)) / RATE
        if kind == "flutter":
            wave[round(begin * RATE) : round(end * RATE)] += 0.35 * np.sin(2 * np.pi * 5.0 * (clock - begin))
        else:
            wave[round(begin * RATE) : round(end * RATE)] += plan.normal(0, 0.5, len(clock))
        following = end + 0.5
    start, stop_at = round(begin * RATE), round(end * RATE)
    episodes.append(Episode(kind, start, stop_at))
    return start, following, stop_at
