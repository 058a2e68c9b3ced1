"""N-MNIST as a LightningDataModule."""

from __future__ import annotations

from typing import Literal

from snnkit.data.augment import Augment
from snnkit.data.binning import By
from snnkit.data.module import EventDataModule
from snnkit.data.nmnist.source import NMNISTSource
from snnkit.data.representation import TAU_US, Representation
from snnkit.encoding import Encoder


class NMNIST(EventDataModule):
    """Real recordings of MNIST digits, 34×34 pixels, ten classes (Orchard et al. 2015, doi:10.3389/fnins.2015.00437).

    Args:
        root: a folder with Train/<digit>/*.bin and Test/<digit>/*.bin, the folder given to tonic, a folder with
            train.zip and test.zip, one with train.zip and valid.zip (then valid.zip is the test set), or a zip of them.
        batch_size: samples per batch.
        T: number of bins (time steps).
        by: bins of equal "time" or of equal event "count".
        binary: cells are 0/1 instead of counts; None: as `representation` says.
        window_us: the window that is cut into T bins; None: 315 000 µs, three saccades of 105 ms.
        augment: random changes of training samples; `Augment.nmnist()` has ranges that work.
        num_workers: loader processes.
        seed: seed of training order and augmentation.
        validation: how many training recordings to select on; None: a tenth, at least 100 where possible.
        subset: use only this many training recordings, the other parts in proportion.
        few: learn from this many training recordings only, `validation` among them; the test part stays whole.
        download: let tonic download the data if they are not at `root`.
        cache_dir: where decoded recordings are kept; None: $SNNKIT_CACHE or ~/.cache/snnkit.
        progress: show a progress bar while recordings are decoded.
        encoding: send each bin's counts in this code, `encoding.T` steps a bin; None: the frames themselves.
        full_count: with a code, the count that the value 1 stands for.
        grid: events are counted in grid × grid cells instead of pixels.
        representation: what a cell holds: "binary" (the default), "counts", "voxel" or "time_surface".
        tau_us: the time surface's time constant in µs.
        frames_on: "loader", or "device": a trainer augments and bins on the model's device.
    """

    def __init__(
        self,
        root: str,
        batch_size: int = 32,
        T: int = 10,
        by: By = "time",
        binary: bool | None = None,
        window_us: int | None = None,
        augment: Augment | None = None,
        num_workers: int = 0,
        seed: int = 0,
        validation: int | None = None,
        subset: int | None = None,
        download: bool = False,
        cache_dir: str | None = None,
        progress: bool = True,
        encoding: Encoder | None = None,
        full_count: int = 1,
        grid: int | None = None,
        representation: Representation | None = None,
        tau_us: int = TAU_US,
        frames_on: Literal["loader", "device"] = "loader",
        few: int | None = None,
    ) -> None:
        source = NMNISTSource(
            root, validation=validation, subset=subset, download=download, cache_dir=cache_dir, progress=progress,
            few=few,
        )  # fmt: skip
        super().__init__(
            source, batch_size, T, by, binary, window_us, augment, num_workers, seed, encoding, full_count, grid,
            representation, tau_us, frames_on,
        )  # fmt: skip
