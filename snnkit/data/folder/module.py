"""EventFolder: a folder of recordings as a LightningDataModule."""

from __future__ import annotations

from snnkit.data.augment import Augment
from snnkit.data.binning import By
from snnkit.data.folder.source import EventFolderSource
from snnkit.data.module import EventDataModule
from snnkit.encoding import Encoder


class EventFolder(EventDataModule):
    """Your own recordings: a folder for each class, in any format that `snnkit.data.files` reads.

    `root/CLASS/…`, or `root/train/CLASS/…` with `root/test/CLASS/…` and, if you have one, `root/validation/CLASS/…`.
    A folder without parts is divided once and for all; see `EventFolderSource` for how, and for what is an error.

    Args:
        root: the folder.
        batch_size: samples per batch.
        T: number of bins (time steps).
        by: bins of equal "time" or of equal event "count".
        binary: cells are 0/1 instead of counts.
        window_us: the window, from a recording's first event, that is cut into T bins; later events go to the last bin.
            None: each recording's own length.
        augment: random changes of training samples.
        num_workers: loader processes.
        seed: seed of training order and augmentation; not of the parts.
        sensor_size: (width, height) of all recordings; None: what the files state, or the smallest that holds them.
        pattern: only files whose name matches, such as "*.raw".
        skip_corrupt: leave out files that cannot be read, and list them in the run's record.
        sort: sort the events of recordings whose time runs back.
        test, validation: shares of the parts that are drawn.
        split_seed: seed of that draw.
        subset: use only this many training recordings, the other parts in proportion.
        cache_dir: where decoded recordings are kept; None: $SNNKIT_CACHE or ~/.cache/snnkit.
        progress: show a progress bar while recordings are decoded.
        encoding: send each bin's counts in this code, `encoding.T` steps a bin; None: the frames themselves.
        full_count: with a code, the count that the value 1 stands for.
        grid: events are counted in grid × grid cells instead of pixels.
    """

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
        sensor_size: tuple[int, int] | None = None,
        pattern: str = "*",
        skip_corrupt: bool = False,
        sort: bool = False,
        test: float = 0.2,
        validation: float = 0.1,
        split_seed: int = 0,
        subset: int | None = None,
        cache_dir: str | None = None,
        progress: bool = True,
        encoding: Encoder | None = None,
        full_count: int = 1,
        grid: int | None = None,
    ) -> None:
        source = EventFolderSource(
            root, sensor_size, pattern, skip_corrupt, sort, test, validation, split_seed, subset, cache_dir, progress
        )
        super().__init__(
            source, batch_size, T, by, binary, window_us, augment, num_workers, seed, encoding, full_count, grid
        )
