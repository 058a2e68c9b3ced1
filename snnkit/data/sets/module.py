"""The LightningDataModules of published sets: one for cameras, one for one-dimensional sensors."""

from __future__ import annotations

from typing import ClassVar

from snnkit.data.augment import Augment
from snnkit.data.augment_series import SeriesAugment
from snnkit.data.binning import By
from snnkit.data.module import EventDataModule
from snnkit.data.sets.source import SetSource
from snnkit.encoding import Encoder


class CameraSet(EventDataModule):
    """A published set of event camera recordings; each data set is a sub-class that names its source.

    Args:
        root: the folder or archive, as the data set's class says.
        batch_size: samples per batch.
        T: number of bins (time steps).
        by: bins of equal "time" or of equal event "count".
        binary: cells are 0/1 instead of counts.
        window_us: the window that is cut into T bins; None: the data set's nominal length, or each recording's own.
        augment: random changes of training samples.
        num_workers: loader processes.
        seed: seed of training order and augmentation.
        validation: how many training recordings to select on, where the data come without a validation part; None: a
            tenth.
        subset: use only this many training recordings, the other parts in proportion.
        download: let tonic download the data below `root`.
        check: compare official archives with their published digests.
        cache_dir: where decoded recordings are kept; None: $SNNKIT_CACHE or ~/.cache/snnkit.
        progress: show a progress bar while recordings are decoded.
        encoding: send each bin's counts in this code, `encoding.T` steps a bin; None: the frames themselves.
        full_count: with a code, the count that the value 1 stands for.
        grid: events are counted in grid × grid cells instead of pixels.
    """

    make: ClassVar[type[SetSource]]

    def __init__(
        self,
        root: str,
        batch_size: int = 32,
        T: int = 10,
        by: By = "time",
        binary: bool = True,
        window_us: int | None = None,
        augment: Augment | None = None,
        num_workers: int = 0,
        seed: int = 0,
        validation: int | None = None,
        subset: int | None = None,
        download: bool = False,
        check: bool = True,
        cache_dir: str | None = None,
        progress: bool = True,
        encoding: Encoder | None = None,
        full_count: int = 1,
        grid: int | None = None,
    ) -> None:
        source = self.make(root, validation, subset, download, check, cache_dir, progress)
        super().__init__(
            source, batch_size, T, by, binary, window_us, augment, num_workers, seed, encoding, full_count, grid
        )


class SeriesSet(EventDataModule):
    """A published set of one-dimensional recordings (sound, touch); each data set is a sub-class.

    Args:
        root: the folder, archive or file, as the data set's class says.
        batch_size: samples per batch.
        T: number of bins (time steps).
        by: bins of equal "time" or of equal event "count".
        binary: cells are 0/1 instead of counts.
        window_us: the window that is cut into T bins; None: the data set's nominal length, or each recording's own.
        augment: random changes of training samples.
        num_workers: loader processes.
        seed: seed of training order and augmentation.
        validation: how many training recordings to select on, where the data come without a validation part; None: a
            tenth.
        subset: use only this many training recordings, the other parts in proportion.
        download: let tonic download the data below `root`.
        check: compare official archives with their published digests.
        cache_dir: where decoded recordings are kept; None: $SNNKIT_CACHE or ~/.cache/snnkit.
        progress: show a progress bar while recordings are decoded.
        encoding: send each bin's counts in this code, `encoding.T` steps a bin; None: the frames themselves.
        full_count: with a code, the count that the value 1 stands for.
    """

    make: ClassVar[type[SetSource]]

    def __init__(
        self,
        root: str,
        batch_size: int = 32,
        T: int = 100,
        by: By = "time",
        binary: bool = True,
        window_us: int | None = None,
        augment: SeriesAugment | None = None,
        num_workers: int = 0,
        seed: int = 0,
        validation: int | None = None,
        subset: int | None = None,
        download: bool = False,
        check: bool = True,
        cache_dir: str | None = None,
        progress: bool = True,
        encoding: Encoder | None = None,
        full_count: int = 1,
    ) -> None:
        source = self.make(root, validation, subset, download, check, cache_dir, progress)
        super().__init__(source, batch_size, T, by, binary, window_us, augment, num_workers, seed, encoding, full_count)
