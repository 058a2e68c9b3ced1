"""LightningDataModules over a source: they add loaders and settings, no data of their own."""

from __future__ import annotations

from typing import Any, Literal

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import lightning as L  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from snnkit.data.augment import Augment  # noqa: E402
from snnkit.data.augment_series import SeriesAugment  # noqa: E402
from snnkit.data.batch import Batch, collate  # noqa: E402
from snnkit.data.binning import By  # noqa: E402
from snnkit.data.dataset import DrawnEvents, EventDataset, FrameDataset  # noqa: E402
from snnkit.data.device import EventBatch, apply_draws, collate_events, frames  # noqa: E402
from snnkit.data.draws import EpochSampler  # noqa: E402
from snnkit.data.events import EventStream  # noqa: E402
from snnkit.data.frame_settings import FrameSettings  # noqa: E402
from snnkit.data.part import Part, WholeBatches  # noqa: E402
from snnkit.data.representation import TAU_US, Representation  # noqa: E402
from snnkit.data.source import SPLITS, EventSource, Source  # noqa: E402
from snnkit.encoding import Encoder  # noqa: E402
from snnkit.errors import ParameterError  # noqa: E402


class FrameDataModule(L.LightningDataModule):
    """Batches of frames from a `Source`.

    Training order, augmentation and the draws of a random code derive from (seed, epoch, index) alone: they are the
    same for any `num_workers` and after a resume. Validation and test samples are those of epoch 0, every time. Call
    `set_epoch(e)` before iterating `train_dataloader()` yourself; Lightning does it by itself.

    Between `divide(rank, world)` and `divide(0, 1)` the training and validation loaders give one process's part of the
    data (`snnkit.data.part`); the samples that count are the same, bit for bit, for any number of processes.

    Args:
        source: the data set.
        frames: how its samples become frames.
        batch_size: samples per batch, in all loaders; where several processes train, of all of them together.
        augment: random changes of training samples; None for none.
        num_workers: loader processes.
        seed: seed of order, augmentation and a random code.
    """

    def __init__(
        self,
        source: Source,
        frames: FrameSettings,
        batch_size: int = 32,
        augment: Augment | SeriesAugment | None = None,
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
        self.frames, self.augment = frames, augment
        self._epoch = 0
        self._sampler: EpochSampler | None = None
        self.train_part: Part | None = None
        self.val_part: WholeBatches | None = None

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
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one step of one sample: (channels, H, W), or what a code makes of it."""
        return self.frames.shape(self.source.shape)

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of one step of each input; one, except where samples have several."""
        return (self.input_shape,)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs where samples have several; empty where they have one."""
        return ()

    @property
    def T(self) -> int:
        """Number of time steps."""
        return self.frames.steps

    @property
    def dt_us(self) -> float | None:
        """Length of a step in µs, where it is the same for all samples."""
        return self.frames.dt_us

    @property
    def max_counts(self) -> tuple[int | None, ...]:
        """The largest value of a cell of each input."""
        return (self.frames.max_count,)

    @property
    def digest(self) -> str:
        """SHA-256 of the samples (all splits), before binning and coding."""
        return self.source.digest

    def prepare_data(self) -> None:
        """Decode recordings into the cache, if they are not there yet."""
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Open the data."""
        self.source.prepare()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and random changes the next pass over the training data has."""
        self._epoch = int(epoch)
        if self._sampler is not None:
            self._sampler.set_epoch(self._epoch)

    def check_divisible(self, world: int) -> None:
        """Raise ParameterError if the batch size is no multiple of a number of processes."""
        if self.batch_size % world:
            below, above = self.batch_size // world * world, -(-self.batch_size // world) * world
            raise ParameterError(
                f"batch_size {self.batch_size} cannot be divided among {world} processes",
                why="batch_size is that of all processes together, and each takes the same number of samples",
                fix=f"--data.batch_size {f'{below} or {above}' if below else above}, or another number of devices",
            )

    def divide(self, rank: int, world: int, val_limit: int | float = 1.0) -> None:
        """Give the training and validation data to `world` processes, of which this is number `rank`; 1: to this one.

        Args:
            rank, world: which process of how many.
            val_limit: at most so many validation batches of all processes together, or this share of them.

        Raises:
            ParameterError: the batch size is no multiple of the number of processes.
        """
        self.check_divisible(world)
        self.train_part = self.val_part = None
        if world > 1:
            self.train_part = Part(rank, world, len(self.dataset("train")), self.batch_size)
            self.val_part = WholeBatches(rank, world, len(self.dataset("validation")), self.batch_size, val_limit)

    def dataset(self, split: str, augment: bool = False) -> FrameDataset:
        """The samples of "train", "validation" or "test"; with `augment`, as training sees them."""
        return self.source.dataset(split, self.frames, self.augment if augment else None, self.seed)

    def labels(self, split: str) -> NDArray[np.int64]:
        """The classes [n] of a split."""
        return self.source.labels(split)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, augmented training batches."""
        dataset = self.dataset("train", augment=True)
        self._sampler = EpochSampler(len(dataset), self.seed, part=self.train_part)
        self._sampler.set_epoch(self._epoch)
        return self._loader(dataset, self._sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation batches, in order."""
        return self._loader(self.dataset("validation"), self.val_part)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Test batches, in order."""
        return self._loader(self.dataset("test"))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The same as the test batches."""
        return self.test_dataloader()

    def _loader(
        self,
        dataset: FrameDataset | DrawnEvents,
        sampler: EpochSampler | WholeBatches | None = None,
        batches: Any = collate,
    ) -> DataLoader[Batch]:
        world = 1 if not isinstance(sampler, EpochSampler) or sampler.part is None else sampler.part.world
        order: dict[str, Any] = {"batch_size": self.batch_size // world, "sampler": sampler}
        if isinstance(sampler, WholeBatches):
            order = {"batch_sampler": sampler}
        return DataLoader(
            dataset,  # type: ignore[arg-type]
            **order,
            num_workers=self.num_workers,
            collate_fn=batches,
            # A loader draws a seed at every pass; with its own generator it leaves torch's (dropout, …) alone.
            generator=torch.Generator().manual_seed(self.seed % 2**63),
            persistent_workers=self.num_workers > 0,
        )

    def describe(self) -> dict[str, Any]:
        """What the data are and how they become frames, as JSON values: for a run's record and a descriptor."""
        return {
            "name": self.source.name,
            "digest": self.digest,
            "sensor_size": list(self.sensor_size),
            "classes": list(self.classes),
            "samples": {split: len(self.source.indices(split)) for split in SPLITS},
            "frames": self.frames.describe(self.seed),
            "channels": list(self.source.channels),
            **self.source.describe(),
        }


class EventDataModule(FrameDataModule):
    """Batches of event frames from an `EventSource`.

    Args:
        source: the data set.
        batch_size: samples per batch, in all loaders.
        T: number of bins (time steps).
        by: "time" or "count"; see `snnkit.data.to_frames`.
        binary: cells are 0/1 instead of counts; None: as `representation` says.
        window_us: the window that is cut into T bins, from the recording's time 0; None: the data set's nominal length.
        augment: random changes of training samples; None for none.
        num_workers: loader processes.
        seed: seed of order, augmentation and a random code.
        encoding: send each bin's counts in this code: a bin becomes `encoding.T` steps; None: the frames themselves.
        full_count: with a code, the count that the value 1 stands for; larger ones are 1 as well.
        grid: events are counted in grid × grid cells instead of pixels; None: pixels.
        representation: what a cell holds: "binary" (the default), "counts", "voxel" or "time_surface"
            (`snnkit.data.representation`); `binary` is short for the first two.
        tau_us: the time surface's time constant in µs.
        frames_on: "loader": workers augment and bin; "device": `train_dataloader` gives `EventBatch`es, and a trainer
            augments and bins them on the model's device. Both give the same frames; the device pays on a GPU.
    """

    source: EventSource

    def __init__(
        self,
        source: EventSource,
        batch_size: int = 32,
        T: int = 10,
        by: By = "time",
        binary: bool | None = None,
        window_us: int | None = None,
        augment: Augment | SeriesAugment | None = None,
        num_workers: int = 0,
        seed: int = 0,
        encoding: Encoder | None = None,
        full_count: int = 1,
        grid: int | None = None,
        representation: Representation | None = None,
        tau_us: int = TAU_US,
        frames_on: Literal["loader", "device"] = "loader",
    ) -> None:
        window = window_us if window_us is not None else source.window_us
        settings = FrameSettings(T, by, binary, window, encoding, full_count, grid, representation, tau_us)
        if frames_on == "device" and encoding is not None:
            raise ParameterError("frames_on is 'device' with a code", fix="codes are sent in the loader: leave it out")
        super().__init__(source, settings, batch_size, augment, num_workers, seed)
        self.frames_on = frames_on

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, augmented training batches; `EventBatch`es where frames are made on the device."""
        if self.frames_on == "loader":
            return super().train_dataloader()
        dataset = self.dataset("train", augment=True)
        assert isinstance(dataset, EventDataset)
        self._sampler = EpochSampler(len(dataset), self.seed, part=self.train_part)
        self._sampler.set_epoch(self._epoch)
        return self._loader(DrawnEvents(dataset), self._sampler, collate_events)

    def on_after_batch_transfer(self, batch: Batch | EventBatch, dataloader_idx: int) -> Batch:
        """Frames of an `EventBatch`, on its device; other batches as they are."""
        if not isinstance(batch, EventBatch):
            return batch
        rest = int(self.augment.refractory_us) if isinstance(self.augment, Augment) else 0
        with torch.no_grad():
            events = apply_draws(batch, self.sensor_size, rest)
            x = frames(events, self.frames, self.sensor_size, len(self.source.channels))
        return Batch(x.contiguous(), batch.labels, None)

    def stream(self, split: str, index: int) -> EventStream:
        """One recording of a split, as events."""
        return self.source.store.stream(int(self.source.indices(split)[index]))
