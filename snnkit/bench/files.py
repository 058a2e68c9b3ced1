"""How fast recordings are read: every format, ours beside the packages that are installed; files in the page cache.

The events are simulated (640x480 pixels, 5 million events a second, neighbouring in rows as moving edges are), the same
for every format that can hold them; ours is timed to the checked `EventStream` (`read`) and in bounded memory (`iter`).
Other readers are timed to their own arrays; `same events` says whether these are the events that were written. tonic
reads EVT and DAT with expelliarmus.
"""

from __future__ import annotations

import importlib.util
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data import EventStream, files
from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.atis import encode_atis

FULL, QUICK = 5_000_000, 1_000_000
SLOW = {"csv": 5, "hdf5": 2}
"""So many times fewer events for formats that are slow to write."""
ROUNDS = 3
PACKET = 8192

Array = NDArray[Any]


def simulate(n: int, size: tuple[int, int] = (640, 480), seed: int = 0) -> EventStream:
    """n events: rows of neighbours that fire together, 5 million events a second."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 2, n).cumsum()
    t = np.sort(rng.integers(0, n // 5 + 1, groups[-1] + 1))[groups]
    x0, y0, p0 = (rng.integers(0, top, groups[-1] + 1)[groups] for top in (size[0] - 16, size[1], 2))
    place = np.arange(n) - np.searchsorted(groups, groups)
    return EventStream.from_columns(t, x0 + np.minimum(place, 15), y0, p0, size, "simulated")


def _columns(stream: EventStream) -> tuple[Array, Array, Array, Array]:
    t, x, y, p = (stream.events[c].astype(np.int64) for c in "txyp")
    return t, x, y, p


def _header(encoding: str, size: tuple[int, int]) -> bytes:
    return f"% evt 3.0\n% format {encoding};height={size[1]};width={size[0]}\n% end\n".encode()


def _evt3(stream: EventStream) -> bytes:
    t, x, y, p = _columns(stream)
    words = np.stack([0x8000 | t >> 12 & 4095, 0x6000 | t & 4095, y, 0x2000 | p << 11 | x], 1)
    changed = np.ones(words.shape, bool)
    changed[1:, :3] = words[1:, :3] != words[:-1, :3]
    return _header("EVT3", stream.sensor_size) + words[changed].astype("<u2").tobytes()


def _evt21(stream: EventStream) -> bytes:
    t, x, y, p = _columns(stream)
    words = np.stack([8 << 28 | t >> 6, p << 28 | (t & 63) << 22 | x << 11 | y], 1)
    changed = np.ones(words.shape, bool)
    changed[1:, 0] = words[1:, 0] != words[:-1, 0]
    masks = np.broadcast_to(np.array([0, 1]), words.shape)
    both = np.stack([masks[changed], words[changed]], 1)
    return _header("EVT21", stream.sensor_size) + both.astype("<u4").tobytes()


def _dat(stream: EventStream) -> bytes:
    t, x, y, p = _columns(stream)
    width, height = stream.sensor_size
    head = f"% Data file containing CD events.\n% Version 2\n% Height {height}\n% Width {width}\n".encode()
    return head + b"\x0c\x08" + np.stack([t, x | y << 14 | p << 28], 1).astype("<u4").tobytes()


def _aedat2(stream: EventStream) -> bytes:
    t, x, y, p = _columns(stream)
    record = np.stack([(stream.sensor_size[0] - 1 - x) << 12 | y << 22 | p << 11, t], 1)
    return b"#!AER-DAT2.0\r\n# AEChip: davis.Davis640\r\n" + record.astype(">u4").tobytes()


def _aedat31(stream: EventStream) -> bytes:
    t, x, y, p = _columns(stream)
    data = np.stack([x << 17 | y << 2 | p << 1 | 1, t], 1).astype("<u4")
    parts = [b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 0: DVXplorer\r\n#!END-HEADER\r\n"]
    for i in range(0, len(data), PACKET):
        n = len(data[i : i + PACKET])
        parts += [struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, n, n, n), data[i : i + PACKET].tobytes()]
    return b"".join(parts)


def _aedat4(stream: EventStream) -> bytes:
    import lz4.frame

    width, height = stream.sensor_size
    text = (
        '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/"><node name="0" path="/mainloop/'
        'Recorder/outInfo/0/"><attr key="typeIdentifier" type="string">EVTS</attr><node name="info" path="/mainloop/'
        f'Recorder/outInfo/0/info/"><attr key="sizeX" type="int">{width}</attr><attr key="sizeY" type="int">{height}'
        "</attr></node></node></node></dv>"
    ).encode()
    # size prefix, offset of the table, identifier, vtable (compression, no table of contents, text), the table
    header = struct.pack("<I4sHHHHHHiiII", 20, b"IOHE", 10, 12, 4, 0, 8, 0, 12, 1, 4, len(text)) + text
    header += b"\0" * (4 + -len(text) % 4)
    plain = np.zeros(len(stream), np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("pad", "u1", 3)]))
    for c in "txyp":
        plain[c] = stream.events[c]
    parts = [b"#!AER-DAT4.0\r\n", struct.pack("<i", len(header)), header]
    for i in range(0, len(plain), PACKET):
        body = plain[i : i + PACKET]
        table = struct.pack("<I4sHHHHiII", 16, b"EVTS", 6, 8, 4, 0, 8, 4, len(body)) + body.tobytes()
        packed = lz4.frame.compress(struct.pack("<I", len(table)) + table)
        parts += [struct.pack("<ii", 0, len(packed)), packed]
    return b"".join(parts)


ENCODERS: dict[str, Callable[[EventStream], bytes]] = {
    "aedat4": _aedat4,
    "aedat31": _aedat31,
    "aedat2": _aedat2,
    "evt21": _evt21,
    "evt3": _evt3,
    "dat": _dat,
    "atis": encode_atis,
}
ENDINGS = {"aedat4": "aedat4", "aedat31": "aedat", "aedat2": "aedat", "evt2": "raw", "evt21": "raw", "evt3": "raw",
           "dat": "dat", "atis": "bin", "hdf5": "hdf5", "npz": "npz", "csv": "csv"}  # fmt: skip


def _ours(path: Path) -> Array:
    return files.read(path).events


def _ours_in_pieces(path: Path) -> None:
    for _ in files.iter(path, 1 << 18):
        pass


def _aedat_package(path: Path) -> Array:
    import aedat

    parts = [p["events"] for p in aedat.Decoder(str(path)) if "events" in p]
    events = np.concatenate(parts)
    events.dtype.names = ("t", "x", "y", "p")
    return events


def _evt3_package(path: Path) -> Any:
    import evt3

    events = evt3.decode_file(str(path))
    return {c: getattr(events, c) for c in "txyp"}


def _expelliarmus(encoding: str) -> Callable[[Path], Array]:
    def read(path: Path) -> Array:
        from expelliarmus import Wizard

        events: Array = Wizard(encoding=encoding).read(str(path))
        return events

    return read


PEERS: dict[str, list[tuple[str, Callable[[Path], Any]]]] = {
    "aedat4": [("aedat", _aedat_package)],
    "evt3": [("evt3", _evt3_package), ("expelliarmus", _expelliarmus("evt3"))],
    "evt2": [("expelliarmus", _expelliarmus("evt2"))],
    "dat": [("expelliarmus", _expelliarmus("dat"))],
}


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Rows of format, reader, events, million events per second, MB per second, and whether the events are right."""
    n = QUICK if quick else FULL
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, ending in ENDINGS.items():
            count = n // SLOW.get(name, 1)
            stream = simulate(count, (34, 34) if name == "atis" else (640, 480))
            path = Path(folder) / f"a.{ending}"
            if name in ENCODERS:
                path.write_bytes(ENCODERS[name](stream))
            else:
                files.write(path, stream)
            readers: list[tuple[str, Callable[[Path], Any]]] = [
                ("snnkit read", _ours),
                ("snnkit iter", _ours_in_pieces),
            ]
            readers += [(k, f) for k, f in PEERS.get(name, []) if importlib.util.find_spec(k)]
            for reader, function in readers:
                rows.append({"format": name, "reader": reader, **_measure(function, path, stream)})
            path.unlink()
    return rows


def _measure(function: Callable[[Path], Any], path: Path, stream: EventStream) -> dict[str, Any]:
    got: Any = function(path)  # compiles, and fills the page cache
    same = None if got is None else _same(got, stream.events)
    del got
    best = min(_once(function, path) for _ in range(ROUNDS))
    return {
        "events": len(stream),
        "million_events_s": round(len(stream) / best / 1e6, 2),
        "MB_s": round(path.stat().st_size / best / 1e6, 1),
        "same events": same,
    }


def _once(function: Callable[[Path], Any], path: Path) -> float:
    start = time.perf_counter()
    function(path)
    return time.perf_counter() - start


def _same(got: Any, want: NDArray[np.void]) -> bool:
    assert want.dtype == EVENT_DTYPE
    return len(got["t"]) == len(want) and all(np.array_equal(got[c], want[c]) for c in "txyp")
