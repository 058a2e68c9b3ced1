"""What a data set is, apart from how it is batched: its recordings, classes and splits. No torch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from snnkit.data.dataset import EventDataset, FrameSettings
from snnkit.data.store import EventStore
from snnkit.errors import ParameterError, did_you_mean

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class EventSource(ABC):
    """A data set of event recordings: decoded once into the cache, divided once into three parts.

    Class attributes: `name`, `sensor_size` (width, height), `classes` (names, by class index), `window_us` (the nominal
    length of a recording: the default binning window).
    """

    name: ClassVar[str]
    sensor_size: ClassVar[tuple[int, int]]
    classes: ClassVar[tuple[str, ...]]
    window_us: ClassVar[int]

    def __init__(self, cache_dir: str | os.PathLike[str] | None = None, progress: bool = True) -> None:
        self.cache_dir, self.progress = cache_dir, progress
        self._store: EventStore | None = None
        self._splits: dict[str, NDArray[np.int64]] | None = None

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

    def indices(self, split: str) -> NDArray[np.int64]:
        """The store indices [n] of "train", "validation" or "test"."""
        self.prepare()
        assert self._splits is not None
        if split not in self._splits:
            raise ParameterError(
                f"no split named {split!r}{did_you_mean(split, SPLITS)}", fix=f"use one of {', '.join(SPLITS)}"
            )
        return self._splits[split]

    def dataset(self, split: str, frames: FrameSettings) -> EventDataset:
        """The samples of one split, without augmentation."""
        return EventDataset(self.store, self.indices(split), frames)
