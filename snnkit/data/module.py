"""`EventDataModule`: a LightningDataModule over an event source. It adds loaders and settings, no data of its own."""

from __future__ import annotations

from typing import Any

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import lightning as L  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from snnkit.data.augment import Augment  # noqa: E402
from snnkit.data.batch import Batch, collate  # noqa: E402
from snnkit.data.binning import By  # noqa: E402
from snnkit.data.dataset import EpochSampler, EventDataset, FrameSettings  # noqa: E402
from snnkit.data.events import EventStream  # noqa: E402
from snnkit.data.source import SPLITS, EventSource  # noqa: E402
from snnkit.errors import ParameterError  # noqa: E402


class EventDataModule(L.LightningDataModule):
    """Batches of event frames from an `EventSource`.

    Training order and augmentation derive from (seed, epoch, index) alone: they are the same for any `num_workers` and
    after a resume. Call `set_epoch(e)` before iterating `train_dataloader()` yourself; Lightning does it by itself.

    Args:
        source: the data set.
        batch_size: samples per batch, in all loaders.
        T: number of bins (time steps).
        by: "time" or "count"; see `snnkit.data.to_frames`.
        binary: cells are 0/1 instead of counts.
        window_us: the window that is cut into T bins, from the recording's time 0; None: the data set's nominal length.
        augment: random changes of training samples; None for none.
        num_workers: loader processes.
        seed: seed of order and augmentation.
    """

    def __init__(
        self,
        source: EventSource,
        batch_size: int = 32,
        T: int = 10,
        by: By = "time",
        binary: bool = True,
        window_us: int | None = None,
        augment: Augment | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ParameterError(f"batch_size is {batch_size}", fix="give at least 1")
        if num_workers < 0:
            raise ParameterError(f"num_workers is {num_workers}", fix="give 0 (load in this process) or more")
        self.source = source
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.frames = FrameSettings(T, by, binary, window_us if window_us is not None else source.window_us)
        self.augment = augment
        self._epoch = 0
        self._sampler: EpochSampler | None = None

    @property
    def sensor_size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.source.sensor_size

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by class index."""
        return self.source.classes

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.source.classes)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one step of one sample: (2, H, W)."""
        width, height = self.source.sensor_size
        return (2, height, width)

    @property
    def T(self) -> int:
        """Number of time steps."""
        return self.frames.T

    @property
    def digest(self) -> str:
        """SHA-256 of the decoded recordings (all splits)."""
        return self.source.digest

    def prepare_data(self) -> None:
        """Decode the recordings into the cache, if they are not there yet."""
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Open the cache."""
        self.source.prepare()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and augmentation the next pass over the training data has."""
        self._epoch = int(epoch)
        if self._sampler is not None:
            self._sampler.set_epoch(self._epoch)

    def dataset(self, split: str, augment: bool = False) -> EventDataset:
        """The samples of "train", "validation" or "test"; with `augment`, as training sees them."""
        return EventDataset(
            self.source.store, self.source.indices(split), self.frames, self.augment if augment else None, self.seed
        )

    def stream(self, split: str, index: int) -> EventStream:
        """One recording of a split, as events."""
        return self.source.store.stream(int(self.source.indices(split)[index]))

    def labels(self, split: str) -> NDArray[np.int64]:
        """The classes [n] of a split."""
        return self.source.store.labels[self.source.indices(split)]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, augmented training batches."""
        dataset = self.dataset("train", augment=True)
        self._sampler = EpochSampler(len(dataset), self.seed)
        self._sampler.set_epoch(self._epoch)
        return self._loader(dataset, self._sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation batches, in order."""
        return self._loader(self.dataset("validation"))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Test batches, in order."""
        return self._loader(self.dataset("test"))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The same as the test batches."""
        return self.test_dataloader()

    def _loader(self, dataset: EventDataset, sampler: EpochSampler | None = None) -> DataLoader[Batch]:
        return DataLoader(
            dataset,  # type: ignore[arg-type]
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=collate,
            # A loader draws a seed at every pass; with its own generator it leaves torch's (dropout, …) alone.
            generator=torch.Generator().manual_seed(self.seed % 2**63),
            persistent_workers=self.num_workers > 0,
        )

    def describe(self) -> dict[str, Any]:
        """What the data are and how they are binned, as JSON values: goes into a run's record and a descriptor."""
        f = self.frames
        return {
            "name": self.source.name,
            "digest": self.digest,
            "sensor_size": list(self.sensor_size),
            "classes": list(self.classes),
            "samples": {split: len(self.source.indices(split)) for split in SPLITS},
            "frames": {"T": f.T, "by": f.by, "binary": f.binary, "window_us": f.window_us},
            "channels": ["OFF", "ON"],
        }
