"""Windows of a delta-coded stream: is there an anomaly in them?

The waveform is sent on delta (`snnkit.data.delta`) by three coders with thresholds 0.06, 0.15 and 0.4, which run on
over the whole recording. Their events are counted in steps of one sample (10 ms) as 0 or 1: frames [2, 1, 3], OFF and
ON. A window is 128 steps, and the next one begins 32 steps later: an answer every 0.32 s.

A window's class is "anomaly" where at least 0.25 s of it lie in an episode, "normal" where none do. Windows between the
two are in no part of the data set, but in the stream that a watch sees (`snnkit.loops.watching`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment
from snnkit.data.augment_series import SeriesAugment
from snnkit.data.dataset import FrameDataset
from snnkit.data.delta import send_on_delta
from snnkit.data.events import POLARITIES
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.pulse.waveform import RATE, Recording, record
from snnkit.data.source import SPLITS, Source
from snnkit.errors import ParameterError

THRESHOLDS = (0.06, 0.15, 0.4)
STEPS, HOP = 128, 32
STEP_US = 1_000_000 // RATE
LEAST = RATE // 4
"""Samples of an episode that make a window an anomaly."""
MINUTES = {"train": 60.0, "validation": 15.0, "test": 30.0}
GAP_S = 15.0
"""In the data set, anomalies follow each other closely, so that there are enough of them."""
KEYS = {"train": 0, "validation": 1, "test": 2}
"""The number of each part's recording; `snnkit.loops.watching` takes others."""


def code(wave: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A waveform [n] as frames [n, 2, 1, 3], 0 or 1: OFF and ON of the three coders."""
    out = np.zeros((len(wave), 2, 1, len(THRESHOLDS)), np.uint8)
    t, x, _, p = send_on_delta(wave[:, None] / np.array(THRESHOLDS), 1.0, 1)
    out[t, p, 0, x] = 1
    return out


def starts(steps: int) -> NDArray[np.int64]:
    """The first steps of all windows of a stream."""
    return np.arange(0, steps - STEPS + 1, HOP)


def overlap(recording: Recording) -> NDArray[np.int64]:
    """For each window how many of its samples lie in an episode."""
    total = np.concatenate([[0], np.cumsum(recording.deviates())])
    first = starts(len(recording.wave))
    return (total[first + STEPS] - total[first]).astype(np.int64)


class PulseDataset(FrameDataset):
    """Windows as (frames `[128, 2, 1, 3]` float32, class)."""

    def __init__(
        self,
        stream: NDArray[np.uint8],
        first: NDArray[np.int64],
        labels: NDArray[np.int64],
        indices: NDArray[np.int64],
        frames: FrameSettings,
        seed: int,
    ) -> None:
        super().__init__(indices, labels, stream.shape[1:], frames, seed)
        self._stream, self._first = stream, first

    def counts(self, index: int, epoch: int | None) -> NDArray[np.number]:
        """A window's frames, 0 or 1."""
        first = int(self._first[self.indices[index]])
        return self._stream[first : first + STEPS]


class PulseSource(Source):
    """SIMULATED, see `snnkit.data.pulse.waveform`. Each part is a recording of its own; windows of two classes.

    Normal windows are drawn evenly so that there are as many as anomalies.

    Args:
        minutes: length of the training, validation and test recording.
        seed: of the simulation.
    """

    name = "pulse"
    sensor_size = (len(THRESHOLDS), 1)
    channels = POLARITIES
    classes = ("normal", "anomaly")

    def __init__(self, minutes: Sequence[float] | None = None, seed: int = 0) -> None:
        super().__init__()
        self.minutes = tuple(MINUTES.values()) if minutes is None else tuple(float(m) for m in minutes)
        if len(self.minutes) != len(SPLITS) or min(self.minutes) < 2:
            raise ParameterError(f"minutes is {list(self.minutes)}", fix="give three lengths of at least 2 minutes")
        self.seed = int(seed)
        self._digest, self._labels = "", np.zeros(0, np.int64)
        self._stream, self._first = np.zeros((0, 2, 1, len(THRESHOLDS)), np.uint8), np.zeros(0, np.int64)

    def prepare(self) -> None:
        """Simulate the recordings, if that has not been done yet."""
        if self._splits is not None:
            return
        streams, firsts, labels, steps, windows = [], [], [], 0, 0
        splits: dict[str, NDArray[np.int64]] = {}
        for split, minutes in zip(SPLITS, self.minutes):
            recording = record(60 * minutes, KEYS[split], self.seed, GAP_S)
            stream, seen = code(recording.wave), overlap(recording)
            odd, even = np.flatnonzero(seen >= LEAST), np.flatnonzero(seen == 0)
            even = even[np.unique(np.linspace(0, len(even) - 1, min(len(odd), len(even))).round().astype(np.int64))]
            chosen = np.sort(np.concatenate([odd, even]))
            streams.append(stream)
            firsts.append(starts(len(stream))[chosen] + steps)
            labels.append((seen[chosen] >= LEAST).astype(np.int64))
            splits[split] = np.arange(windows, windows + len(chosen))
            steps, windows = steps + len(stream), windows + len(chosen)
        self._stream, self._first = np.concatenate(streams), np.concatenate(firsts)
        self._labels = np.concatenate(labels)
        h = hashlib.sha256(self._stream.tobytes())
        for part in (self._first, self._labels):
            h.update(part.astype("<i8").tobytes())
        self._digest, self._splits = h.hexdigest(), splits

    @property
    def digest(self) -> str:
        """SHA-256 over the streams, the windows' first steps and their classes."""
        self.prepare()
        return self._digest

    def labels(self, split: str) -> NDArray[np.int64]:
        """The classes [n] of a split."""
        return self._labels[self.indices(split)]

    def dataset(
        self, split: str, frames: FrameSettings, augment: Augment | SeriesAugment | None = None, seed: int = 0
    ) -> PulseDataset:
        """The windows of one split; there is no augmentation."""
        if augment is not None:
            raise ParameterError("augment is given for pulse", fix="leave it out, or simulate more minutes")
        indices = self.indices(split)
        return PulseDataset(self._stream, self._first, self._labels, indices, frames, seed)
