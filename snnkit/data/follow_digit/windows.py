"""Windows: what the eye sees in one step of a control loop, and where the digit then is.

A window has 20 ms. In its first 2 ms the eye makes a saccade, then it rests while the digit moves on at constant speed.
The events of all 20 ms are cut into 10 steps of 2 ms. The answer is where the digit's centre is at the end, relative to
the eye's, as one of 81 cells: 9 places per axis, denser in the middle, as a fovea has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment
from snnkit.data.dataset import FrameDataset, FrameSettings, keyed_rng
from snnkit.data.events import POLARITIES
from snnkit.data.follow_digit.eye import Eye, EyeSettings, to_position
from snnkit.data.saccade_digits.motion import SENSOR
from snnkit.data.saccade_digits.source import committed_splits, load_images
from snnkit.data.source import SPLITS, Source
from snnkit.errors import ParameterError

VERSION = 1
"""Raised whenever the windows that a seed gives change."""
WINDOW_MS, STEP_MS, SACCADE_MS = 20, 2, 2
STEPS = WINDOW_MS // STEP_MS
PLACES = (-10.0, -6.5, -4.0, -2.0, 0.0, 2.0, 4.0, 6.5, 10.0)
"""Places along an axis, in pixels."""
SIZES = {"train": 6000, "validation": 600, "test": 1200}
MAX_SPEED = 150.0
"""Pixels per second along an axis."""
_EDGES = [(a + b) / 2 for a, b in zip(PLACES, PLACES[1:])]
_SCENE = 4
_CHUNK = 200


def cell_of(displacement: NDArray[np.floating]) -> NDArray[np.int64]:
    """Cells [n] of displacements [n, 2] (x, y) in pixels: the nearest place along each axis."""
    k = np.searchsorted(_EDGES, displacement)
    return (k[..., 1] * len(PLACES) + k[..., 0]).astype(np.int64)


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
    return events.reshape(STEPS, STEP_MS, *events.shape[1:]).any(1).astype(np.uint8)


def scene(index: NDArray[np.integer], count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which digit [n] of `count`, and (before, after, end) [3, n, 2] in pixels, of the windows with these indices.

    Most windows are like those of a loop that follows well (the end within a few pixels), some are anywhere.
    """
    which, path = [], []
    for i in index:
        rng = keyed_rng(seed, _SCENE, 0, int(i))
        which.append(int(rng.integers(count)))
        end = rng.normal(0, 3, 2) if rng.random() < 0.6 else rng.uniform(-12, 12, 2)
        speed = np.clip(rng.normal(0, 50, 2), -MAX_SPEED, MAX_SPEED)
        after = end - speed * WINDOW_MS / 1000
        path.append((after + rng.normal(0, 3, 2), after, end))
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
                which, (before, after, last) = scene(index, len(digits), self.seed)
                eye = Eye(digits[which], index, to_position(before), self.seed, self.sensor)
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
        self, split: str, frames: FrameSettings, augment: Augment | None = None, seed: int = 0
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
