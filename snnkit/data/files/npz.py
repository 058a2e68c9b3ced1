"""NumPy archives of events: arrays t, x, y, p, or one structured array with these fields, in a `.npz`.

Optional arrays: `sensor_size` (width, height) and `version`. The members are read in pieces straight from the zip,
their sizes checked against the file before anything is allocated; arrays of Python objects (pickle) are refused.
Source of the member format: numpy.lib.format.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from snnkit.data.events import EventStream
from snnkit.data.files import arrays
from snnkit.data.files.reader import Reader, size_of
from snnkit.errors import DataError

PIECE = 1 << 17
"""Events read at once."""
RATIO = 1100
"""Deflate packs at most 1032 to 1: a member that claims more is damaged."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, KeyError, OSError)


class NpzReader(Reader):
    """A `.npz` of events; `time_unit` as in `arrays.to_events`."""

    def __init__(self, path: Path, time_unit: str | None = None) -> None:
        size_of(path)
        self.time_unit = time_unit
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = {n[:-4]: _describe(archive, n) for n in archive.namelist() if n.endswith(".npy")}
                sensor = self._sensor(archive)
        except _DAMAGE as error:
            raise self._damaged(path, error) from None
        self._columns = arrays.find([n for n, (_, dtype) in self._members.items() if not dtype.names])
        self._table: str | None = None
        if self._columns is None:
            tables = [n for n, (_, dtype) in self._members.items() if dtype.names and arrays.find(dtype.names)]
            if not tables:
                held = ", ".join(self._members) or "no arrays"
                raise DataError(
                    f"{path}: no events in this NumPy archive (it holds {held})",
                    fix="store arrays t, x, y, p, or one structured array with these fields",
                )
            self._table = tables[0]
        super().__init__(path, "NPZ " + ("t,x,y,p" if self._columns else f"{self._table}{{t,x,y,p}}"), sensor)
        names = list(self._columns.values()) if self._columns else [str(self._table)]
        shapes = {self._members[n][0] for n in names}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise DataError(
                f"{path}: its columns have the shapes {sorted(shapes)}", fix="store four arrays of one length"
            )
        self.count = next(iter(shapes))[0]
        arrays.check_types(self._types(), str(path))

    def _types(self) -> dict[str, np.dtype]:
        if self._columns:
            return {c: self._members[n][1] for c, n in self._columns.items()}
        dtype = self._members[str(self._table)][1]
        fields = arrays.find(dtype.names or ())
        assert fields is not None
        assert dtype.fields is not None
        return {c: dtype.fields[n][0] for c, n in fields.items()}

    def pieces(self) -> Iterator[NDArray[np.void]]:
        source = str(self.path)
        try:
            with zipfile.ZipFile(self.path) as archive, ExitStack() as stack:
                names = self._columns or {"": str(self._table)}
                streams = {c: stack.enter_context(archive.open(n + ".npy")) for c, n in names.items()}
                for stream in streams.values():
                    _header(stream)
                for first in range(0, self.count, PIECE):
                    n = min(PIECE, self.count - first)
                    got = {c: _take(s, self._members[names[c]][1], n) for c, s in streams.items()}
                    if self._table:
                        fields = arrays.find(got[""].dtype.names or ())
                        assert fields is not None
                        got = {c: got[""][f] for c, f in fields.items()}
                    self.tally.bytes = self.bytes * (first + n) // max(self.count, 1)
                    yield arrays.to_events(got, self.time_unit, 0, first, source)
                    self.tally.events += n
                for stream in streams.values():
                    while stream.read(1 << 16):  # the check sum stands at the end
                        pass
        except DataError as error:
            self._note(error.what.split(": ", 1)[-1])
        except _DAMAGE as error:
            self._note(str(error) or type(error).__name__)

    def _note(self, what: str) -> None:
        self.tally.damage = f"after {self.tally.events:,} of {self.count:,} events: {what}"

    @staticmethod
    def _damaged(path: Path, error: Exception) -> DataError:
        return DataError(
            f"{path}: this NumPy archive is damaged ({error or type(error).__name__})",
            fix="copy or download the recording again",
        )

    def _sensor(self, archive: zipfile.ZipFile) -> tuple[int, int] | None:
        if "sensor_size" not in self._members:
            return None
        shape, dtype = self._members["sensor_size"]
        if shape not in ((2,), (3,)) or dtype.kind not in "iu":
            return None
        with archive.open("sensor_size.npy") as stream:
            _header(stream)
            width, height = _take(stream, dtype, 2).tolist()
        return (width, height) if 0 < width <= 65536 and 0 < height <= 65536 else None


def _describe(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of a member, after its claimed size was compared with the file's bytes."""
    info = archive.getinfo(name)
    with archive.open(name) as stream:
        shape, dtype, header_bytes = _header(stream)
    count = 1
    for side in shape:
        count *= side
    claimed = count * dtype.itemsize + header_bytes
    if claimed != info.file_size or info.file_size > RATIO * info.compress_size + 1024:
        raise ValueError(f"{name} claims {claimed:,} bytes of {info.file_size:,} ({info.compress_size:,} stored)")
    return shape, dtype


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, int]:
    version = npy.read_magic(stream)
    read: Callable[..., Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(
        version, npy.read_array_header_2_0
    )
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the array format")
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("an array of Python objects (pickle), which is not read")
    if dtype.itemsize == 0 or dtype.itemsize > 1 << 16 or any(side < 0 for side in shape):
        raise ValueError(f"items of {dtype.itemsize} bytes, shape {shape}")
    return shape, dtype, stream.tell()


def _take(stream: IO[bytes], dtype: np.dtype, n: int) -> NDArray:
    data = stream.read(n * dtype.itemsize)
    if len(data) != n * dtype.itemsize:
        raise EOFError(f"{len(data)} of {n * dtype.itemsize} bytes")
    return np.frombuffer(data, dtype, n)


def encode_npz(stream: EventStream) -> bytes:
    """The bytes of a `.npz` that holds this stream; equal streams give equal bytes."""
    out = io.BytesIO()
    members = {c: np.ascontiguousarray(stream.events[c]) for c in "txyp"}
    members["sensor_size"] = np.array(stream.sensor_size, np.int64)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in members.items():
            with archive.open(zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as member:
                npy.write_array(member, values, allow_pickle=False)
    return out.getvalue()
