"""FSDD as a LightningDataModule."""

from __future__ import annotations

from snnkit.data.augment_series import SeriesAugment
from snnkit.data.binning import By
from snnkit.data.fsdd.cochlea import Cochlea
from snnkit.data.fsdd.source import FSDDSource
from snnkit.data.module import EventDataModule
from snnkit.encoding import Encoder


class FSDD(EventDataModule):
    """Spoken digits, ten classes, six speakers, as events of a cochlea-like encoder (`snnkit.data.fsdd.cochlea`).

    Args:
        root: a folder of WAV files digit_speaker_index.wav, or with train.zip and test.zip (or valid.zip, which then is
            the test part).
        batch_size: samples per batch.
        T: number of bins (time steps).
        by: bins of equal "time" or of equal event "count".
        binary: cells are 0/1 instead of counts.
        window_us: the window that is cut into T bins; None: 700 000 µs.
        augment: random changes of training samples.
        num_workers: loader processes.
        seed: seed of training order and augmentation.
        validation: how many training recordings to select on; None: a tenth.
        subset: use only this many training recordings, the other parts in proportion.
        cache_dir: where encoded recordings are kept; None: $SNNKIT_CACHE or ~/.cache/snnkit.
        progress: show a progress bar while recordings are encoded.
        encoding: send each bin's counts in this code, `encoding.T` steps a bin; None: the frames themselves.
        full_count: with a code, the count that the value 1 stands for.
        cochlea: settings of the encoder.
    """

    def __init__(
        self,
        root: str,
        batch_size: int = 32,
        T: int = 70,
        by: By = "time",
        binary: bool = True,
        window_us: int | None = None,
        augment: SeriesAugment | None = None,
        num_workers: int = 0,
        seed: int = 0,
        validation: int | None = None,
        subset: int | None = None,
        cache_dir: str | None = None,
        progress: bool = True,
        encoding: Encoder | None = None,
        full_count: int = 1,
        cochlea: Cochlea | None = None,
    ) -> None:
        source = FSDDSource(root, validation, subset, cache_dir=cache_dir, progress=progress, cochlea=cochlea)
        super().__init__(source, batch_size, T, by, binary, window_us, augment, num_workers, seed, encoding, full_count)
