"""Small writers of the formats that the package only reads; from the public descriptions, used by tests alone."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from snnkit.data.events import EVENT_DTYPE, EventStream
from snnkit.data.files.atis import encode_atis
from snnkit.data.files.npz import encode_npz

SIZE = (64, 48)


def stream(n: int = 300, seed: int = 0, size: tuple[int, int] = SIZE, step: int = 900) -> EventStream:
    """Random events whose times cross some words of time."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.integers(0, step, n)) + 1000
    p = np.concatenate(([0, 1], rng.integers(0, 2, n - 2))) if n > 2 else rng.integers(0, 2, n)
    return EventStream.from_columns(t, rng.integers(0, size[0], n), rng.integers(0, size[1], n), p, size)


def rows(*events: tuple[int, int, int, int]) -> np.ndarray:
    """Events (t, x, y, p)."""
    return np.array(list(events), EVENT_DTYPE)


def words(dtype: str, *values: int) -> bytes:
    """Words of a type."""
    return np.array(values, dtype).tobytes()


def evt21(events: np.ndarray, order: str = "little", vectors: bool = True) -> bytes:
    """EVT 2.1 words: neighbours of equal time, row and polarity share one."""
    out: list[int] = []
    high = -1
    groups: dict[tuple[int, int, int, int], int] = {}
    for t, x, y, p in [tuple(map(int, e)) for e in events]:
        if groups and next(iter(groups))[0] != t:
            out += [_evt21_word(*k, mask) for k, mask in groups.items()]
            groups = {}
        if t >> 6 != high:
            high = t >> 6
            out.append(8 << 60 | (high & 0xFFFFFFF) << 32)
        base = x & ~31 if vectors else x
        groups[t, base, y, p] = groups.get((t, base, y, p), 0) | 1 << (x - base)
    out += [_evt21_word(*k, mask) for k, mask in groups.items()]
    if order == "legacy":
        out = [(w >> 32) | (w & 0xFFFFFFFF) << 32 for w in out]
    return words("<u8", *out)


def _evt21_word(t: int, x: int, y: int, p: int, mask: int) -> int:
    return p << 60 | (t & 63) << 54 | x << 43 | y << 32 | mask


def evt3(events: np.ndarray) -> bytes:
    """EVT 3 words, single events only."""
    out: list[int] = []
    high = low = row = -1
    for t, x, y, p in [tuple(map(int, e)) for e in events]:
        if t >> 12 != high:
            high, low = t >> 12, -1
            out.append(0x8000 | high & 4095)
        if t & 4095 != low:
            low = t & 4095
            out.append(0x6000 | low)
        if y != row:
            row = y
            out.append(y)
        out.append(0x2000 | p << 11 | x)
    return words("<u2", *out)


def raw_header(encoding: str, size: tuple[int, int] = SIZE, *more: str) -> bytes:
    """The `%` lines of a `.raw` file."""
    width, height = size
    lines = [f"format {encoding};height={height};width={width}", *more, "end"]
    return "".join(f"% {line}\n" for line in lines).encode()


def dat(events: np.ndarray, size: tuple[int, int] | None = SIZE, version: int = 2) -> bytes:
    """A DAT file; without a size it is what N-CARS has."""
    lines = ["Data file containing CD events.", f"Version {version}"]
    lines += [f"Height {size[1]}", f"Width {size[0]}"] if size else []
    shift_y, shift_p = (14, 28) if version >= 2 else (9, 17)
    e = {c: events[c].astype(np.int64) for c in "txyp"}
    record = np.stack([e["t"] & 0xFFFFFFFF, e["x"] | e["y"] << shift_y | e["p"] << shift_p], 1).astype("<u4")
    return "".join(f"% {line}\n" for line in lines).encode() + bytes([12, 8]) + record.tobytes()


def aedat2(events: np.ndarray, chip: str = "eu.seebetter.ini.chips.davis.DAVIS240C", width: int = 240) -> bytes:
    """An AEDAT 2.0 file of a DAVIS or a DVS128."""
    e = {c: events[c].astype(np.int64) for c in "txyp"}
    x = width - 1 - e["x"]
    address = x << 1 | e["y"] << 8 | (1 - e["p"]) if "DVS128" in chip else x << 12 | e["y"] << 22 | e["p"] << 11
    record = np.stack([address, e["t"] & 0xFFFFFFFF], 1).astype(">u4")
    return f"#!AER-DAT2.0\r\n# AEChip: {chip}\r\n".encode() + record.tobytes()


