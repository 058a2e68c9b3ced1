"""Recordings and images as samples: (frames, class). Nothing needs torch, except samples that are sent in a code."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment
from snnkit.data.augment_series import SeriesAugment
from snnkit.data.changes import Changes, Columns, apply_changes, draw_changes, mixed
from snnkit.data.draws import MIX, SAMPLE, TAKE, keyed_rng
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.retake import Retake
from snnkit.data.store import EventStore
from snnkit.errors import ParameterError


class FrameDataset(ABC):
    """Some samples of a data set as (frames `[T, …]` float32, class).

    An item is asked for by `index`, or by `(epoch, index)`; the epoch matters only to what is random: augmentation, and
    the draws of a random code.

    Args:
        indices: which samples, [n].
        labels: the classes of all samples of the data set.
        shape: of one step of counts.
        frames: how samples become frames.
        seed: the seed of what is random.
    """

    def __init__(
        self,
        indices: NDArray[np.int64],
        labels: NDArray[np.int64],
        shape: tuple[int, ...],
        frames: FrameSettings,
        seed: int,
    ) -> None:
        self.indices, self.frames, self.seed = np.asarray(indices, np.int64), frames, seed
        self._labels, self._shape = labels, shape

    @abstractmethod
    def counts(self, index: int, epoch: int | None) -> NDArray[np.number]:
        """The counts `[frames.T, …]` of a sample; without augmentation where `epoch` is None."""

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The classes [n]."""
        return self._labels[self.indices]

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[NDArray[np.float32], int]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        return self._encoded(index, epoch, self.counts(index, epoch)), int(self._labels[self.indices[index]])

    def _encoded(self, index: int, epoch: int, counts: NDArray[np.number]) -> NDArray[np.float32]:
        return self.frames.encode(counts, self.seed, epoch, int(self.indices[index]))

    def stack(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """All samples, without augmentation: frames `[T, n, …]` and classes [n]."""
        x = np.empty((self.frames.steps, len(self), *self.frames.shape(self._shape)), np.float32)
        for i in range(len(self)):
            x[:, i] = self._encoded(i, 0, self.counts(i, None))
        return x, self.labels


class EventDataset(FrameDataset):
    """Some recordings of a store as samples (frames `[T, C, H, W]` float32, class).

    Args:
        store: the decoded recordings.
        indices: which of them, [n].
        frames: how they become frames.
        augment: random changes; None for none (validation, test).
        seed: the seed of the augmentation and of a random code.
        channels: C: 2, or 1 for events without polarity (all of p = 1).
        takes: other takes of the recordings, those of recording i of `store` from i · `augment.retake.count` on.
    """

    def __init__(
        self,
        store: EventStore,
        indices: NDArray[np.int64],
        frames: FrameSettings,
        augment: Augment | SeriesAugment | None = None,
        seed: int = 0,
        channels: int = 2,
        takes: EventStore | None = None,
    ) -> None:
        width, height = store.sensor_size
        super().__init__(indices, store.labels, (channels, height, width), frames, seed)
        self.store, self.takes = store, takes
        self.augment = augment if augment is not None and augment.active else None

    def events(self, index: int, epoch: int | None) -> tuple[Columns, Changes | None]:
        """The columns of a sample and what augmentation draws for it; no draws where `epoch` is None."""
        columns: Columns = self.store.columns(int(self.indices[index]))
        if self.augment is None or epoch is None:
            return columns, None
        if isinstance(self.augment, SeriesAugment):
            columns = self._taken(self.augment.retake, columns, index, epoch)
            rng = keyed_rng(self.seed, SAMPLE, epoch, index)
            return self.augment.apply(columns, self.store.sensor_size, rng), None
        if self.augment.mix:
            rng = keyed_rng(self.seed, MIX, epoch, index)
            other = int(self.indices[rng.integers(len(self))])
            columns = mixed(columns, self.store.columns(other), self.augment.mix * rng.random(), rng)
        rng = keyed_rng(self.seed, SAMPLE, epoch, index)
        return columns, draw_changes(self.augment, columns[0], self.store.sensor_size, rng)

    def _taken(self, retake: Retake | None, columns: Columns, index: int, epoch: int) -> Columns:
        if retake is None or self.takes is None:
            return columns
        k = int(keyed_rng(self.seed, TAKE, epoch, index).integers(retake.count + 1))
        if k == 0:
            return columns
        return self.takes.columns(int(self.indices[index]) * retake.count + k - 1)

    def counts(self, index: int, epoch: int | None) -> NDArray[np.number]:
        """The binned recording `[T, C, H, W]`."""
        columns, draws = self.events(index, epoch)
        if draws is not None:
            columns = apply_changes(columns, draws, self.store.sensor_size)
        return self.frames.cells(columns, self.store.sensor_size)[:, -self._shape[0] :]


class DrawnEvents:
    """The samples of an `EventDataset` as (columns, draws, class): frames of them are made later, on another device.

    An item is asked for by (epoch, index).
    """

    def __init__(self, dataset: EventDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Columns, Changes | None, int]:
        epoch, index = key
        return (*self.dataset.events(index, epoch), int(self.dataset.labels[index]))


class ImageDataset(FrameDataset):
    """Some still images as samples (frames `[T, C, H, W]` float32, class).

    Args:
        images: all images as counts, [N, C, H, W].
        labels: their classes, [N].
        indices: which of them, [n].
        frames: how they become frames; `frames.T` is 1.
        seed: the seed of a random code.
    """

    def __init__(
        self,
        images: NDArray[np.number],
        labels: NDArray[np.int64],
        indices: NDArray[np.int64],
        frames: FrameSettings,
        seed: int = 0,
    ) -> None:
        if frames.T != 1:
            raise ParameterError(f"T is {frames.T} for still images", fix="an image is one frame; set the code's steps")
        super().__init__(indices, labels, images.shape[1:], frames, seed)
        self.images = images

    def counts(self, index: int, epoch: int | None) -> NDArray[np.number]:
        """The image `[1, C, H, W]`."""
        return self.images[self.indices[index]][None]
