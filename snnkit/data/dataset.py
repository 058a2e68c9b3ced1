"""Recordings and images as samples: (frames, class), the same for any number of workers and after a resume.

Everything random about a training sample derives from (seed, epoch, index) and nothing else. The sampler yields
(epoch, index) pairs, so a worker process knows the epoch without being told. Nothing here needs torch, except samples
that are sent in a code of `snnkit.encoding`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment
from snnkit.data.augment_series import SeriesAugment
from snnkit.data.binning import By, check_bin_settings, to_cells
from snnkit.data.changes import Changes, Columns, apply_changes, draw_changes, mixed
from snnkit.data.part import Part
from snnkit.data.representation import TAU_US, Representation, cells_from_columns, check_tau, choose
from snnkit.data.retake import Retake
from snnkit.data.store import EventStore
from snnkit.errors import ParameterError

if TYPE_CHECKING:
    from snnkit.encoding import Encoder

_ORDER, _SAMPLE, _CODE, _MIX, _TAKE = 0, 1, 2, 3, 4


def keyed_rng(seed: int, stream: int, epoch: int, index: int = 0) -> np.random.Generator:
    """An independent random generator for (seed, stream, epoch, index): Philox, Salmon et al. 2011,
    doi:10.1145/2063384.2063405."""
    words = [0, stream, epoch, index]
    return np.random.Generator(np.random.Philox(counter=words, key=[seed % 2**64, 0]))


@dataclass(frozen=True)
class FrameSettings:
    """How a sample becomes frames.

    A recording is binned to T frames `[2, H, W]` (see `snnkit.data.binning.to_frames`), whose cells hold what
    `snnkit.data.representation` defines; a still image is one frame of counts. With a code, each count c becomes the
    value min(c / full_count, 1), and each frame becomes `encoding.T` steps of spikes of these values:
    `[T · encoding.T, …]`.

    Args:
        T: number of bins.
        by: "time" or "count".
        binary: cells are 0/1 instead of counts; with a code, the code decides. Short for a representation "binary" or
            "counts", and afterwards whether it is "binary".
        window_us: the window that is cut into T bins; None: the whole recording.
        encoding: the code; None: the frames themselves.
        full_count: the count that the value 1 stands for.
        grid: events are counted in grid × grid cells instead of pixels, in cell ⌊x · grid / width⌋ of each row; None:
            pixels.
        representation: "binary" (the default), "counts", "voxel" or "time_surface".
        tau_us: the time surface's time constant.
    """

    T: int = 10
    by: By = "time"
    binary: bool | None = None
    window_us: int | None = None
    encoding: Encoder | None = None
    full_count: int = 1
    grid: int | None = None
    representation: Representation | None = None
    tau_us: int = TAU_US

    def __post_init__(self) -> None:
        check_bin_settings(self.T, self.by, self.window_us)
        kind = choose(self.representation, self.binary)
        object.__setattr__(self, "representation", kind)
        object.__setattr__(self, "binary", kind == "binary")
        check_tau(self.tau_us)
        if self.encoding is not None and not self.countable:
            raise ParameterError(
                f"representation is {kind!r} with a code", why="a code sends counts", fix="leave representation out"
            )
        if self.grid is not None and self.grid < 1:
            raise ParameterError(f"grid is {self.grid}", fix="give at least 1 cell, or null for pixels")
        if self.full_count < 1:
            raise ParameterError(f"full_count is {self.full_count}", fix="give the count that the value 1 stands for")

    @property
    def steps(self) -> int:
        """Steps of a sample's frames."""
        return self.T if self.encoding is None else self.T * self.encoding.T

    @property
    def dt_us(self) -> float | None:
        """Length of a step in µs, where it is the same for all recordings."""
        return None if self.window_us is None or self.by != "time" else self.window_us / self.steps

    @property
    def countable(self) -> bool:
        """Whether cells hold whole numbers; others no chip takes."""
        return self.representation in ("binary", "counts")

    @property
    def max_count(self) -> int | None:
        """The largest value of a cell: 1, or 255 where frames are not binary; None for real numbers."""
        if not self.countable:
            return None
        return 1 if (self.binary if self.encoding is None else self.encoding.binary) else 255

    def cells(self, columns: Columns, sensor_size: tuple[int, int]) -> NDArray[np.float32]:
        """The frames `[T, 2, H, W]` of a recording's columns; with a code, the counts that it sends."""
        t, x, y, p = columns
        if self.grid is not None:
            (x, y), sensor_size = to_cells(x, y, sensor_size, self.grid), (self.grid, self.grid)
        kind: Representation = "counts" if self.encoding is not None else choose(self.representation, None)
        return cells_from_columns(t, x, y, p, sensor_size, self.T, self.by, kind, self.window_us, self.tau_us)

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one step's frame for samples of this shape."""
        shape = tuple(shape) if self.grid is None else (*shape[:-2], self.grid, self.grid)
        return shape if self.encoding is None else self.encoding.output_shape(shape)

    def encode(self, counts: NDArray[np.number], seed: int, epoch: int, index: int) -> NDArray[np.float32]:
        """Frames of counts `[T, …]`. What a random code draws derives from (seed, epoch, index) alone."""
        if self.encoding is None:
            return np.asarray(counts, np.float32)
        import torch

        values = np.minimum(np.asarray(counts, np.float32) / self.full_count, np.float32(1))
        key = int(keyed_rng(seed, _CODE, epoch, index).integers(1 << 63))
        with torch.no_grad():
            spikes = self.encoding(torch.from_numpy(values), torch.Generator().manual_seed(key))
        return np.ascontiguousarray(spikes.transpose(0, 1).flatten(0, 1).numpy())

    def describe(self, seed: int) -> dict[str, Any]:
        """The settings as JSON values, with the seed of a code's draws; `from_description` reads them."""
        plain: dict[str, Any] = {"T": self.T, "by": self.by, "binary": self.binary, "window_us": self.window_us}
        if self.grid is not None:
            plain["grid"] = self.grid
        if not self.countable:
            plain["representation"] = self.representation
        if self.representation == "time_surface":
            plain["tau_us"] = self.tau_us
        if self.encoding is not None:
            from snnkit.encoding import describe

            plain |= {"full_count": self.full_count, "encoding": describe(self.encoding), "seed": seed}
        return plain

    @classmethod
    def from_description(cls, plain: Mapping[str, Any]) -> FrameSettings:
        """The settings that `describe` gave; only a code needs torch.

        Raises:
            ParameterError: values of no use, or a code that is not snnkit's own.
        """
        settings = cls(
            plain["T"],
            plain["by"],
            plain["binary"],
            plain["window_us"],
            grid=plain.get("grid"),
            representation=plain.get("representation"),
            tau_us=plain.get("tau_us", TAU_US),
        )
        if plain.get("encoding") is None:
            return settings
        from snnkit.encoding import from_description

        return replace(settings, encoding=from_description(plain["encoding"]), full_count=plain["full_count"])


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
            rng = keyed_rng(self.seed, _SAMPLE, epoch, index)
            return self.augment.apply(columns, self.store.sensor_size, rng), None
        if self.augment.mix:
            rng = keyed_rng(self.seed, _MIX, epoch, index)
            other = int(self.indices[rng.integers(len(self))])
            columns = mixed(columns, self.store.columns(other), self.augment.mix * rng.random(), rng)
        rng = keyed_rng(self.seed, _SAMPLE, epoch, index)
        return columns, draw_changes(self.augment, columns[0], self.store.sensor_size, rng)

    def _taken(self, retake: Retake | None, columns: Columns, index: int, epoch: int) -> Columns:
        if retake is None or self.takes is None:
            return columns
        k = int(keyed_rng(self.seed, _TAKE, epoch, index).integers(retake.count + 1))
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


class EpochSampler:
    """Yields (epoch, index) pairs; shuffled by (seed, epoch), or in order.

    `set_epoch(e)` takes effect at the next `iter`; Lightning calls it by itself, also after a resume. With a `Part` it
    gives the samples of one process: together, the processes' batches are those of a sampler without it.
    """

    def __init__(self, n: int, seed: int, shuffle: bool = True, part: Part | None = None) -> None:
        self.n, self.seed, self.shuffle, self.part, self.epoch = n, seed, shuffle, part, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass belongs to."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return self.n if self.part is None else len(self.part)

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        order = keyed_rng(self.seed, _ORDER, epoch).permutation(self.n) if self.shuffle else np.arange(self.n)
        pairs = [(epoch, int(i)) for i in order]
        return iter(pairs if self.part is None else self.part.of(pairs))
