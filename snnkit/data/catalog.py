"""Opens a data set by name or path, without torch: what the command line needs to run a descriptor on recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnkit.data.nmnist.source import NMNISTSource
from snnkit.data.saccade_digits.source import SaccadeDigitsSource
from snnkit.data.source import EventSource
from snnkit.errors import DataError, did_you_mean

_SIMULATED = ("saccade-digits", "SaccadeDigits")


def open_source(which: str, **arguments: Any) -> EventSource:
    """The event source for "saccade-digits", or for the folder or archive of N-MNIST recordings at a path.

    Args:
        which: a name or a path.
        arguments: passed to the source (subset, cache_dir, progress, …).

    Raises:
        DataError: neither a known name nor a path that exists.
    """
    if which in _SIMULATED:
        return SaccadeDigitsSource(**arguments)
    if Path(which).exists():
        return NMNISTSource(which, **arguments)
    raise DataError(
        f"no data set {which!r}{did_you_mean(which, _SIMULATED)}: not a known name, and no such file or folder",
        fix="give saccade-digits, or the folder or archive of N-MNIST recordings",
    )
