"""Windows: what the eye sees in one step of a control loop, and where the digit then is.

A window has 20 ms. In its first 2 ms the eye makes a saccade, then it rests while the digit moves on at constant speed,
which it also had in the 20 ms before: the pixels remember them. The events of the window are cut into 10 steps of 2 ms.
The answer is where the digit's centre is at the end, relative to the eye's, as one of 121 cells: 11 places per axis,
denser in the middle, as a fovea has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment
from snnkit.data.augment_series import SeriesAugment
from snnkit.data.dataset import FrameDataset
from snnkit.data.draws import keyed_rng
from snnkit.data.events import POLARITIES
from snnkit.data.follow_digit.eye import Eye, EyeSettings, to_position
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.saccade_digits.motion import SENSOR
from snnkit.data.saccade_digits.source import committed_splits, load_images
from snnkit.data.source import SPLITS, Source
from snnkit.errors import ParameterError

VERSION = 1
"""Raised whenever the windows that a seed gives change."""
WINDOW_MS, STEP_MS, SACCADE_MS = 20, 2, 2
STEPS = WINDOW_MS // STEP_MS
PLACES = (-11.0, -7.5, -5.0, -3.0, -1.5, 0.0, 1.5, 3.0, 5.0, 7.5, 11.0)
"""Places along an axis, in pixels."""
SIZES = {"train": 6000, "validation": 600, "test": 1200}
MAX_SPEED = 150.0
"""Pixels per second along an axis."""
_EDGES = [(a + b) / 2 for a, b in pairwise(PLACES)]
_SCENE = 4
_CHUNK = 200


def cell_of(displacement: NDArray[np.floating]) -> NDArray[np.int64]:
    """Cells [n] of displacements [n, 2] (x, y) in pixels: the nearest place along each axis."""
    k = np.array(np.searchsorted(_EDGES, np.asarray(displacement)), np.int64)
    cells: NDArray[np.int64] = k[..., 1] * len(PLACES) + k[..., 0]
    return cells


def place_of(cell: NDArray[np.integer]) -> NDArray[np.float64]:
    """Displacements [n, 2] (x, y) in pixels that cells [n] stand for."""
    places = np.array(PLACES)
    row, column = np.divmod(np.asarray(cell, np.int64), len(PLACES))
    return np.stack([places[column], places[row]], -1)


def saccade_then_motion(
    before: NDArray[np.floating], after: NDArray[np.floating], end: NDArray[np.floating]
) -> NDArray[np.int64]:
    """The digit's offset at the end of each millisecond of a window, [20, B, 2] in 1/4096 pixel.

    Args:
        before, after: [B, 2] pixels, before and after the saccade, were the digit at rest. end: [B, 2], at the end.
    """
    ms = np.arange(1, WINDOW_MS + 1)[:, None, None]
    jump = np.minimum(ms / SACCADE_MS, 1) * (after - before)
    return to_position(before + jump + ms / WINDOW_MS * (end - after))


def to_steps(events: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Events [20, B, 2, 34, 34] as binary steps of 2 ms, [10, B, 2, 34, 34]."""
    steps: NDArray[np.uint8] = events.view(np.uint8).reshape(STEPS, STEP_MS, *events.shape[1:]).max(1)
    return steps


