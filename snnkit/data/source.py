"""What a data set is, apart from how it is batched: its samples, classes and splits. No torch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment
from snnkit.data.augment_series import SeriesAugment
from snnkit.data.dataset import EventDataset, FrameDataset
from snnkit.data.events import POLARITIES
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.retake import Retake
from snnkit.data.store import EventStore
from snnkit.errors import ParameterError, did_you_mean

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Source(ABC):
    """A data set, divided once into three parts.

    A sub-class gives `name`, `sensor_size`, `channels` and `classes` as class attributes where all its data have the
    same, or as properties where they are known from the data alone.
    """

    name: ClassVar[str]
    channels: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def sensor_size(self) -> tuple[int, int]:
        """(width, height); a one-dimensional sensor is (channels, 1)."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by class index."""

    def __init__(self) -> None:
        self._splits: dict[str, NDArray[np.int64]] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make sure the data are there and open them; sets the splits."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 over all samples and their classes."""

    @abstractmethod
    def labels(self, split: str) -> NDArray[np.int64]:
        """The classes [n] of a split."""

    @abstractmethod
    def dataset(
        self, split: str, frames: FrameSettings, augment: Augment | SeriesAugment | None = None, seed: int = 0
    ) -> FrameDataset:
        """The samples of one split; `seed` is that of the augmentation and of a random code."""

    def describe(self) -> dict[str, Any]:
        """What a run's record says of the source beyond its name, digest and splits, as JSON values."""
        return {}

    @classmethod
    def arguments(cls, described: Mapping[str, Any]) -> dict[str, Any]:
        """The constructor's arguments beside `root` that decide the samples, from a run's record of the data."""
        return {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a sample's frame, before a code: (channels, H, W)."""
        width, height = self.sensor_size
        return (len(self.channels), height, width)

    def indices(self, split: str) -> NDArray[np.int64]:
        """The indices [n] of "train", "validation" or "test" among all samples."""
        self.prepare()
        assert self._splits is not None
        if split not in self._splits:
            raise ParameterError(
                f"no split named {split!r}{did_you_mean(split, SPLITS)}", fix=f"use one of {', '.join(SPLITS)}"
            )
        return self._splits[split]


class EventSource(Source):
    """A data set of event recordings, decoded once into the cache.

    `channels` are the two polarities, or one where events have none (each then has p = 1). Beside what `Source` has:
    `window_us`, the nominal length of a recording, which is the default binning window; None: each recording's own.
    """

    channels: ClassVar[tuple[str, ...]] = POLARITIES
    window_us: ClassVar[int | None]

    def __init__(self, cache_dir: str | os.PathLike[str] | None = None, progress: bool = True) -> None:
        super().__init__()
        self.cache_dir, self.progress = cache_dir, progress
        self._store: EventStore | None = None

    @abstractmethod
    def load(self) -> tuple[EventStore, dict[str, NDArray[np.int64]]]:
        """Open (or build) the store, and the indices of each split in it."""

    def prepare(self) -> None:
        """Make sure the store is in the cache and open it."""
        if self._store is None:
            self._store, self._splits = self.load()

    @property
    def store(self) -> EventStore:
        """The decoded recordings."""
        self.prepare()
        assert self._store is not None
        return self._store

    @property
    def digest(self) -> str:
        """SHA-256 over the decoded recordings; see `snnkit.data.store.ContentHash`."""
        return self.store.digest

    def labels(self, split: str) -> NDArray[np.int64]:
        """The classes [n] of a split."""
        return self.store.labels[self.indices(split)]

    def dataset(
        self, split: str, frames: FrameSettings, augment: Augment | SeriesAugment | None = None, seed: int = 0
    ) -> EventDataset:
        """The samples of one split; `augment` for random changes, as training sees them."""
        takes = None
        if isinstance(augment, SeriesAugment) and augment.retake is not None:
            takes = self.takes(augment.retake, split)
        return EventDataset(self.store, self.indices(split), frames, augment, seed, len(self.channels), takes)

    def takes(self, retake: Retake, split: str) -> EventStore:
        """Other takes of the recordings of a split: `retake.count` of recording i, from i · count on.

        Raises:
            ParameterError: the data set has the events only, or this split's signals are not taken again.
        """
        raise ParameterError(
            f"{self.name} recordings cannot be taken again",
            why="a take codes a recording's signal once more, and these data are events",
            fix="leave retake out of augment",
        )
