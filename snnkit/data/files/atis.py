"""ATIS `.bin` recordings, the format of N-MNIST and N-Caltech101.

An event is five bytes: x, y, then 24 bits, most significant first: 1 bit polarity (1 = ON), 23 bits time in µs.
A record with y = 240 is no event but a marker: from there on 2^13 µs are added to all times, so that recordings longer
than 2^23 µs (8.4 s) can be written. That is the convention of the data set's own reader (github gorchard/event-Python,
eventvision.py `read_dataset`), described with the data set in Orchard et al. 2015, doi:10.3389/fnins.2015.00437.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnkit import _io
from snnkit.data.events import EVENT_DTYPE, EventStream, check_columns
from snnkit.data.files.decoder import Decoder
from snnkit.errors import DataError

RECORD_BYTES = 5
OVERFLOW_Y = 240
OVERFLOW_US = 1 << 13
TIME_MASK = (1 << 23) - 1

Columns = tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


def decode_columns(data: bytes, sensor_size: tuple[int, int] = (34, 34), source: str = "recording") -> Columns:
    """Decode the bytes of a `.bin` file.

    Args:
        data: the whole file.
        sensor_size: (width, height) in pixels; events outside it are an error.
        source: the file's name, for messages.

    Returns:
        Columns (t int64 in µs, x uint8, y uint8, p uint8), each [N], without the overflow markers.

    Raises:
        DataError: the file is empty or cut, an event lies outside the sensor, or time runs back.
    """
    if len(data) == 0:
        raise DataError(f"{source}: the file is empty", fix="copy or download the recording again")
    if len(data) % RECORD_BYTES:
        raise DataError(
            f"{source}: {len(data)} bytes is not a multiple of {RECORD_BYTES}, the size of one event"
            f" ({len(data) % RECORD_BYTES} bytes left over)",
            why="the file is cut off, or it is not an ATIS .bin recording",
            fix="copy or download the recording again",
        )
    t, x, y, p, _ = _columns(np.frombuffer(data, np.uint8), 0)
    check_columns(t, x, y, p, sensor_size, source)
    return t, x, y, p


def _columns(
    data: NDArray[np.uint8], markers: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], int]:
    """Whole records after so many overflow markers → columns t, x, y, p, and the markers up to their end."""
    raw = data.reshape(-1, RECORD_BYTES)
    # One conversion per byte column: strided uint8 arithmetic is several times slower than this.
    high, mid, low = (raw[:, i].astype(np.int64) for i in (2, 3, 4))
    t = ((high & 127) << 16) | (mid << 8) | low
    x, y, p = np.ascontiguousarray(raw[:, 0]), np.ascontiguousarray(raw[:, 1]), (high >> 7).astype(np.uint8)
    if markers:
        t += OVERFLOW_US * markers
    marker = y == OVERFLOW_Y
    if marker.any():
        count = np.cumsum(marker)
        t += OVERFLOW_US * count
        markers += int(count[-1])
        keep = ~marker
        t, x, y, p = t[keep], x[keep], y[keep], p[keep]
    return t, x, y, p, markers


class AtisDecoder(Decoder):
    """Records of a `.bin` file → events, in pieces of any size."""

    word_bytes = RECORD_BYTES

    def __init__(self) -> None:
        super().__init__()
        self._markers = 0

    def _decode(self, raw: NDArray[np.uint8]) -> NDArray[np.void]:
        t, x, y, p, self._markers = _columns(raw, self._markers)
        out = np.empty(len(t), EVENT_DTYPE)
        out["t"], out["x"], out["y"], out["p"] = t, x, y, p
        return out


def read_atis(path: str | os.PathLike[str], sensor_size: tuple[int, int] = (34, 34)) -> EventStream:
    """Read an ATIS `.bin` recording; see `decode_columns` for the errors."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror})", fix="check the path and its permissions"
        ) from error
    t, x, y, p = decode_columns(data, sensor_size, str(path))
    return EventStream.from_columns(t, x, y, p, sensor_size, str(path))


def encode_atis(stream: EventStream) -> bytes:
    """The bytes of an ATIS `.bin` file that holds this stream; times from 0, overflow markers where needed.

    Raises:
        DataError: a time below zero, or a sensor that one byte per coordinate (240 rows, 256 columns) cannot hold.
    """
    width, height = stream.sensor_size
    if width > 256 or height > OVERFLOW_Y:
        raise DataError(
            f"{stream.source}: a {width}x{height} sensor does not fit the ATIS .bin format",
            fix=f"the format holds at most 256 columns and {OVERFLOW_Y} rows",
        )
    t = stream.t
    if len(t) and t[0] < 0:
        raise DataError(f"{stream.source}: first time is {int(t[0])} us", fix="shift the times so that they start at 0")
    markers = -(-np.maximum(t - TIME_MASK, 0) // OVERFLOW_US)  # in force at each event; never falls, as t never does
    new = np.diff(markers, prepend=0)
    row = np.arange(len(t)) + markers
    out = np.zeros((len(t) + int(new.sum()), RECORD_BYTES), np.uint8)
    out[:, 1] = OVERFLOW_Y
    rest = t - OVERFLOW_US * markers
    out[row, 0], out[row, 1] = stream.x, stream.y
    out[row, 2] = (rest >> 16) | (stream.p.astype(np.int64) << 7)
    out[row, 3], out[row, 4] = (rest >> 8) & 255, rest & 255
    return out.tobytes()


def write_atis(path: str | os.PathLike[str], stream: EventStream) -> None:
    """Write an ATIS `.bin` recording atomically; see `encode_atis` for the limits."""
    _io.write_bytes(path, encode_atis(stream))
