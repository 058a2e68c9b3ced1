"""Digits as a LightningDataModule."""

from __future__ import annotations

from snnkit.data.digits.source import FULL, DigitsSource
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.module import FrameDataModule
from snnkit.encoding import Encoder


class Digits(FrameDataModule):
    """scikit-learn's handwritten digits, 8×8 pixels, ten classes, sent in a code: still images that need no download.

    1257 training, 180 validation and 360 test images; a pixel's value is its brightness, 0 … 1.

    Args:
        encoding: the code that sends the pixels, such as `snnkit.encoding.Latency(T=8)`.
        batch_size: samples per batch.
        num_workers: loader processes.
        seed: seed of training order and of a random code. Training images are drawn anew in every epoch.
        subset: use only this many training images, the other parts in proportion.
    """

    def __init__(
        self,
        encoding: Encoder,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        subset: int | None = None,
    ) -> None:
        frames = FrameSettings(T=1, binary=encoding.binary, encoding=encoding, full_count=FULL)
        super().__init__(DigitsSource(subset), frames, batch_size, None, num_workers, seed)
