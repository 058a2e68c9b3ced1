"""Recordings as samples: (frames, class), the same for any number of workers and after a resume.

Everything random about a training sample derives from (seed, epoch, index) and nothing else. The sampler yields
(epoch, index) pairs, so a worker process knows the epoch without being told. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment, augment_columns
from snnkit.data.binning import By, check_bin_settings, frames_from_columns
from snnkit.data.store import EventStore

_ORDER, _SAMPLE = 0, 1
Columns = tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]


def keyed_rng(seed: int, stream: int, epoch: int, index: int = 0) -> np.random.Generator:
    """An independent random generator for (seed, stream, epoch, index): Philox, Salmon et al. 2011,
    doi:10.1145/2063384.2063405."""
    words = [0, stream, epoch, index]
    return np.random.Generator(np.random.Philox(counter=words, key=[seed % 2**64, 0]))


@dataclass(frozen=True)
class FrameSettings:
    """How recordings become frames `[T, 2, H, W]`; see `snnkit.data.binning.to_frames`."""

    T: int = 10
    by: By = "time"
    binary: bool = True
    window_us: int | None = None

    def __post_init__(self) -> None:
        check_bin_settings(self.T, self.by, self.window_us)


class EventDataset:
    """Some recordings of a store as samples (frames `[T, 2, H, W]` float32, class).

    Args:
        store: the decoded recordings.
        indices: which of them, [n].
        frames: how they are binned.
        augment: random changes; None for none (validation, test).
        seed: the seed of the augmentation.

    An item is asked for by `index`, or by `(epoch, index)`; the epoch matters only to the augmentation.
    """

    def __init__(
        self,
        store: EventStore,
        indices: NDArray[np.int64],
        frames: FrameSettings,
        augment: Augment | None = None,
        seed: int = 0,
    ) -> None:
        self.store, self.indices, self.frames, self.seed = store, np.asarray(indices, np.int64), frames, seed
        self.augment = augment if augment is not None and augment.active else None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The classes [n]."""
        return self.store.labels[self.indices]

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[NDArray[np.float32], int]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        k = int(self.indices[index])
        columns: Columns = self.store.columns(k)
        if self.augment is not None:
            rng = keyed_rng(self.seed, _SAMPLE, epoch, index)
            columns = augment_columns(*columns, self.store.sensor_size, self.augment, rng)
        f = self.frames
        frames = frames_from_columns(*columns, self.store.sensor_size, f.T, f.by, f.binary, f.window_us)
        return frames, int(self.store.labels[k])

    def stack(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """All samples, without augmentation: frames `[T, n, 2, H, W]` and classes [n]."""
        width, height = self.store.sensor_size
        x = np.empty((self.frames.T, len(self), 2, height, width), np.float32)
        plain = EventDataset(self.store, self.indices, self.frames)
        for i in range(len(self)):
            x[:, i] = plain[i][0]
        return x, self.labels


class EpochSampler:
    """Yields (epoch, index) pairs; shuffled by (seed, epoch), or in order.

    `set_epoch(e)` takes effect at the next `iter`; Lightning calls it by itself, also after a resume.
    """

    def __init__(self, n: int, seed: int, shuffle: bool = True) -> None:
        self.n, self.seed, self.shuffle, self.epoch = n, seed, shuffle, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass belongs to."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        order = keyed_rng(self.seed, _ORDER, epoch).permutation(self.n) if self.shuffle else np.arange(self.n)
        return iter([(epoch, int(i)) for i in order])
