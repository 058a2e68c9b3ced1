"""Columns of numbers of any type → checked events; shared by NPZ and HDF5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.errors import DataError

NAMES = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
"""Names under which a column is known, the usual one first."""

POWERS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
"""Microseconds in a unit of time."""


def find(names: Sequence[str]) -> dict[str, str] | None:
    """{"t": its name there, …} among these names; None unless all four are there."""
    lower = {n.lower(): n for n in names}
    found = {c: next((lower[n] for n in known if n in lower), None) for c, known in NAMES.items()}
    return {c: n for c, n in found.items() if n} if all(found.values()) else None


def check_types(types: Mapping[str, np.dtype], source: str) -> None:
    """Raise `DataError` unless the columns are numbers; only the time may be a fraction."""
    for column, dtype in types.items():
        if dtype.kind not in ("iub" if column != "t" else "iuf") and not (column == "p" and dtype.kind == "f"):
            raise DataError(
                f"{source}: column {column} has the type {dtype}",
                fix="x, y and p are whole numbers, and t whole numbers (us) or fractions (s)",
            )


def to_events(
    columns: Mapping[str, NDArray],
    unit: str | None,
    offset: int,
    first: int,
    source: str,
    out: NDArray[np.void] | None = None,
) -> NDArray[np.void]:
    """Columns t, x, y, p [n] → events [n] of `EVENT_DTYPE`.

    Args:
        columns: the columns of one piece.
        unit: of the time; None: µs for whole numbers, s for fractions.
        offset: added to the times, in µs.
        first: number of the first event of the piece, for messages.
        source: the file's name, for messages.
        out: where they are written; None: a new array.

    Raises:
        DataError: a value that no event can have.
    """
    t, p = columns["t"], columns["p"]
    out = np.empty(len(t), EVENT_DTYPE) if out is None else out
    if t.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            times = t.astype(np.float64) * POWERS[unit or "s"]
        _whole(np.isfinite(times) & (np.abs(times) < 2.0**61), times, "t", first, source)
        out["t"] = np.rint(times)
    else:
        power = POWERS[unit or "us"]
        limit = 2**61 // max(int(power), 1)
        if len(t) and (int(t.max()) >= limit or int(t.min()) <= -limit):
            _whole((t < limit) & (t > -limit), t, "t", first, source)
        times = t.astype(np.int64, copy=False)
        out["t"] = times if power == 1 else times * int(power) if power > 1 else times // 1000
    if offset:
        out["t"] += offset
    for name in "xy":
        value = columns[name]
        narrow = value.dtype.kind in "ub" and value.dtype.itemsize <= 2
        if not narrow and len(value) and (int(value.min()) < 0 or int(value.max()) > 65535):
            _whole((value >= 0) & (value <= 65535), value, name, first, source)
        out[name] = value
    if p.dtype.kind != "b" and len(p):
        low, high = p.min(), p.max()
        if not (low >= -1 and high <= 1) or (p.dtype.kind == "f" and (p % 1 != 0).any()):
            _whole(np.isin(p, (-1, 0, 1)), p, "p", first, source)
        if low < 0:
            if (p == 0).any():
                raise DataError(f"{source}: polarities -1, 0 and 1", fix="write OFF as 0 or as -1, not as both")
            p = p > 0
    out["p"] = p
    return out


def _whole(good: NDArray[np.bool_], values: NDArray, column: str, first: int, source: str) -> None:
    bad = np.flatnonzero(~good)
    if len(bad):
        i = int(bad[0])
        raise DataError(
            f"{source}: event {first + i} has {column} = {values[i]} ({len(bad)} of these {len(values)} events are so)",
            why="x and y are 0 to 65535, p is 0 or 1 (or -1 and 1), and a time is finite",
            fix="check the file; it is damaged or holds something else",
        )
