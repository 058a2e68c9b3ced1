"""MNIST, FashionMNIST and CIFAR-10 as still images, read by torchvision, with a fixed validation part."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment
from snnkit.data.augment_series import SeriesAugment
from snnkit.data.dataset import ImageDataset
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.source import Source
from snnkit.data.splits import divide, shrink_splits
from snnkit.errors import DataError, MissingPackageError, ParameterError

FULL = 255
"""The brightness of white."""


class ImageSource(Source):
    """A data set of torchvision as counts of brightness, 0 … 255; official test part, a drawn tenth for validation.

    The draw is `snnkit.data.splits.stratified_draw` with seed 0 over the names "00000", "00001", … of the images in
    their official order.

    Args:
        root: the folder given to torchvision.
        subset: use only so many training images (stratified), with validation and test in proportion.
        download: let torchvision download the data, which checks their digests.

    Raises:
        DataError: the images are not there or are damaged.
    """

    torchvision: ClassVar[str]

    def __init__(self, root: str | os.PathLike[str], subset: int | None = None, download: bool = False) -> None:
        super().__init__()
        self.root, self.subset, self.download = Path(root), subset, download
        self._images: NDArray[np.uint8] | None = None
        self._labels, self._digest = np.zeros(0, np.int64), ""

    def prepare(self) -> None:
        """Read the images, if they are not there yet."""
        if self._images is not None:
            return
        parts = [self._read(train) for train in (True, False)]
        images = np.concatenate([p[0] for p in parts])
        self._labels = np.concatenate([p[1] for p in parts])
        n = len(parts[0][1])
        names = [f"{i:05d}" for i in range(len(images))]
        splits = divide(["train"] * n + ["test"] * (len(images) - n), names, self._labels)
        self._splits = splits if self.subset is None else shrink_splits(splits, names, self._labels, self.subset)
        self._digest = hashlib.sha256(images.tobytes() + self._labels.astype(np.uint8).tobytes()).hexdigest()
        self._images = images

    def _read(self, train: bool) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        from snnkit._compat import prepare_torchvision

        prepare_torchvision()
        try:
            from torchvision import datasets
        except ImportError as error:
            raise MissingPackageError(
                f"{self.name} needs torchvision ({error})", fix="pip install torchvision"
            ) from error
        try:
            data: Any = getattr(datasets, self.torchvision)(str(self.root), train=train, download=self.download)
        except Exception as error:  # torchvision raises whatever the network or the damage leads to
            raise DataError(
                f"{self.root}: {self.torchvision} cannot be read ({type(error).__name__}: {error})",
                fix="give the folder that torchvision downloaded to, or use download=True",
            ) from error
        images = np.asarray(data.data, np.uint8)
        images = images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        wanted = (len(self.channels), *reversed(self.sensor_size))
        if images.shape[1:] != wanted:
            raise DataError(f"{self.root}: images of shape {images.shape[1:]}", fix=f"{self.name} has {wanted}")
        return images, np.asarray(data.targets, np.int64)

    @property
    def digest(self) -> str:
        """SHA-256 over the images (uint8, training part first) and their classes (uint8)."""
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


class MNISTSource(ImageSource):
    """MNIST: handwritten digits, 28×28 (LeCun et al. 1998, doi:10.1109/5.726791)."""

    name, torchvision = "mnist", "MNIST"
    sensor_size, channels = (28, 28), ("brightness",)
    classes = tuple("0123456789")


class FashionMNISTSource(ImageSource):
    """Fashion-MNIST: clothes, 28×28 (Xiao et al. 2017, arXiv:1708.07747)."""

    name, torchvision = "fashion-mnist", "FashionMNIST"
    sensor_size, channels = (28, 28), ("brightness",)
    classes = (
        "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip


class CIFAR10Source(ImageSource):
    """CIFAR-10: colour photographs, 32×32 (Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images)."""

    name, torchvision = "cifar10", "CIFAR10"
    sensor_size, channels = (32, 32), ("red", "green", "blue")
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
