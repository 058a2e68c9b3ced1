"""Every format: the same events out as in, whatever the size of the pieces; the words of each by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.data import files
from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files import aedat2, aedat4, evt3, evt21
from snnkit.data.files import formats as known
from snnkit.data.files.aedat3 import Aedat3Decoder
from snnkit.data.files.atis import AtisDecoder
from snnkit.data.files.dat import DatDecoder, WrappingClock
from snnkit.data.files.evt2 import Evt2Decoder
from snnkit.data.files.evt3 import Evt3Decoder
from snnkit.data.files.evt21 import Evt21Decoder
from snnkit.data.files.nas import NasDecoder
from snnkit.data.files.reader import BytesReader
from snnkit.errors import DataError

from . import encoders
from .encoders import rows, stream, words

DECODERS = {
    "aedat31": Aedat3Decoder,
    "evt2": Evt2Decoder,
    "evt3": Evt3Decoder,
    "dat": DatDecoder,
    "atis": AtisDecoder,
    "nas": NasDecoder,
}


def opened(folder: Path, name: str) -> files.Recording:
    file, data = encoders.every_format(folder)[name]
    (folder / file).write_bytes(data)
    return files.open_recording(folder / file, format="nas" if name == "nas" else None)


@pytest.mark.parametrize("name", [*known.FORMATS, "shd"])
def test_the_same_events_in_every_format(name: str, tmp_path: Path) -> None:
    recording = opened(tmp_path, name)
    assert recording.format == ("hdf5" if name == "shd" else name)
    got = recording.read()
    want = stream().events.copy()
    if name == "shd":
        want["y"], want["p"] = 0, 1
    if name == "nas":
        want["y"] = 0
    assert np.array_equal(got.events, want)
    assert recording.notes == []
    size = {
        "aedat31": (240, 180),
        "aedat2": (240, 180),
        "shd": (700, 1),
        "nas": (64, 1),
        "csv": (64, 48),
        "atis": (64, 48),
    }
    assert got.sensor_size == size.get(name, (64, 48))
    assert recording.others == {"aedat31": 3, "aedat4": 1}.get(name, 0)
    assert len(list(recording.chunks(77))) == 4
    assert [len(c) for c in recording.chunks(77)] == [77, 77, 77, 69]
    assert np.array_equal(np.concatenate(list(recording.chunks(77))), want)


@settings(max_examples=25)
@given(st.integers(1, 50), st.integers(0, 200))
def test_decoders_do_not_mind_where_pieces_end(piece: int, seed: int) -> None:
    events = stream(60, seed).events
    data = {
        Evt21Decoder: encoders.evt21(events),
        Evt3Decoder: encoders.evt3(events),
        Aedat3Decoder: encoders.aedat3_packet(events[:31]) + encoders.aedat3_packet(events[31:]),
        DatDecoder: encoders.dat(events).split(b"\x0c\x08", 1)[1],
    }
    for decoder_class, whole in data.items():
        decoder = decoder_class()
        parts = [decoder.feed(whole[i : i + piece]) for i in range(0, len(whole), piece)]
        assert np.array_equal(np.concatenate(parts), events), decoder_class
        assert decoder.tally.faults() == decoder.tally.notes() == []
        assert (decoder.tally.events, decoder.tally.bytes) == (60, len(whole))
    plain = encoders.aedat4((0, encoders.aedat4_events(events[:20])), (0, encoders.aedat4_events(events[20:])))
    header = aedat4.read_header(plain, "x")
    decoder = aedat4.Aedat4Decoder(header)
    parts = [decoder.feed(plain[i : i + piece]) for i in range(header.bytes, len(plain), piece)]
    assert np.array_equal(np.concatenate(parts), events)
    assert decoder.tally.faults() == []
    decoder = aedat4.Aedat4Decoder(header)
    decoder.feed(plain[header.bytes : header.bytes + 100])
    assert decoder.tally.left_over == decoder.drop_rest() == 100
    assert decoder.tally.faults() == []


# ---------------------------------------------------------------------------------------------------------------- EVT 3
def evt3_events(*values: int) -> list[tuple[int, int, int, int]]:
    return Evt3Decoder().feed(words("<u2", *values)).tolist()


def test_evt3_words() -> None:
    assert evt3_events(0x8001, 0x6002, 0x0005, 0x2003, 0x2804) == [(4098, 3, 5, 0), (4098, 4, 5, 1)]
    # vectors: bits name pixels from the base on, and the base moves on
    assert evt3_events(0x8000, 0x6000, 0x0007, 0x3800 | 100, 0x4000 | 0b100000000001, 0x5000 | 0b10000001, 0x4001) == [
        (0, 100, 7, 1), (0, 111, 7, 1), (0, 112, 7, 1), (0, 119, 7, 1), (0, 120, 7, 1)
    ]  # fmt: skip
    # 0x0800 is the master or slave bit of a row
    assert evt3_events(0x8000, 0x6001, 0x0805, 0x2003) == [(1, 3, 5, 0)]


def test_evt3_clock() -> None:
    y_x = (0x0005, 0x2003)
    assert [e[0] for e in evt3_events(0x8FFF, 0x6FFF, *y_x, 0x8000, 0x2003, 0x6004, 0x2003)] == [
        2**24 - 1, 2**24, 2**24 + 4
    ]  # fmt: skip
    # the same high word again leaves the low bits; another one clears them
    assert [e[0] for e in evt3_events(0x8002, 0x6010, *y_x, 0x8002, 0x2003, 0x8003, 0x2003)] == [8208, 8208, 12288]
    # a small step back is no wrap
    assert [e[0] for e in evt3_events(0x8008, 0x6000, *y_x, 0x8007, 0x2003)] == [8 << 12, 7 << 12]


def test_evt3_counts_what_is_no_event() -> None:
    decoder = Evt3Decoder()
    data = words("<u2", 0x2003, 0x8000, 0x2003, 0x4003, 0x0001, 0x4003, 0xE001, 0xF123, 0x7001, 0xA001, 0x1000, 0xB000)
    assert decoder.feed(data).tolist() == []
    assert (decoder.tally.unplaced, decoder.tally.other, decoder.tally.unknown) == (6, 4, 2)


def test_evt3_equals_the_evt3_package() -> None:
    evt3_package = pytest.importorskip("evt3", reason="needs evt3")
    rng = np.random.default_rng(5)
    for _ in range(20):
        high, low, out = int(rng.integers(0, 4096)), 0, []
        for k in range(300):
            if k % 9 == 0:  # as cameras send it: a new high word, then its low word
                high, low = (high + int(rng.integers(1, 4))) % 4096, 0
                out += [0x8000 | high, 0x6000]
                out += [0x3000 | int(rng.integers(0, 2)) << 11 | int(rng.integers(0, 1200)), int(rng.integers(0, 720))]
            low = min(low + int(rng.integers(0, 400)), 4095)
            kind = int(rng.integers(0, 6))
            x, y, mask = int(rng.integers(0, 1280)), int(rng.integers(0, 720)), int(rng.integers(0, 4096))
            words_ = [0x2000 | kind << 11 & 0x800 | x, 0x4000 | mask, 0x5000 | mask & 255, 0x6000 | low, y, 0xE012]
            out.append(words_[kind])
        data = words("<u2", *out)
        theirs, ours = evt3_package.Decoder().feed(data), Evt3Decoder().feed(data)
        assert len(ours) > 200
        for column in "txyp":
            assert np.array_equal(np.asarray(getattr(theirs, column)).astype(np.int64), ours[column])


# -------------------------------------------------------------------------------------------------------------- EVT 2.1
@pytest.mark.parametrize("order", evt21.ORDERS)
@pytest.mark.parametrize("vectors", [False, True])
def test_evt21_both_byte_orders(order: str, vectors: bool, tmp_path: Path) -> None:
    row = rows(*[(1000, x, 5, 1) for x in (32, 33, 40, 63)], (1064, 2, 3, 0), (9000, 64, 0, 1))
    data = encoders.evt21(row, order, vectors)
    assert Evt21Decoder(order).feed(data).tolist() == row.tolist()
    assert evt21.guess_order(data) == order
    for more in ((f"endianness {order}",), ()):  # named by the header, or guessed
        path = tmp_path / "a.raw"
        path.write_bytes(encoders.raw_header("EVT21", (128, 96), *more) + data)
        recording = files.open_recording(path)
        assert recording.read().events.tolist() == row.tolist()
        assert recording.label == f"Prophesee EVT2.1, {order} endianness"


def test_evt21_clock_and_masks() -> None:
    time = (8 << 60) | ((1 << 28) - 1) << 32
    event = 1 << 60 | 63 << 54 | 2016 << 43 | 2047 << 32
    decoder = Evt21Decoder()
    got = decoder.feed(words("<u8", event | 7, time, event | 1 << 31, 8 << 60, event | 1, 0xA << 60, 0x5 << 60))
    assert got.tolist() == [(2**34 - 1, 2047, 2047, 1), (2**34 + 63, 2016, 2047, 1)]
    assert (decoder.tally.unplaced, decoder.tally.other, decoder.tally.unknown) == (3, 1, 1)
    full = Evt21Decoder().feed(words("<u8", 8 << 60, *[1 << 60 | 0xFFFFFFFF] * 50))
    assert len(full) == 1600


def test_compiled_loops_equal_the_plain_ones() -> None:
    rng = np.random.default_rng(1)
    short = rng.integers(0, 1 << 16, 2000).astype(np.uint16)
    short[::5] = short[::5] & 0xFFF | 0x8000
    long = rng.integers(0, 1 << 32, 400, np.uint32)
    long[1::4] = long[1::4] & 0x0FFFFFFF | 8 << 28
    for loop, data, extra, state in (
        (evt3._words_to_events, short, (), [-1, 0, 0, -1, -1, 0, 0, 0, 0]),
        (evt21._words_to_events, long, (1,), [-1, 0, 0, 0, 0]),
    ):
        got = []
        for form in (loop, loop.py_func):
            now, out, at, parts = np.array(state), np.zeros(300, EVENT_DTYPE), 0, []
            while at < len(data) // (1 + len(extra)):
                at, n = form(data, *extra, at, now, out)
                assert n <= 300
                parts += out[:n].tolist()
            got.append((parts, now.tolist()))
        assert got[0] == got[1]
        assert len(got[0][0]) > 100


# ------------------------------------------------------------------------------------------------------------------ DAT
def test_dat_versions(tmp_path: Path) -> None:
    row = rows((5, 300, 100, 1), (6, 0, 3, 0), (2**32 - 1, 7, 8, 1), (2**32 + 3, 9, 9, 0))
    for version, header, name in (
        (2, "Version 2", "v2"), (1, "Version 1", "v1"), (2, "no version", "v2"), (1, "no version", "v1")
    ):  # fmt: skip
        data = encoders.dat(row, None, version).replace(f"Version {version}".encode(), header.encode())
        (tmp_path / "a.dat").write_bytes(data)
        recording = files.open_recording(tmp_path / "a.dat")
        assert recording.read().events.tolist() == row.tolist()
        assert recording.label == f"Prophesee DAT {name} CD"
        assert recording.sensor_size == (301, 101)  # as in N-CARS, no size is stated


def test_dat_of_other_events(tmp_path: Path) -> None:
    data = encoders.dat(rows((5, 1, 1, 1)))
    for bad in (bytes([14, 8]), bytes([12, 16])):
        (tmp_path / "a.dat").write_bytes(data.replace(b"\x0c\x08", bad, 1))
        with pytest.raises(DataError, match="type"):
            files.read(tmp_path / "a.dat")
    (tmp_path / "a.dat").write_bytes(data + words("<u4", 9, 3 << 28))  # a polarity of 3
    with pytest.warns(files.RecordingWarning, match="1 events without a time or place"):
        assert len(files.read(tmp_path / "a.dat")) == 1


@given(st.lists(st.integers(0, 200), max_size=30), st.integers(1, 7))
def test_wrapping_clock(steps: list[int], piece: int) -> None:
    times = np.cumsum([0, *[s % 120 for s in steps]])
    clock = WrappingClock(8)
    raw = (times % 256).astype(np.uint32)
    got = [clock.extend(raw[i : i + piece]) for i in range(0, len(raw), piece)]
    assert np.array_equal(np.concatenate(got), times)
    assert np.array_equal(WrappingClock(8).extend(raw), times)


# ---------------------------------------------------------------------------------------------------------------- AEDAT
def test_aedat2_of_a_davis_and_its_other_records() -> None:
    davis = aedat2.Aedat2Decoder((240, 180), True)
    event = 5 << 22 | 3 << 12 | 1 << 11
    assert davis.feed(words(">u4", event, 7, 1 << 31, 8, event | 1 << 10, 9)).tolist() == [(7, 236, 5, 1)]
    assert davis.tally.other == 2
    assert davis.feed(words(">u4", 5 << 22 | 1000 << 12, 10)).tolist() == []
    assert davis.tally.unplaced == 1
    dvs = aedat2.Aedat2Decoder()
    assert dvs.feed(words(">u4", 5 << 8 | 3 << 1, 2**32 - 1, 5 << 8 | 3 << 1 | 1, 4, 1 << 15, 5)).tolist() == [
        (2**32 - 1, 124, 5, 1), (2**32 + 4, 124, 5, 0)
    ]  # fmt: skip
    assert dvs.tally.other == 1


@pytest.mark.parametrize(
    ("chip", "size", "said"),
    [
        ("ch.unizh.ini.jaer.chip.retina.DVS128", (128, 128), "DVS128"),
        ("eu.seebetter.ini.chips.davis.DAVIS240C", (240, 180), "DAVIS240C"),
        ("eu.seebetter.ini.chips.davis.Davis346blue", (346, 260), "Davis346blue"),
    ],
)
def test_aedat2_chips(chip: str, size: tuple[int, int], said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(encoders.aedat2(stream().events, chip, size[0]))
    recording = files.open_recording(path)
    assert np.array_equal(recording.read().events, stream().events)
    assert (recording.sensor_size, recording.label) == (size, f"AEDAT 2.0, {said} addresses")


def test_aedat2_without_a_chip(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(encoders.aedat2(stream().events, "x.y.DVS128", 128).replace(b"AEChip", b"Camera"))
    with pytest.warns(files.RecordingWarning, match="read as of a DVS128"):
        assert np.array_equal(files.read(path).events, stream().events)
    path.write_bytes(encoders.aedat2(stream().events, "x.y.z", 346).replace(b"AEChip", b"Camera"))
    with pytest.warns(files.RecordingWarning, match="read as of a DAVIS"):
        got = files.read(path, sensor_size=(346, 260))
    assert np.array_equal(got.events, stream().events)


def test_aedat2_events_that_begin_like_a_header_line(tmp_path: Path) -> None:
    row = rows((10, 3, 0x23 << 2 | 1, 1), (2570, 4, 0x23 << 2, 0))  # 0x23 is '#', and 2570 holds two line ends
    path = tmp_path / "a.aedat"
    path.write_bytes(encoders.aedat2(row))
    assert files.read(path, sensor_size=(240, 180)).events.tolist() == row.tolist()


def test_aedat3_mixed_packets_overflow_and_invalid_events(tmp_path: Path) -> None:
    row = rows((5, 1, 2, 1), (6, 3, 4, 0))
    late = rows((2**31 + 5, 1, 2, 1))
    frame = struct.pack("<hhiiiiii", 2, 0, 50, 20, 0, 3, 2, 2) + b"#" * 150  # a capacity beyond its events
    data = encoders.aedat3(
        encoders.aedat3_packet(row), frame, encoders.aedat3_packet(row, valid=0), encoders.aedat3_packet(row, source=1),
        encoders.aedat3_packet(row[:0]), encoders.aedat3_packet(late, overflow=1),
    )  # fmt: skip
    path = tmp_path / "a.aedat"
    path.write_bytes(data)
    recording = files.open_recording(path)
    assert recording.read().events.tolist() == [*row.tolist(), *late.tolist()]
    assert recording.sensor_size == (240, 180)
    assert recording.others == 4
    assert recording.notes == ["2 events without a time or place (before the first clock word, or invalid)"]


@pytest.mark.parametrize(
    "damage",
    [
        struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, 1, 2, 2),  # more events than the capacity
        struct.pack("<hhiiiiii", 1, 0, 12, 4, 0, 1, 1, 1),
        struct.pack("<hhiiiiii", -3, 0, 8, 4, 0, 1, 1, 1),
        struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, 2**31 - 1, 2**31 - 1, 0),  # 16 GB to come, and the file ends
    ],
)
def test_aedat3_damaged_packets(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(encoders.aedat3(encoders.aedat3_packet(stream().events), damage))
    with pytest.raises(DataError, match="the first 300 events are sound") as caught:
        files.read(path)
    assert ("lacks 17,179,869,176 bytes" in caught.value.what) == (b"\xff\xff\x7f" in damage)
    with pytest.warns(files.RecordingWarning):
        assert len(files.read(path, partial=True)) == 300


def test_aedat3_only_raw(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(encoders.aedat3(b"").replace(b"Format: RAW", b"Format: PNG"))
    with pytest.raises(DataError, match="PNG"):
        files.read(path)


@pytest.mark.parametrize("compression", range(5))
def test_aedat4_compressions(compression: int, tmp_path: Path) -> None:
    events = stream().events
    path = tmp_path / "a.aedat4"
    path.write_bytes(encoders.aedat4((1, b"imu"), (0, encoders.aedat4_events(events)), compression=compression))
    recording = files.open_recording(path)
    assert np.array_equal(recording.read().events, events)
    assert recording.label == f"AEDAT 4 ({('none', 'LZ4', 'LZ4', 'ZSTD', 'ZSTD')[compression]}; events+imu)"


def test_aedat4_equals_the_aedat_package(tmp_path: Path) -> None:
    aedat = pytest.importorskip("aedat", reason="needs aedat")
    path = tmp_path / "a.aedat4"
    path.write_bytes(encoders.aedat4((0, encoders.aedat4_events(stream().events)), streams="EVTS"))
    theirs = next(p["events"] for p in aedat.Decoder(str(path)) if "events" in p)
    ours = files.read(path).events
    for mine, name in zip("txyp", ("t", "x", "y", "on")):
        assert np.array_equal(ours[mine], theirs[name])


def test_aedat4_damage(tmp_path: Path) -> None:
    one, two = (encoders.aedat4_events(e) for e in (stream().events[:200], stream().events[200:]))
    whole = encoders.aedat4((0, one), (0, two))
    path = tmp_path / "a.aedat4"
    cases = {
        "no events stream": encoders.aedat4((0, one), streams="IMUS"),
        "damaged (stream 9": encoders.aedat4((0, one), (9, b"x"), (0, two)),
        "is damaged (": encoders.aedat4((0, one), (0, b"\5\0\0\0nonsense")),
        "cut off": whole[:-30],
    }
    for words_, data in cases.items():
        path.write_bytes(data)
        with pytest.raises(DataError) as caught:
            files.read(path)
        assert words_ in str(caught.value)
        if "no events" not in words_:
            with pytest.warns(files.RecordingWarning):
                assert np.array_equal(files.read(path, partial=True).events, stream().events[:200])
    two_cameras = encoders.aedat4((0, one), (1, two), streams="EVTS EVTS")
    path.write_bytes(two_cameras)
    with pytest.warns(files.RecordingWarning, match="2 events streams"):
        assert len(files.read(path)) == 200


@pytest.mark.parametrize("compression", [1, 3])
def test_aedat4_packets_that_unpack_to_too_much(compression: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = encoders._pack(bytes(1 << 23), compression)
    assert len(aedat4.decompress(bomb, compression)) == 1 << 23
    monkeypatch.setattr(aedat4, "LONGEST_PACKET", 1 << 20)
    with pytest.raises(ValueError, match="too many"):
        aedat4.decompress(bomb, compression)


def test_a_file_is_decoded_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnkit.data.files import reader

    monkeypatch.setattr(reader, "BLOCK", 101)
    for name in ("aedat31", "aedat2", "evt2", "evt21", "evt3", "dat", "atis", "aedat4"):
        recording = opened(tmp_path, name)
        assert isinstance(recording._opener(), BytesReader)
        assert np.array_equal(recording.read().events, stream().events), name