def aedat3_packet(events: np.ndarray, kind: int = 1, source: int = 0, overflow: int = 0, valid: int = 1) -> bytes:
    """One packet of AEDAT 3.1."""
    e = {c: events[c].astype(np.int64) for c in "txyp"}
    body = np.stack([e["x"] << 17 | e["y"] << 2 | e["p"] << 1 | valid, e["t"] & 0x7FFFFFFF], 1).astype("<u4").tobytes()
    n = len(events)
    return struct.pack("<hhiiiiii", kind, source, 8, 4, overflow, n, n, n * valid) + body


def aedat3(*packets: bytes, source: str = "DAVIS240C") -> bytes:
    """An AEDAT 3.1 file."""
    lines = ["#!AER-DAT3.1", "#Format: RAW", f"#Source 0: {source}", "#Start-Time: 2020-01-01 00:00:00 (TZ+0000)",
             "#!END-HEADER"]  # fmt: skip
    return "".join(f"{line}\r\n" for line in lines).encode() + b"".join(packets)


def _flat(identifier: bytes, fields: list[tuple[str, object]]) -> bytes:
    """A FlatBuffers table of int32 ("i"), int64 ("q"), string ("s") and structs of 16 bytes ("v")."""
    count = len(fields)
    vtable_at = 8
    table_at = vtable_at + 4 + 2 * count
    table_at += -table_at % 8 + 4
    at, offsets, slots = table_at + 4, [], []
    for kind, _ in fields:
        at += -at % (8 if kind == "q" else 4)
        offsets.append(at - table_at)
        slots.append(at)
        at += 8 if kind == "q" else 4
    out = bytearray(at)
    struct.pack_into("<I4s", out, 0, table_at, identifier)
    struct.pack_into(f"<HH{count}H", out, vtable_at, 4 + 2 * count, at - table_at, *offsets)
    struct.pack_into("<i", out, table_at, table_at - vtable_at)
    for (kind, value), slot in zip(fields, slots):
        if kind in "iq":
            struct.pack_into(f"<{kind}", out, slot, value)
            continue
        body = value if isinstance(value, bytes) else bytes(value)  # type: ignore[call-overload]
        while (len(out) + 4) % 8:
            out += b"\0"
        struct.pack_into("<I", out, slot, len(out) - slot)
        out += struct.pack("<I", len(body) // (16 if kind == "v" else 1)) + body + b"\0" * (kind == "s")
    return bytes(out)


def aedat4_events(events: np.ndarray) -> bytes:
    """The plain bytes of an events packet."""
    body = b"".join(struct.pack("<qhhBxxx", *map(int, e)) for e in events)
    table = _flat(b"EVTS", [("v", body)])
    return struct.pack("<I", len(table)) + table


def aedat4(
    *packets: tuple[int, bytes], compression: int = 1, size: tuple[int, int] = SIZE, streams: str = "EVTS IMUS"
) -> bytes:
    """An AEDAT 4 file of packets (stream, plain bytes), with a table of contents at its end."""
    nodes = "".join(
        f'<node name="{k}"><attr key="typeIdentifier" type="string">{kind}</attr><node name="info">'
        f'<attr key="sizeX" type="int">{size[0]}</attr><attr key="sizeY" type="int">{size[1]}</attr></node></node>'
        for k, kind in enumerate(streams.split())
    )
    text = f'<dv version="2.0"><node name="outInfo">{nodes}</node></dv>'.encode()
    body = b"".join(struct.pack("<ii", k, len(p)) + p for k, p in ((k, _pack(d, compression)) for k, d in packets))
    start = 18 + len(_flat(b"IOHE", [("i", compression), ("q", 0), ("s", text)]))
    header = _flat(b"IOHE", [("i", compression), ("q", start + len(body)), ("s", text)])
    return b"#!AER-DAT4.0\r\n" + struct.pack("<i", len(header)) + header + body + b"a table of contents"


def _pack(data: bytes, compression: int) -> bytes:
    if compression == 0:
        return data
    if compression in (1, 2):
        import lz4.frame

        return lz4.frame.compress(data)
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


def csv(events: np.ndarray) -> bytes:
    """Text with a header."""
    return b"t,x,y,p\n" + b"".join(b"%d,%d,%d,%d\n" % e for e in events.tolist())


def dsec(events: np.ndarray, path: Path, size: tuple[int, int] | None = SIZE, offset: int = 0) -> bytes:
    """The bytes of an HDF5 file in the layout of DSEC, with the Blosc filter."""
    import h5py
    import hdf5plugin

    with h5py.File(path, "w") as file:
        for c in "txyp":
            values = events[c] - offset if c == "t" else events[c]
            file.create_dataset(f"events/{c}", data=values, chunks=(min(100, len(values)),), **hdf5plugin.Blosc())
        if offset:
            file["t_offset"] = np.int64(offset)
        if size:
            file.attrs["width"], file.attrs["height"] = size
    return path.read_bytes()


def shd(path: Path, *samples: np.ndarray) -> bytes:
    """The bytes of an HDF5 file in the layout of SHD."""
    import h5py

    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", (len(samples),), h5py.vlen_dtype(np.float64))
        units = file.create_dataset("spikes/units", (len(samples),), h5py.vlen_dtype(np.uint16))
        for k, events in enumerate(samples):
            times[k], units[k] = events["t"] / 1e6, events["x"]
        file["labels"] = np.arange(len(samples))
    return path.read_bytes()


def every_format(folder: Path, events: EventStream | None = None) -> dict[str, tuple[str, bytes]]:
    """{format: (file name, bytes)} of the same events, once in each format that holds them."""
    from snnkit.data.files.evt2 import encode_evt2

    s = events or stream()
    e = s.events
    small = aedat4_events(e[: len(e) // 2]), aedat4_events(e[len(e) // 2 :])
    make: dict[str, tuple[str, Callable[[], bytes]]] = {
        "aedat4": ("a.aedat4", lambda: aedat4((0, small[0]), (1, b"imu"), (0, small[1]))),
        "aedat31": ("a.aedat", lambda: aedat3(aedat3_packet(e[:100]), aedat3_packet(e[:3], 2), aedat3_packet(e[100:]))),
        "aedat2": ("a.aedat", lambda: aedat2(e, width=240)),
        "evt2": ("a.raw", lambda: raw_header("EVT2", s.sensor_size) + encode_evt2(e)),
        "evt21": ("a.raw", lambda: raw_header("EVT21", s.sensor_size, "endianness legacy") + evt21(e, "legacy")),
        "evt3": ("a.raw", lambda: raw_header("EVT3", s.sensor_size) + evt3(e)),
        "dat": ("a.dat", lambda: dat(e, s.sensor_size)),
        "hdf5": ("a.hdf5", lambda: dsec(e, folder / "made.hdf5", s.sensor_size)),
        "shd": ("b.h5", lambda: shd(folder / "made.h5", e)),
        "atis": ("a.bin", lambda: encode_atis(s)),
        "csv": ("a.csv", lambda: csv(e)),
        "npz": ("a.npz", lambda: encode_npz(s)),
        "nas": ("a.nas", lambda: _nas(e)),
    }
    return {name: (file, build()) for name, (file, build) in make.items()}


def _nas(events: np.ndarray) -> bytes:
    record = np.empty(len(events), np.dtype([("a", ">u2"), ("t", ">u4")]))
    record["a"] = events["x"].astype(np.int64) << 1 | (1 - events["p"])
    record["t"] = events["t"] * 5
    return record.tobytes()


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut, or bytes changed, put in, taken out, repeated; often near the head, where the lengths stand."""
    out = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 2, 8]))):
        near = int(rng.choice([16, 256, len(out), len(out)]))
        at = int(rng.integers(0, max(min(near, len(out)), 1)))
        kind = int(rng.integers(0, 7))
        if kind == 0:
            out = out[:at]
        elif kind in (1, 2):
            out[at : at + 1] = bytes([int(rng.integers(0, 256))])
        elif kind == 3:
            out[at : at + 4] = rng.choice([b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0" * 4, b"\0\0\0\x80"])
        elif kind == 4:
            out[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 5:
            del out[at : at + int(rng.integers(1, 9))]
        else:
            out[at:at] = out[at : at + 64]
    return bytes(out)
