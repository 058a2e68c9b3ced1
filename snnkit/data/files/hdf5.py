"""HDF5 recordings: groups of columns as in DSEC and E2VID, and the layout of SHD and SSC.

- DSEC: `events/t`, `x`, `y`, `p`, with `t_offset` (added to the times) and `ms_to_idx`; other names of the columns,
  and columns at the top, are found too. Times are whole µs or fractions of a second.
- SHD, SSC: `spikes/times` (s) and `spikes/units`, one array per sample: a sample is a recording of a sensor with one
  row of 700 channels, all events ON.

Files are opened without anything that runs code: HDF5 has no pickle. The Blosc filter of DSEC comes from hdf5plugin.
libhdf5 may crash on a damaged file: the readers here run in a process of their own, see `isolated`.
Sources: github uzh-rpg/DSEC; Cramer et al. 2020, doi:10.1109/TNNLS.2020.3044364 (SHD).
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files import arrays
from snnkit.data.files.reader import Reader, size_of
from snnkit.errors import DataError, MissingPackageError

PIECE = 1 << 18
"""Events read at once."""
LARGEST_CACHE = 1 << 26
"""Most bytes of unpacked chunks that are kept for the next piece."""
RATIO = 1100
"""A data set that claims so many times its stored bytes is damaged."""
HEAPS = 1 << 24
"""Largest file whose heaps are checked before it is read, bytes: the check takes longer than reading one sample."""
SHD_CHANNELS = 700
BLOSC = 32001
_FILTERS = {BLOSC: "Blosc", 32004: "LZ4", 32008: "bitshuffle", 32015: "Zstandard", 1: "gzip", 32026: "Blosc2",
            0x8ECF: "ECF (Prophesee)"}  # fmt: skip
_DAMAGE = (OSError, ValueError, KeyError, RuntimeError, TypeError, EOFError, OverflowError)


def open_file(path: Path, cache: int = 1 << 20) -> Any:
    """The opened `h5py.File`; raises `DataError` where it is none or damaged.

    `cache` bytes of unpacked chunks are kept; more than are read again is wasted, as new memory costs time.
    """
    import h5py

    size_of(path)
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  registers the filters
    try:
        return h5py.File(path, "r", locking=False, rdcc_nbytes=cache)
    except _DAMAGE as error:
        raise damaged(path, error) from None


def check_heaps(path: Path) -> None:
    """Raise `DataError` where the heaps do not add up."""
    if not heaps_add_up(path):
        raise damaged(path, ValueError("a heap of variable lengths does not add up"))


def heaps_add_up(path: Path) -> bool:
    """Whether a file's heaps of variable lengths add up; HDF5 would loop for ever in others.

    It saves waiting for the time limit of `isolated`, and is left to it in files above `HEAPS`.

    A collection is "GCOL", version 1, its size, then objects of 16 bytes (index, size) and their padded data; index 0
    is what is left over. Source: HDF5 File Format Specification 3.0, III.E.
    """
    if not 0 < path.stat().st_size <= HEAPS:
        return True
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(b"GCOL\1\0\0\0")
        while at >= 0:
            if at + 16 > len(data):
                return False
            end = at + struct.unpack_from("<Q", data, at + 8)[0]
            if end < at + 16 or end > len(data):
                return False
            place = at + 16
            while place + 16 <= end:
                index, length = struct.unpack_from("<H6xQ", data, place)
                step = 16 + (length + 7) // 8 * 8 if index else length
                if step < 16 or place + step > end:
                    return False
                place += step
            at = data.find(b"GCOL\1\0\0\0", at + 8)
    return True


class Hdf5Reader(Reader):
    """A file of event columns; `time_unit` as in `arrays.to_events`, `room` gives memory for so many events."""

    def __init__(
        self, path: Path, time_unit: str | None = None, room: Callable[[int], NDArray[np.void]] | None = None
    ) -> None:
        self.time_unit, self.room = time_unit, room
        with open_file(path) as file:
            try:
                place, names = _columns(file)
                where = {c: f"{place}/{n}".strip("/") for c, n in names.items()}
                sets = {c: file[w] for c, w in where.items()}
                self.count = _count(sets, str(path))
                arrays.check_types({c: d.dtype for c, d in sets.items()}, str(path))
                offset = file.get("t_offset")
                self.offset = int(offset[()]) if offset is not None and offset.shape == () else 0
                if abs(self.offset) >= 1 << 62:
                    raise ValueError(f"t_offset is {self.offset}")
                filters = _filters(sets["t"])
                self.cache = min(max(1 << 20, *map(_chunk_bytes, sets.values())), LARGEST_CACHE)
                sensor = _sensor(file, place)
            except DataError as error:
                raise DataError(f"{path}: {error.what}", why=error.why, fix=error.fix) from None
            except _DAMAGE as error:
                raise damaged(path, error) from None
        self.where = where
        layout = "DSEC layout events/{t,x,y,p}" if set(where.values()) == {f"events/{c}" for c in "txyp"} else (
            f"{place or ''}/{{{','.join(names.values())}}}".strip("/"))  # fmt: skip
        super().__init__(path, ", ".join(["HDF5", layout, *(f"{f} filter" for f in filters)]), sensor)

    def pieces(self) -> Iterator[NDArray[np.void]]:
        with open_file(self.path, self.cache) as file:
            try:
                sets = {c: file[w] for c, w in self.where.items()}
                for first in range(0, self.count, PIECE):
                    last = min(first + PIECE, self.count)
                    got = {c: d[first:last] for c, d in sets.items()}
                    self.tally.bytes = self.bytes * last // self.count
                    out = self.room(last - first) if self.room else None
                    yield arrays.to_events(got, self.time_unit, self.offset, first, str(self.path), out)
                    self.tally.events = last
            except DataError as error:
                self._note(error.what.split(": ", 1)[-1])
            except _DAMAGE as error:
                missing = _missing_filter(sets["t"])
                if missing and not self.tally.events:
                    raise MissingPackageError(
                        f"{self.path}: its data are packed with the filter {missing}, which is not installed",
                        fix="pip install hdf5plugin",
                    ) from None
                self._note(str(error))

    def _note(self, what: str) -> None:
        self.tally.damage = f"after {self.tally.events:,} of {self.count:,} events: {what}"


class ShdReader(Reader):
    """One sample of a file in the layout of SHD.

    Args:
        path: the file.
        sample: which; None: the only one.
    """

    def __init__(self, path: Path, sample: int | None = None) -> None:
        size_of(path)
        check_heaps(path)
        with open_file(path) as file:
            try:
                times, units = file["spikes/times"], file["spikes/units"]
                count = len(times)
                if times.shape != units.shape or len(times.shape) != 1:
                    raise ValueError(f"spikes/times has shape {times.shape}, spikes/units {units.shape}")
            except _DAMAGE as error:
                raise damaged(path, error) from None
        if sample is None and count != 1:
            raise DataError(
                f"{path}: {count:,} recordings in one file (HDF5, SHD layout)",
                fix=f"choose one with sample=0 to {count - 1} (on the command line --sample)",
            )
        self.sample = sample or 0
        if not 0 <= self.sample < count:
            raise DataError(f"{path}: no sample {sample} among {count:,}", fix=f"give 0 to {count - 1}")
        super().__init__(path, f"HDF5, SHD layout spikes/{{times,units}}, sample {self.sample} of {count}")
        self.typical = (SHD_CHANNELS, 1)

    def pieces(self) -> Iterator[NDArray[np.void]]:
        with open_file(self.path) as file:
            try:
                yield shd_events(file, self.sample, str(self.path))
                self.tally.bytes = self.bytes
            except DataError:
                raise
            except _DAMAGE as error:
                self.tally.damage = f"sample {self.sample}: {error}"


def shd_events(file: Any, sample: int, source: str) -> NDArray[np.void]:
    """Events of one sample of an opened file in the layout of SHD: x = unit, y = 0, p = 1, in the order stored."""
    times, units = (np.asarray(file["spikes"][k][sample]) for k in ("times", "units"))
    if times.shape != units.shape or times.ndim != 1 or times.dtype.kind not in "fiu" or units.dtype.kind not in "iuf":
        has = [f"{len(a) if a.ndim == 1 else a.shape} {a.dtype} values" for a in (times, units)]
        raise DataError(
            f"{source}: sample {sample} has {has[0]} as times and {has[1]} as units",
            fix="the file is damaged: copy or download it again",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        us = times.astype(np.float64) * 1e6
    if len(us) and not ((np.abs(us) < 2.0**62).all() and units.min() >= 0 and units.max() <= 65535):
        raise DataError(f"{source}: sample {sample} has a time or a unit that no spike can have", fix="check the file")
    out = np.zeros(len(us), EVENT_DTYPE)
    out["t"], out["x"], out["p"] = np.rint(us), units, 1
    return out


def is_shd(path: Path) -> bool:
    """Whether a file has the layout of SHD."""
    with open_file(path) as file:
        try:
            return "spikes" in file and "times" in file["spikes"] and "units" in file["spikes"]
        except _DAMAGE as error:
            raise damaged(path, error) from None


def _columns(file: Any) -> tuple[str, dict[str, str]]:
    """(group, {"t": name, …}) of the first group with all four columns."""
    import h5py

    known = ("", "events", "dvs/events", "davis/left/events", "CD")
    for place in (*known, *(k for k in list(file)[:100] if k not in known)):
        group = file.get(place) if place else file
        if isinstance(group, h5py.Group):
            keys = list(group)[:1000]
            if arrays.find(keys):
                names = arrays.find([k for k in keys if isinstance(group.get(k), h5py.Dataset)])
                if names:
                    return place, names
    found = ", ".join(list(file)[:10]) or "nothing"
    hint = "Prophesee's HDF5 with one table of events needs its own filter (ECF); convert it with Metavision. "
    raise DataError(
        f"no events in this HDF5 file (it holds {found})",
        why=hint if "CD" in file else "",
        fix="known layouts: DSEC (events/t, x, y, p) and SHD (spikes/times, spikes/units)",
    )


def _count(sets: dict[str, Any], source: str) -> int:
    shapes = {d.shape for d in sets.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise DataError(
            f"its columns have the shapes {sorted(map(str, shapes))}", fix="store four arrays of one length"
        )
    count = int(next(iter(shapes))[0])
    for column, data in sets.items():
        stored = int(data.id.get_storage_size())
        if count * data.dtype.itemsize > RATIO * stored + 4096:
            raise DataError(
                f"column {column} claims {count:,} events in {stored:,} stored bytes",
                fix="the file is damaged or cut off: copy or download it again",
            )
    return count


def _chunk_bytes(data: Any) -> int:
    return int(np.prod(data.chunks, dtype=np.float64)) * int(data.dtype.itemsize) if data.chunks else 0


def _filters(data: Any) -> list[str]:
    plist = data.id.get_create_plist()
    codes = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
    return [_FILTERS.get(c, str(c)) for c in codes if c not in (2, 3)]  # not shuffle and check sums


def _missing_filter(data: Any) -> str | None:
    import h5py

    plist = data.id.get_create_plist()
    codes = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
    return next((_FILTERS.get(c, str(c)) for c in codes if not h5py.h5z.filter_avail(c)), None)


def _sensor(file: Any, place: str) -> tuple[int, int] | None:
    for holder in (file, file[place] if place else file):
        width, height = holder.attrs.get("width"), holder.attrs.get("height")
        if width is None or height is None:
            size = holder.attrs.get("sensor_resolution")  # (height, width), E2VID
            width, height = (size[1], size[0]) if size is not None and np.shape(size) == (2,) else (None, None)
        if width is not None and np.shape(width) == () == np.shape(height):
            size = int(width), int(height)
            if 0 < size[0] <= 65536 and 0 < size[1] <= 65536:
                return size
    return None


def damaged(path: Path, error: Exception) -> DataError:
    """The error of a file that HDF5, or we, cannot make sense of."""
    return DataError(f"{path}: this HDF5 file is damaged ({error})", fix="copy or download the recording again")
