"""AEDAT 4.0 (DV): packets of FlatBuffers, each compressed on its own.

`#!AER-DAT4.0` CR LF, a size and the IOHeader: compression (0 none, 1 and 2 LZ4, 3 and 4 Zstandard), where the table of
contents begins, and XML that names the streams (`EVTS` events, `FRME` frames, `IMUS`, `TRIG`) and their sensors. A
packet is the number of its stream and its size (32 bits each), then that many bytes. An events packet decompresses to
a table with one vector of structs of 16 bytes: t (64 bits, µs), x, y (16 each), on (8). Only events are decompressed.
Source: gitlab.com inivation dv-processing, the `.fbs` files of its aedat4 folder; docs.inivation.com, "AEDAT 4.0".
"""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.decoder import Decoder
from snnkit.errors import DataError

MAGIC = b"#!AER-DAT4.0\r\n"
LONGEST_HEADER = 1 << 24
LONGEST_PACKET = 1 << 28
"""Bytes of a packet, as stored and decompressed, beyond which its size is taken as damaged (16 M events)."""
COMPRESSIONS = ("none", "LZ4", "LZ4", "ZSTD", "ZSTD")
KINDS = {"EVTS": "events", "FRME": "frames", "IMUS": "imu", "TRIG": "triggers"}

_EVENT = np.dtype({"names": ["t", "x", "y", "p"], "formats": ["<i8", "<u2", "<u2", "u1"], "offsets": [0, 8, 10, 12],
                   "itemsize": 16})  # fmt: skip


@dataclass(frozen=True)
class Stream:
    """One stream of a recording."""

    number: int
    kind: str
    sensor_size: tuple[int, int] | None


@dataclass(frozen=True)
class Header:
    """What stands before the packets; `table` is where they end, -1 where the recorder did not say."""

    compression: int
    table: int
    streams: tuple[Stream, ...]
    bytes: int


def read_header(head: bytes, source: str) -> Header:
    """The header at the start of a file's bytes.

    Raises:
        DataError: it is damaged or cut off.
    """
    try:
        (size,) = struct.unpack_from("<i", head, len(MAGIC))
        start = len(MAGIC) + 4
        if not 8 <= size <= LONGEST_HEADER or len(head) < start + size:
            raise ValueError(f"it claims {size} bytes of {len(head)}")
        table = _Table(head[start : start + size], b"IOHE")
        compression = table.scalar(0, "<i", 0)
        if not 0 <= compression < len(COMPRESSIONS):
            raise ValueError(f"compression {compression}")
        return Header(compression, table.scalar(1, "<q", -1), _streams(table.text(2)), start + size)
    except (struct.error, ValueError, IndexError, ET.ParseError) as error:
        raise DataError(
            f"{source}: the header of this AEDAT 4 file is damaged ({error})",
            fix="copy or download the recording again",
        ) from None


def header_bytes(head: bytes) -> int:
    """How many bytes of a file its header takes, from the first 18 of them; at most `LONGEST_HEADER`."""
    if len(head) < len(MAGIC) + 4:
        return 0
    (size,) = struct.unpack_from("<i", head, len(MAGIC))
    return len(MAGIC) + 4 + min(max(size, 0), LONGEST_HEADER)


def _streams(text: str) -> tuple[Stream, ...]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("its XML declares entities")
    streams = []
    root = ET.fromstring(text.rstrip("\0 \n\r\t"))
    for node in root.iterfind(".//node[@name='outInfo']/node"):
        attrs = {a.get("key"): a.text or "" for a in node.iterfind("attr")}
        info = {a.get("key"): a.text or "" for a in node.iterfind("node[@name='info']/attr")}
        width, height = (int(info.get(k, "0")) for k in ("sizeX", "sizeY"))
        size = (width, height) if 0 < width <= 65536 and 0 < height <= 65536 else None
        streams.append(Stream(int(node.get("name", "-1")), attrs.get("typeIdentifier", ""), size))
    return tuple(streams)


class _Table:
    """A FlatBuffers table, read with bounds: a wrong offset raises, it never reads elsewhere."""

    def __init__(self, data: bytes | memoryview, identifier: bytes) -> None:
        self.data = data
        if data[4:8] != identifier:
            raise ValueError(f"no {identifier.decode()} table but {bytes(data[4:8])!r}")
        self.at = self._u32(0)
        back = self._i32(self.at)
        self.fields = self.at - back
        self.size = self._u16(self.fields)

    def _u16(self, at: int) -> int:
        return int(struct.unpack_from("<H", self.data, self._inside(at))[0])

    def _u32(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.data, self._inside(at))[0])

    def _i32(self, at: int) -> int:
        return int(struct.unpack_from("<i", self.data, self._inside(at))[0])

    def _inside(self, at: int) -> int:
        if not 0 <= at < len(self.data):
            raise ValueError(f"an offset of {at} in {len(self.data)} bytes")
        return at

    def _field(self, k: int) -> int | None:
        if 4 + 2 * k + 2 > self.size:
            return None
        offset = self._u16(self.fields + 4 + 2 * k)
        return self.at + offset if offset else None

    def scalar(self, k: int, kind: str, default: int) -> int:
        """Field k, or its default where it is absent."""
        at = self._field(k)
        return default if at is None else int(struct.unpack_from(kind, self.data, self._inside(at))[0])

    def vector(self, k: int, item_bytes: int) -> tuple[int, int]:
        """(where it starts, how many items) of vector field k; (0, 0) where it is absent."""
        at = self._field(k)
        if at is None:
            return 0, 0
        start = at + self._u32(at)
        count = self._u32(start)
        if start + 4 + count * item_bytes > len(self.data):
            raise ValueError(f"a vector of {count} items does not fit")
        return start + 4, count

    def text(self, k: int) -> str:
        """String field k."""
        start, count = self.vector(k, 1)
        return bytes(self.data[start : start + count]).decode("utf-8", "replace")


