"""The task of `isolated`: reads one HDF5 recording, and sends what it is and its events."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import h5py  # noqa: F401  once for all tasks of a server

from snnkit._isolated.link import Link
from snnkit._isolated.ring import SLOT
from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files import hdf5
from snnkit.data.files.reader import Reader

with contextlib.suppress(ImportError):
    import hdf5plugin  # noqa: F401

SIZE = EVENT_DTYPE.itemsize
PIECE = SLOT // SIZE
"""Most events of a frame."""


def read(asked: dict[str, Any], link: Link) -> None:
    """Frames "opened", "events" and "finished" of the recording at `path`.

    `events` of what is asked is "all", or "few" where at most `PIECE` of them are worth sending before they are asked
    for.
    """
    path = Path(asked["path"])
    reader: Reader
    if hdf5.is_shd(path):
        reader = hdf5.ShdReader(path, asked["sample"])
    else:
        reader = hdf5.Hdf5Reader(path, asked["time_unit"], lambda n: link.room(n * SIZE).view(EVENT_DTYPE))
    link.send("opened", {"label": reader.label, "sensor": reader.sensor_size, "typical": reader.typical})
    few = asked["events"] == "few"
    if few and getattr(reader, "count", 0) > PIECE:
        return
    for piece in reader.pieces():
        if few and reader.tally.events + len(piece) > PIECE:
            return
        for first in range(0, len(piece), PIECE):
            link.send("events", _tally(reader), piece[first : first + PIECE])
    link.send("finished", _tally(reader))


def _tally(reader: Reader) -> dict[str, Any]:
    return {"bytes": reader.tally.bytes, "damage": reader.tally.damage}
