from __future__ import annotations

import csv
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.data import EventStream, describe_recording, read_atis, write_atis
from snnkit.data.files.atis import decode_columns, encode_atis
from snnkit.errors import DataError


def test_known_bytes():
    # x = 3, y = 7, ON, t = 0x012345; then x = 33, y = 0, OFF, t = 0x7FFFFF
    t, x, y, p = decode_columns(bytes([3, 7, 0x81, 0x23, 0x45, 33, 0, 0x7F, 0xFF, 0xFF]))
    assert (t.tolist(), x.tolist(), y.tolist(), p.tolist()) == ([0x012345, 0x7FFFFF], [3, 33], [7, 0], [1, 0])


def test_overflow_marker_adds_8192_us_to_what_follows():
    marker = [0, 240, 0, 0, 9]
    data = bytes([1, 1, 0, 0, 5, *marker, 2, 2, 0, 0, 6, *marker, *marker, 3, 3, 0x80, 0, 7])
    t, x, _, p = decode_columns(data)
    assert t.tolist() == [5, 8192 + 6, 3 * 8192 + 7]
    assert x.tolist() == [1, 2, 3]
    assert p.tolist() == [0, 0, 1]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**24), st.integers(0, 33), st.integers(0, 33), st.integers(0, 1)),
        min_size=1,
        max_size=40,
    )
)
def test_what_is_written_is_read_back(events):
    t, x, y, p = (np.array(c) for c in zip(*sorted(events, key=lambda e: e[0])))
    stream = EventStream.from_columns(t, x, y, p, (34, 34))
    for got, want in zip(decode_columns(encode_atis(stream)), (t, x, y, p)):
        assert got.tolist() == want.tolist()


def test_file_round_trip(tmp_path):
    stream = EventStream.from_columns([10, 20, 9_000_000], [0, 1, 2], [3, 4, 5], [1, 0, 1], (34, 34))
    write_atis(tmp_path / "a.bin", stream)
    back = read_atis(tmp_path / "a.bin")
    assert np.array_equal(back.events, stream.events)
    assert back.sensor_size == (34, 34)


GOOD = bytes([3, 7, 0x81, 0x23, 0x45, 5, 5, 0x81, 0x23, 0x46])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["empty", "again"]),
        (GOOD[:-1], ["9 bytes", "multiple of 5", "cut off", "again"]),
        (GOOD + bytes([34, 0, 0x82, 0, 0]), ["event 2", "x=34", "34x34"]),
        (GOOD + GOOD[:5], ["time runs back at event 2"]),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10" + b"\x08\x06\x00\x00\x00", ["outside"]),
    ],
)
def test_truncated_or_wrong_files_are_refused(tmp_path, data, words):
    path = tmp_path / "00017.bin"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_atis(path)
    for word in ["00017.bin", "fix:", *words]:
        assert word in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere.bin"):
        read_atis(tmp_path / "nowhere.bin")


def test_streams_that_do_not_fit_the_format_are_refused():
    with pytest.raises(DataError, match="640x480"):
        encode_atis(EventStream.from_columns([1], [1], [1], [1], (640, 480)))
    with pytest.raises(DataError, match="-5"):
        encode_atis(EventStream.from_columns([-5], [1], [1], [1], (34, 34)))


def test_real_recordings_match_their_manifest(shared_dir):
    folder = shared_dir / "data" / "nmnist_subset"
    with open(folder / "manifest.csv") as f:
        rows = list(csv.DictReader(f))
    archives = {s: zipfile.ZipFile(folder / f"{s}.zip") for s in ("train", "valid")}
    for row in rows:
        t, x, y, p = decode_columns(archives[row["split"]].read(row["member"]), source=row["member"])
        facts = [len(t), t[0], t[-1], p.sum(), len(p) - p.sum(), x.max(), y.max()]
        keys = ("events", "t_first_us", "t_last_us", "on", "off", "x_max", "y_max")
        assert [int(v) for v in facts] == [int(row[k]) for k in keys], row["member"]


def test_agrees_with_tonics_reader(shared_dir, tmp_path):
    io = pytest.importorskip("tonic.io", exc_type=ImportError)
    with zipfile.ZipFile(shared_dir / "data" / "nmnist_subset" / "valid.zip") as archive:
        for name in archive.namelist()[:20]:
            path = tmp_path / "r.bin"
            path.write_bytes(archive.read(name))
            theirs = io.read_mnist_file(str(path), np.dtype([(c, "<i8") for c in "xytp"]))
            ours = read_atis(path)
            assert all(np.array_equal(ours.events[c], theirs[c]) for c in "txyp")


def test_describe_recording(tmp_path):
    path = tmp_path / "a.bin"
    write_atis(path, EventStream.from_columns([100, 200, 1100], [0, 0, 2], [3, 3, 5], [1, 0, 1], (34, 34)))
    facts = describe_recording(path)
    assert facts["sensor"] == [34, 34]
    assert (facts["events"], facts["on"], facts["off"]) == (3, 2, 1)
    assert (facts["t_first"], facts["t_last"], facts["duration_us"]) == (100, 1100, 1000)
    assert facts["rate_per_s"] == 3000
    assert facts["busiest_pixel"] == {"x": 0, "y": 3, "events": 2}
    write_atis(path, EventStream.from_columns([1], [200], [100], [1], (240, 180)))
    assert describe_recording(path)["sensor"] == [201, 101]
    with pytest.raises(DataError, match="cannot be read"):
        describe_recording(tmp_path / "a.xyz")
