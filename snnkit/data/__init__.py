"""Event data: streams, files, frames, data sets.

Names load when first used: LightningDataModules (`EventFolder`, `NMNIST`, `SHD`, …) bring torch and lightning, the rest
needs numpy only. `EventFolder` takes your own recordings, a folder for each class.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "EVENT_DTYPE": "events",
    "EventStream": "events",
    "Augment": "augment",
    "to_frames": "binning",
    "Batch": "batch",
    "collate": "batch",
    "EventDataset": "dataset",
    "EpochSampler": "draws",
    "FrameSettings": "frame_settings",
    "FrameDataset": "dataset",
    "ImageDataset": "dataset",
    "Source": "source",
    "EventSource": "source",
    "FrameDataModule": "module",
    "EventDataModule": "module",
    "Braille": "braille.module",
    "BrailleSource": "braille.source",
    "Cochlea": "fsdd.cochlea",
    "Digits": "digits.module",
    "DigitsSource": "digits.source",
    "FollowDigit": "follow_digit.module",
    "FollowDigitSource": "follow_digit.windows",
    "EventFolder": "folder.module",
    "EventFolderSource": "folder.source",
    "FSDD": "fsdd.module",
    "FSDDSource": "fsdd.source",
    "NMNIST": "nmnist.module",
    "NMNISTSource": "nmnist.source",
    "Paired": "paired.module",
    "PairedSource": "paired.source",
    "Pulse": "pulse.module",
    "PulseSource": "pulse.windows",
    "SaccadeDigits": "saccade_digits.module",
    "SaccadeDigitsSource": "saccade_digits.source",
    "Retake": "retake",
    "SeriesAugment": "augment_series",
    "ASLDVS": "sets.modules",
    "CIFAR10": "images.module",
    "CIFAR10DVS": "sets.modules",
    "DVSGesture": "sets.modules",
    "DVSLip": "sets.modules",
    "FashionMNIST": "images.module",
    "MNIST": "images.module",
    "NCaltech101": "sets.modules",
    "NTIDIGITS": "sets.modules",
    "SHD": "sets.modules",
    "SSC": "sets.modules",
    "STMNIST": "sets.modules",
    "describe_recording": "inspect",
    "open_source": "catalog",
    "send_on_delta": "delta",
    "read_atis": "files.atis",
    "write_atis": "files.atis",
}

__all__ = [
    "ASLDVS",
    "CIFAR10",
    "CIFAR10DVS",
    "EVENT_DTYPE",
    "FSDD",
    "MNIST",
    "NMNIST",
    "NTIDIGITS",
    "SHD",
    "SSC",
    "STMNIST",
    "Augment",
    "Batch",
    "Braille",
    "BrailleSource",
    "Cochlea",
    "DVSGesture",
    "DVSLip",
    "Digits",
    "DigitsSource",
    "EpochSampler",
    "EventDataModule",
    "EventDataset",
    "EventFolder",
    "EventFolderSource",
    "EventSource",
    "EventStream",
    "FSDDSource",
    "FashionMNIST",
    "FollowDigit",
    "FollowDigitSource",
    "FrameDataModule",
    "FrameDataset",
    "FrameSettings",
    "ImageDataset",
    "NCaltech101",
    "NMNISTSource",
    "Paired",
    "PairedSource",
    "Pulse",
    "PulseSource",
    "Retake",
    "SaccadeDigits",
    "SaccadeDigitsSource",
    "SeriesAugment",
    "Source",
    "collate",
    "describe_recording",
    "open_source",
    "read_atis",
    "send_on_delta",
    "to_frames",
    "write_atis",
]

if TYPE_CHECKING:
    from snnkit.data.augment import Augment
    from snnkit.data.augment_series import SeriesAugment
    from snnkit.data.batch import Batch, collate
    from snnkit.data.binning import to_frames
    from snnkit.data.braille.module import Braille
    from snnkit.data.braille.source import BrailleSource
    from snnkit.data.catalog import open_source
    from snnkit.data.dataset import EventDataset, FrameDataset, ImageDataset
    from snnkit.data.delta import send_on_delta
    from snnkit.data.digits.module import Digits
    from snnkit.data.digits.source import DigitsSource
    from snnkit.data.draws import EpochSampler
    from snnkit.data.events import EVENT_DTYPE, EventStream
    from snnkit.data.files.atis import read_atis, write_atis
    from snnkit.data.folder.module import EventFolder
    from snnkit.data.folder.source import EventFolderSource
    from snnkit.data.follow_digit.module import FollowDigit
    from snnkit.data.follow_digit.windows import FollowDigitSource
    from snnkit.data.frame_settings import FrameSettings
    from snnkit.data.fsdd.cochlea import Cochlea
    from snnkit.data.fsdd.module import FSDD
    from snnkit.data.fsdd.source import FSDDSource
    from snnkit.data.images.module import CIFAR10, MNIST, FashionMNIST
    from snnkit.data.inspect import describe_recording
    from snnkit.data.module import EventDataModule, FrameDataModule
    from snnkit.data.nmnist.module import NMNIST
    from snnkit.data.nmnist.source import NMNISTSource
    from snnkit.data.paired.module import Paired
    from snnkit.data.paired.source import PairedSource
    from snnkit.data.pulse.module import Pulse
    from snnkit.data.pulse.windows import PulseSource
    from snnkit.data.retake import Retake
    from snnkit.data.saccade_digits.module import SaccadeDigits
    from snnkit.data.saccade_digits.source import SaccadeDigitsSource
    from snnkit.data.sets.modules import (
        ASLDVS,
        CIFAR10DVS,
        NTIDIGITS,
        SHD,
        SSC,
        STMNIST,
        DVSGesture,
        DVSLip,
        NCaltech101,
    )
    from snnkit.data.source import EventSource, Source


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"snnkit.data.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'snnkit.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