class Aedat4Decoder(Decoder):
    """Packets (without the header) → events of the first events stream, in pieces of any size.

    Args:
        header: the file's header.
    """

    word_bytes = 1

    def __init__(self, header: Header) -> None:
        super().__init__()
        self.header = header
        self.stream = next((s.number for s in header.streams if s.kind == "EVTS"), None)
        self._numbers = {s.number for s in header.streams}
        self._kept: list[bytes] = []
        self._held = 0
        self._skip = 0
        self._at = header.bytes  # where in the file the next packet begins

    def _decode(self, raw: NDArray[np.uint8]) -> NDArray[np.void]:
        self._kept.append(raw.tobytes())
        self._held += len(raw)
        if self._held < self._wanted():
            return np.empty(0, EVENT_DTYPE)
        data, at = memoryview(b"".join(self._kept)), 0
        parts: list[NDArray[np.void]] = []
        while not self.tally.damage:
            if 0 <= self.header.table <= self._at:  # the table of contents: no packets any more
                at = len(data)
                break
            if len(data) - at < 8:
                break
            number, size = struct.unpack_from("<ii", data, at)
            if not 0 <= size <= LONGEST_PACKET or number not in self._numbers:
                self.tally.damage = f"the packet at byte {self._at:,} is damaged (stream {number}, {size} bytes)"
                break
            if len(data) - at < 8 + size:
                break
            body = data[at + 8 : at + 8 + size]
            at, self._at = at + 8 + size, self._at + 8 + size
            if number == self.stream:
                parts.append(self._packet(body, self._at - 8 - size))
            else:
                self.tally.other += 1
        if self.tally.damage:
            self.tally.lost += len(data) - at
            at = len(data)
        self._kept, self._held = [bytes(data[at:])], len(data) - at
        out = np.empty(sum(len(p) for p in parts), EVENT_DTYPE)
        n = 0
        for part in parts:
            for name in ("t", "x", "y", "p"):
                out[name][n : n + len(part)] = part[name]
            n += len(part)
        return out

    def feed(self, data: bytes | bytearray | memoryview) -> NDArray[np.void]:
        events = super().feed(data)
        self.tally.left_over = self._held
        return events

    def drop_rest(self) -> int:
        dropped, self._kept, self._held, self.tally.left_over = self._held, [], 0, 0
        self._at += dropped
        return dropped

    def _wanted(self) -> int:
        """Bytes held from which on a packet is complete."""
        if self.tally.damage or 0 <= self.header.table <= self._at:
            return 0
        if self._held < 8:
            return 8
        if len(self._kept[0]) < 8:
            self._kept = [b"".join(self._kept)]
        size = struct.unpack_from("<i", self._kept[0], 4)[0]
        return 8 + size if 0 <= size <= LONGEST_PACKET else 0

    def _packet(self, body: memoryview, at: int) -> NDArray[np.void]:
        try:
            plain = decompress(body, self.header.compression)
            table = _Table(memoryview(plain)[4:], b"EVTS")  # the first four bytes repeat the size
            start, count = table.vector(0, _EVENT.itemsize)
            return np.frombuffer(table.data, _EVENT, count, start)
        except (struct.error, ValueError) as error:
            self.tally.damage = f"the events packet at byte {at:,} is damaged ({error})"
            return np.empty(0, _EVENT)


def decompress(body: bytes | memoryview, compression: int) -> bytes | memoryview:
    """The plain bytes of a packet, at most `LONGEST_PACKET`; raises ValueError where they are damaged or more."""
    if compression == 0:
        return body
    if compression in (1, 2):
        import lz4.frame

        try:
            frame = lz4.frame.LZ4FrameDecompressor()
            # the size given is allocated at once, so it is no more than a packet usually needs
            pieces = [frame.decompress(body, max(1 << 16, 4 * len(body)))]
            held = len(pieces[0])
            while not frame.eof and not frame.needs_input and held <= LONGEST_PACKET:
                pieces.append(frame.decompress(b"", 1 << 20))
                held += len(pieces[-1])
            if not frame.eof:
                raise ValueError("the compressed data are cut off or too many")
        except (RuntimeError, EOFError) as error:
            raise ValueError(str(error)) from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as reader:
            parts, held = [], 0
            while part := reader.read(1 << 20):
                parts.append(part)
                held += len(part)
                if held > LONGEST_PACKET:
                    raise ValueError("the compressed data are too many")
        return b"".join(parts)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


def label(header: Header) -> str:
    """The format in words, as in "AEDAT 4 (LZ4; events+imu+triggers)"."""
    streams = "+".join(KINDS.get(s.kind, s.kind) for s in sorted(header.streams, key=lambda s: s.number))
    return f"AEDAT 4 ({COMPRESSIONS[header.compression]}; {streams})"
