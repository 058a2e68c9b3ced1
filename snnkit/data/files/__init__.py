"""Recordings of event sensors: any known format in, four out. One module per format.

>>> from snnkit.data import files
>>> stream = files.read("recording.raw")                      # an EventStream
>>> for events in files.iter("long.aedat4", chunk=100_000):   # arrays of EVENT_DTYPE, in bounded memory
...     ...
>>> files.write("out.hdf5", stream)

Names load when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "FORMATS": ("formats", "FORMATS"),
    "Recording": ("recording", "Recording"),
    "RecordingWarning": ("recording", "RecordingWarning"),
    "create": ("writing", "create"),
    "iter": ("reading", "iterate"),
    "open_recording": ("reading", "open_recording"),
    "read": ("reading", "read"),
    "recognise": ("reading", "recognise"),
    "write": ("writing", "write"),
}

__all__ = [
    "FORMATS",
    "Recording",
    "RecordingWarning",
    "create",
    "iter",
    "open_recording",
    "read",
    "recognise",
    "write",
]

if TYPE_CHECKING:
    from snnkit.data.files.formats import FORMATS
    from snnkit.data.files.reading import iterate as iter
    from snnkit.data.files.reading import open_recording, read, recognise
    from snnkit.data.files.recording import Recording, RecordingWarning
    from snnkit.data.files.writing import create, write


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        module, inside = _WHERE[name]
        value = getattr(importlib.import_module(f"snnkit.data.files.{module}"), inside)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'snnkit.data.files' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
