"""SaccadeDigits as a LightningDataModule."""

from __future__ import annotations

from typing import Literal

from snnkit.data.augment import Augment
from snnkit.data.binning import By
from snnkit.data.module import EventDataModule
from snnkit.data.representation import TAU_US, Representation
from snnkit.data.saccade_digits.source import SaccadeDigitsSource
from snnkit.encoding import Encoder


class SaccadeDigits(EventDataModule):
    """SIMULATED recordings of scikit-learn's digits, 34×34 pixels, ten classes: the default that needs no download.

    1257 training, 180 validation and 360 test recordings of 315 ms with about 4000 events each; made in seconds at
    first use and then kept in the cache. How they are simulated: `snnkit.data.saccade_digits.motion` and `.sensor`.

    Args:
        batch_size: samples per batch.
        T: number of bins (time steps).
        by: bins of equal "time" or of equal event "count".
        binary: cells are 0/1 instead of counts; None: as `representation` says.
        window_us: the window that is cut into T bins; None: 315 000 µs, the whole recording.
        augment: random changes of training samples.
        num_workers: loader processes.
        seed: seed of training order and augmentation.
        data_seed: seed of the simulated sensor; the splits do not depend on it.
        subset: use only this many training recordings, the other parts in proportion (only those are simulated).
        cache_dir: where recordings are kept; None: $SNNKIT_CACHE or ~/.cache/snnkit.
        progress: show a progress bar while recordings are made.
        encoding: send each bin's counts in this code, `encoding.T` steps a bin; None: the frames themselves.
        full_count: with a code, the count that the value 1 stands for.
        grid: events are counted in grid × grid cells instead of pixels.
        representation: what a cell holds: "binary" (the default), "counts", "voxel" or "time_surface".
        tau_us: the time surface's time constant in µs.
        frames_on: "loader", or "device": a trainer augments and bins on the model's device.
        varied: this many training recordings under sensors and scenes that differ and resemble N-MNIST's; None: each
            digit once, one sensor.
    """

    def __init__(
        self,
        batch_size: int = 32,
        T: int = 10,
        by: By = "time",
        binary: bool | None = None,
        window_us: int | None = None,
        augment: Augment | None = None,
        num_workers: int = 0,
        seed: int = 0,
        data_seed: int = 0,
        subset: int | None = None,
        cache_dir: str | None = None,
        progress: bool = True,
        encoding: Encoder | None = None,
        full_count: int = 1,
        grid: int | None = None,
        representation: Representation | None = None,
        tau_us: int = TAU_US,
        frames_on: Literal["loader", "device"] = "loader",
        varied: int | None = None,
    ) -> None:
        source = SaccadeDigitsSource(data_seed, subset, cache_dir, progress, varied)
        super().__init__(
            source, batch_size, T, by, binary, window_us, augment, num_workers, seed, encoding, full_count, grid,
            representation, tau_us, frames_on,
        )  # fmt: skip