def scene(index: NDArray[np.integer], count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which digit [n] of `count`, and the digit's offsets (earlier, before, after, end) [4, n, 2] in pixels.

    Earlier is 20 ms before the window, before and after are before and after the saccade. Most windows are like those
    of a loop that follows well: the end within a few pixels, small saccades, moderate speeds; some are like its start.
    """
    which, path = [], []
    for i in index:
        rng = keyed_rng(seed, _SCENE, 0, int(i))
        which.append(int(rng.integers(count)))
        end = rng.normal(0, 2, 2) if rng.random() < 0.7 else rng.uniform(-12, 12, 2)
        way = np.clip(rng.normal(0, rng.choice((20, 60)), 2), -MAX_SPEED, MAX_SPEED) * WINDOW_MS / 1000
        after = end - way
        before = after + rng.normal(0, rng.choice((0.5, 1.5, 4.0)), 2)
        path.append((before - way, before, after, end))
    return np.array(which), np.array(path).transpose(1, 0, 2)


class WindowDataset(FrameDataset):
    """Windows as (frames `[10, 2, 34, 34]` float32, cell)."""

    def __init__(
        self,
        packed: NDArray[np.uint8],
        labels: NDArray[np.int64],
        indices: NDArray[np.int64],
        frames: FrameSettings,
        seed: int,
    ) -> None:
        super().__init__(indices, labels, (2, SENSOR, SENSOR), frames, seed)
        self._packed = packed

    def counts(self, index: int, epoch: int | None) -> NDArray[np.number]:
        """The events of a window, `[10, 2, 34, 34]`, 0 or 1."""
        bits = np.unpackbits(self._packed[self.indices[index]], count=STEPS * 2 * SENSOR * SENSOR)
        return bits.reshape(STEPS, 2, SENSOR, SENSOR)


class FollowDigitSource(Source):
    """SIMULATED windows of scikit-learn's digits before a saccading event sensor; the class is where the digit is.

    The digits of each part are those of `SaccadeDigits`: no test window shows a training digit.

    Args:
        sizes: windows of the training, validation and test part.
        seed: of scenes, sensor and noise.
        sensor: what the sensor is like.
    """

    name = "follow-digit"
    sensor_size = (SENSOR, SENSOR)
    channels = POLARITIES
    classes = tuple(f"{x:+g},{y:+g}" for y in PLACES for x in PLACES)

    def __init__(self, sizes: Sequence[int] | None = None, seed: int = 0, sensor: EyeSettings | None = None) -> None:
        super().__init__()
        self.sizes = tuple(SIZES.values()) if sizes is None else tuple(int(n) for n in sizes)
        if len(self.sizes) != len(SPLITS) or min(self.sizes) < 1:
            raise ParameterError(f"sizes is {list(self.sizes)}", fix="give three numbers of windows, each at least 1")
        self.seed, self.sensor = int(seed), sensor or EyeSettings()
        self._digest, self._labels = "", np.zeros(0, np.int64)
        self._packed = np.zeros((0, 0), np.uint8)

    def prepare(self) -> None:
        """Simulate the windows, if that has not been done yet."""
        if self._splits is not None:
            return
        images, splits = images_of()
        packed, labels, ends = [], [], np.cumsum(self.sizes)
        for split, n, end in zip(SPLITS, self.sizes, ends):
            digits = images[splits[split]]
            for start in range(end - n, end, _CHUNK):
                index = np.arange(start, min(start + _CHUNK, end))
                which, (earlier, before, after, last) = scene(index, len(digits), self.seed)
                eye = Eye(digits[which], index, to_position(earlier), self.seed, self.sensor)
                eye.adapt(to_position(np.linspace(earlier, before, 6)[1:]))
                seen = to_steps(eye.look(saccade_then_motion(before, after, last))).transpose(1, 0, 2, 3, 4)
                packed.append(np.packbits(seen.reshape(len(index), -1), axis=1))
                labels.append(cell_of(last))
        self._packed, self._labels = np.concatenate(packed), np.concatenate(labels)
        h = hashlib.sha256(self._packed.tobytes())
        h.update(self._labels.astype("<i8").tobytes())
        self._digest = h.hexdigest()
        self._splits = {split: np.arange(e - n, e) for split, n, e in zip(SPLITS, self.sizes, ends)}

    @property
    def digest(self) -> str:
        """SHA-256 over all windows (packed bits) and their cells (little-endian int64)."""
        self.prepare()
        return self._digest

    def labels(self, split: str) -> NDArray[np.int64]:
        """The cells [n] of a split."""
        return self._labels[self.indices(split)]

    def dataset(
        self, split: str, frames: FrameSettings, augment: Augment | SeriesAugment | None = None, seed: int = 0
    ) -> WindowDataset:
        """The windows of one split; there is no augmentation: a window moved is a window of another class."""
        if augment is not None:
            raise ParameterError("augment is given for follow-digit", fix="leave it out")
        indices = self.indices(split)
        return WindowDataset(self._packed, self._labels, indices, frames, seed)


def images_of() -> tuple[NDArray[np.uint8], dict[str, NDArray[np.int64]]]:
    """scikit-learn's digits [1797, 8, 8] and the indices of each part."""
    committed = committed_splits()
    images, _ = load_images(committed["images_sha256"])
    return images, {s: np.array(committed[s], np.int64) for s in SPLITS}
