"""scikit-learn's digits as still images: no file of their own, the splits of SaccadeDigits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment
from snnkit.data.augment_series import SeriesAugment
from snnkit.data.dataset import ImageDataset
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.saccade_digits.source import committed_splits, load_images
from snnkit.data.source import SPLITS, Source
from snnkit.data.splits import shrink_splits
from snnkit.errors import ParameterError

FULL = 16
"""The brightness of white."""


class DigitsSource(Source):
    """scikit-learn's 1797 handwritten digits, 8×8 pixels, brightness 0 … 16: 1257 training, 180 validation, 360 test.

    The split is the committed, stratified one of `SaccadeDigits`, whose recordings are made of the same images.
    Source: "Optical Recognition of Handwritten Digits", UCI, doi:10.24432/C50P49; the part that scikit-learn ships.

    Args:
        subset: use only this many training images (stratified), with validation and test in proportion.
    """

    name = "digits"
    sensor_size = (8, 8)
    channels = ("brightness",)
    classes = tuple("0123456789")

    def __init__(self, subset: int | None = None) -> None:
        super().__init__()
        self.subset = subset
        self._images: NDArray[np.uint8] | None = None
        self._digest, self._labels = "", np.zeros(0, np.int64)

    def prepare(self) -> None:
        """Read the images, if they are not there yet.

        Raises:
            DataError: scikit-learn ships other images than the ones that were divided.
        """
        if self._images is not None:
            return
        committed = committed_splits()
        images, labels = load_images(committed["images_sha256"])
        splits: dict[str, NDArray[np.int64]] = {s: np.array(committed[s], np.int64) for s in SPLITS}
        self._labels = labels.astype(np.int64)
        if self.subset is not None:
            splits = shrink_splits(splits, [f"{i:04d}" for i in range(len(labels))], self._labels, self.subset)
        self._splits, self._digest = splits, committed["images_sha256"]
        self._images = images[:, None]

    @property
    def digest(self) -> str:
        """SHA-256 over the images (uint8) and their classes (uint8)."""
        self.prepare()
        return self._digest

    def labels(self, split: str) -> NDArray[np.int64]:
        """The classes [n] of a split."""
        return self._labels[self.indices(split)]

    def dataset(
        self, split: str, frames: FrameSettings, augment: Augment | SeriesAugment | None = None, seed: int = 0
    ) -> ImageDataset:
        """The images of one split; there is no augmentation of still images."""
        if augment is not None:
            raise ParameterError("augment is given for still images", fix="leave it out; it is for events")
        indices = self.indices(split)
        assert self._images is not None
        return ImageDataset(self._images, self._labels, indices, frames, seed)
