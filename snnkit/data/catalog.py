"""Opens a data set by name or path, without torch: what the command line needs to run a descriptor on recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnkit.data.digits.source import DigitsSource
from snnkit.data.nmnist.source import NMNISTSource
from snnkit.data.saccade_digits.source import SaccadeDigitsSource
from snnkit.data.source import Source
from snnkit.errors import DataError, did_you_mean

OFFLINE: dict[str, type[Source]] = {
    "saccade-digits": SaccadeDigitsSource,
    "SaccadeDigits": SaccadeDigitsSource,
    "digits": DigitsSource,
    "Digits": DigitsSource,
}
"""Data sets that need no file, by name."""


def open_source(which: str, **arguments: Any) -> Source:
    """The source of "saccade-digits" or "digits", or of the folder or archive of N-MNIST recordings at a path.

    Args:
        which: a name or a path.
        arguments: passed to the source (subset, cache_dir, progress, …).

    Raises:
        DataError: neither a known name nor a path that exists.
    """
    if which in OFFLINE:
        return OFFLINE[which](**arguments)
    if Path(which).exists():
        return NMNISTSource(which, **arguments)
    raise DataError(
        f"no data set {which!r}{did_you_mean(which, OFFLINE)}: not a known name, and no such file or folder",
        fix="give saccade-digits, digits, or the folder or archive of N-MNIST recordings",
    )
