"""Opens a data set by name or path, without torch: what the command line needs to run a descriptor on recordings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit.data.digits.source import DigitsSource
from snnkit.data.folder.layout import list_folder
from snnkit.data.nmnist.archive import find_recordings
from snnkit.data.nmnist.source import NMNISTSource
from snnkit.data.saccade_digits.source import SaccadeDigitsSource
from snnkit.data.source import Source
from snnkit.errors import DataError, UsageError, did_you_mean

OFFLINE: dict[str, type[Source]] = {
    "saccade-digits": SaccadeDigitsSource,
    "SaccadeDigits": SaccadeDigitsSource,
    "digits": DigitsSource,
    "Digits": DigitsSource,
}
"""Data sets that need no file, by name."""

SETS = {
    "asl-dvs": "snnkit.data.sets.asl_dvs:ASLDVSSource",
    "braille": "snnkit.data.braille.source:BrailleSource",
    "cifar10": "snnkit.data.images.source:CIFAR10Source",
    "cifar10-dvs": "snnkit.data.sets.cifar10_dvs:CIFAR10DVSSource",
    "dvs-gesture": "snnkit.data.sets.dvs_gesture:DVSGestureSource",
    "dvs-lip": "snnkit.data.sets.dvs_lip:DVSLipSource",
    "event-folder": "snnkit.data.folder.source:EventFolderSource",
    "fashion-mnist": "snnkit.data.images.source:FashionMNISTSource",
    "fsdd": "snnkit.data.fsdd.source:FSDDSource",
    "mnist": "snnkit.data.images.source:MNISTSource",
    "n-caltech101": "snnkit.data.sets.ncaltech101:NCaltech101Source",
    "n-tidigits": "snnkit.data.sets.ntidigits:NTIDIGITSSource",
    "nmnist": "snnkit.data.nmnist.source:NMNISTSource",
    "shd": "snnkit.data.sets.heidelberg:SHDSource",
    "ssc": "snnkit.data.sets.heidelberg:SSCSource",
    "st-mnist": "snnkit.data.sets.st_mnist:STMNISTSource",
}
"""Where the source of every data set that lies at a `root` is, by its name."""


def source_class(name: str) -> type[Source]:
    """The source of a data set by its name.

    Raises:
        DataError: there is none.
    """
    if name in OFFLINE:
        return OFFLINE[name]
    if name not in SETS:
        known = [*SETS, *OFFLINE]
        raise DataError(f"no data set {name!r}{did_you_mean(name, known)}", fix=f"known: {', '.join(sorted(known))}")
    module, cls = SETS[name].split(":")
    found: type[Source] = getattr(importlib.import_module(module), cls)
    return found


def open_source(which: str, **arguments: Any) -> Source:
    """The source of a data set by name, or of the recordings at a path.

    Args:
        which: the name of a data set (with `root` among the arguments, where it lies in files); or a path to N-MNIST or
            to a folder of recordings for each class.
        arguments: passed to the source (root, subset, cache_dir, progress, …).

    Raises:
        DataError: neither a known name nor a path that exists, or nothing known at that path.
        UsageError: the data set lies in files and no root is given.
    """
    if which in OFFLINE:
        return OFFLINE[which](**arguments)
    if which in SETS and "root" in arguments:
        return source_class(which)(**arguments)
    if Path(which).exists():
        return _at_path(Path(which), arguments)
    if which in SETS:
        raise UsageError(f"{which} lies in files", fix="say where: give root, the folder or archive of the data set")
    known = [*OFFLINE, *SETS]
    raise DataError(
        f"no data set {which!r}{did_you_mean(which, known)}: not a known name, and no such file or folder",
        fix="give saccade-digits, digits, the folder or archive of N-MNIST recordings, or a folder of recordings for"
        " each class",
    )


def reopen(described: Mapping[str, Any], root: str) -> Source:
    """The source that a run's or a descriptor's record of its data describes, at `root`; its samples are read alike.

    Raises:
        DataError: no data set of that name.
    """
    cls = source_class(str(described.get("name")))
    return cls(root, **cls.arguments(described))  # type: ignore[call-arg]


def _at_path(path: Path, arguments: dict[str, Any]) -> Source:
    try:
        with find_recordings(path):
            return NMNISTSource(path, **arguments)
    except DataError as error:
        if not path.is_dir() or any(path.glob("*.zip")):
            raise
        try:
            list_folder(path)
        except DataError as other:
            raise DataError(
                f"{path} holds neither N-MNIST nor a folder of recordings for each class: {other.what}",
                why=error.what,
                fix=other.fix,
            ) from other
    from snnkit.data.folder.source import EventFolderSource

    return EventFolderSource(path, **arguments)
