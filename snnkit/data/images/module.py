"""MNIST, FashionMNIST and CIFAR-10 as LightningDataModules."""

from __future__ import annotations

from typing import ClassVar

from snnkit.data.frame_settings import FrameSettings
from snnkit.data.images.source import FULL, CIFAR10Source, FashionMNISTSource, ImageSource, MNISTSource
from snnkit.data.module import FrameDataModule
from snnkit.encoding import Encoder


class ImageSet(FrameDataModule):
    """Still images sent in a code; each data set is a sub-class.

    Args:
        root: the folder given to torchvision.
        encoding: the code that sends the pixels, such as `snnkit.encoding.Latency(T=8)`; a pixel's value is its
            brightness, 0 … 1.
        batch_size: samples per batch.
        num_workers: loader processes.
        seed: seed of training order and of a random code.
        subset: use only this many training images, the other parts in proportion.
        download: let torchvision download the data.
    """

    make: ClassVar[type[ImageSource]]

    def __init__(
        self,
        root: str,
        encoding: Encoder,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        subset: int | None = None,
        download: bool = False,
    ) -> None:
        frames = FrameSettings(T=1, binary=encoding.binary, encoding=encoding, full_count=FULL)
        super().__init__(self.make(root, subset, download), frames, batch_size, None, num_workers, seed)


class MNIST(ImageSet):
    """MNIST digits, 28×28, 54 000 + 6000 + 10 000 (LeCun et al. 1998, doi:10.1109/5.726791); see `ImageSet`."""

    make = MNISTSource


class FashionMNIST(ImageSet):
    """Fashion-MNIST, 28×28, 54 000 + 6000 + 10 000 (Xiao et al. 2017, arXiv:1708.07747); see `ImageSet`."""

    make = FashionMNISTSource


class CIFAR10(ImageSet):
    """CIFAR-10, 3×32×32, 45 000 + 5000 + 10 000 (Krizhevsky 2009); see `ImageSet`."""

    make = CIFAR10Source
