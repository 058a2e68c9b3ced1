"""Recognition, errors that name the event, partial results, the shared recordings."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from snnkit.data import describe_recording, files
from snnkit.data.files.evt2 import encode_evt2
from snnkit.errors import DataError, ParameterError

from . import encoders
from .encoders import rows, stream


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# ----------------------------------------------------------------------------------------------------------- real files
def test_shared_recordings_are_read_exactly(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "event_formats"
    for want in json.loads((folder / "expected.json").read_text()):
        facts = describe_recording(folder / want["file"])
        same = (
            "sensor",
            "events",
            "t_first",
            "t_last",
            "x_range",
            "y_range",
            "on",
            "off",
            "monotonic",
            "decoded_sha256",
        )
        assert {k: facts[k] for k in same} == {k: want[k] for k in same}, want["file"]
        # what is in brackets there tells where the file comes from
        assert facts["format"].split(" (")[0] == want["format"].split(" (")[0]
        assert facts["notes"] == []
        got = files.read(folder / want["file"])
        digest = hashlib.sha256(b"".join(got.events[c].astype("<i8").tobytes() for c in "txyp"))
        assert digest.hexdigest() == want["decoded_sha256"]
        pieces = np.concatenate(list(files.iter(folder / want["file"], 1000)))
        assert np.array_equal(pieces, got.events)


def test_a_sound_recording_without_header(shared_dir: Path) -> None:
    path = shared_dir / "data" / "event_formats" / "nas_sound_mono_32ch_addr2b_ts02.aedat"
    got = files.read(path, format="nas")
    assert (len(got), int(got.t[0]), int(got.t[-1])) == (49864, 573010 // 5, 6296705 // 5)
    assert (got.sensor_size, int((got.p == 0).sum())) == ((32, 1), 24841)
    with pytest.raises(DataError, match="ending .aedat"):
        files.read(path)


# ---------------------------------------------------------------------------------------------------------- recognition
def test_content_goes_before_the_ending(tmp_path: Path) -> None:
    made = encoders.every_format(tmp_path)
    for name, (_, data) in made.items():
        if name in ("nas", "atis"):
            continue
        path = write(tmp_path, "a.bin", data)
        assert files.recognise(path) == {"shd": "hdf5"}.get(name, name)
        with pytest.warns(files.RecordingWarning, match="the ending .bin is of ATIS"):
            files.read(path)
        assert files.recognise(write(tmp_path, "nameless", data)) == {"shd": "hdf5"}.get(name, name)
    assert files.recognise(write(tmp_path, "a.bin", made["atis"][1])) == "atis"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.raw", b"\x89PNG\r\n\x1a\n" + bytes(50), ["ending .raw", "PNG picture"]),
        ("a.hdf5", b"% evt 9.9\n% end\n", ["EVT9.9", "EVT2"]),
        ("a.aedat", b"#!AER-DAT1.0\r\n", ["AEDAT 1.0", "jAER"]),
        ("a.aedat", b"#!AER-DAT3.0\r\n", ["AEDAT 3.0"]),
        ("a.es", b"Event Stream\2\0\0\1", ["Event Stream", "faery"]),
        ("a.csv.gz", gzip.compress(b"1,2,3,1\n"), ["gzip", "unpack"]),
        ("a.npz", pickle.dumps({"t": 1}), ["pickle", "never read"]),
        ("a.npy", b"\x93NUMPY\1\0", ["numpy.savez"]),
        ("a.xyz", bytes(range(100)), ["00 01 02 03", "known are", "format="]),
        ("a.json", b'{"t": [1]}', ["JSON"]),
        ("a.raw", b"", ["the file is empty"]),
        ("a.zip", b"PK\3\4" + bytes(100), ["50 4b"]),
        ("a.tar", bytes(257) + b"ustar" + bytes(250), ["tar archive"]),
    ],
)
def test_what_is_no_recording(tmp_path: Path, name: str, data: bytes, said: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        files.read(write(tmp_path, name, data))
    assert name in str(caught.value)
    assert caught.value.fix
    for word in said:
        assert word in str(caught.value)


def test_missing_folders_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere.raw: cannot be read"):
        files.read(tmp_path / "nowhere.raw")
    with pytest.raises(DataError, match="is a folder"):
        files.read(tmp_path)
    with pytest.raises(DataError, match="is a folder"):
        files.read(tmp_path, format="evt2")
    path = write(tmp_path, "a.raw", b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(DataError, match="cannot be read"):
        files.read(path)


def test_names_and_options(tmp_path: Path) -> None:
    path = write(tmp_path, "a.raw", encoders.raw_header("EVT2") + encode_evt2(stream().events))
    with pytest.raises(ParameterError, match="did you mean 'evt2'"):
        files.read(path, format="evt_2")
    with pytest.raises(ParameterError, match="columns does not belong"):
        files.read(path, columns="txyp")
    for order in ("keep", "up"):
        with pytest.raises(ParameterError):
            files.read(path, order=order)
    with pytest.raises(ParameterError, match="sort"):
        list(files.iter(path, order="sort"))
    with pytest.raises(ParameterError, match="at least 1"):
        list(files.iter(path, 0))


# --------------------------------------------------------------------------------------------------------------- checks
def test_time_that_runs_back_is_named(tmp_path: Path) -> None:
    row = rows((100, 1, 2, 1), (300, 3, 4, 0), (200, 5, 6, 1), (250, 1, 1, 0), (240, 2, 2, 1))
    path = write(tmp_path, "a.dat", encoders.dat(row))
    with pytest.raises(DataError, match="time runs back at event 2, from 300 to 200 us") as caught:
        files.read(path)
    assert "order='sort'" in caught.value.fix
    with pytest.warns(files.RecordingWarning, match="time ran back 2 times; the events were sorted"):
        assert files.read(path, order="sort").t.tolist() == [100, 200, 240, 250, 300]
    with pytest.raises(DataError, match="event 2"):
        list(files.iter(path, 2))
    assert np.concatenate(list(files.iter(path, 2, order="keep"))).tolist() == row.tolist()
    facts = describe_recording(path)
    assert (facts["monotonic"], facts["steps_back"]) == (False, 2)
    assert (facts["t_first"], facts["t_last"], facts["duration_us"]) == (100, 240, 200)


def test_a_step_back_between_blocks_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnkit.data.files import reader

    data = encoders.dat(rows(*[(k, 0, 0, 0) for k in range(50)], *[(k, 0, 0, 1) for k in range(40, 60)]))
    monkeypatch.setattr(reader, "BLOCK", 400)  # 50 events
    with pytest.raises(DataError, match="time runs back at event 50, from 49 to 40 us"):
        files.read(write(tmp_path, "a.dat", data))


def test_events_outside_the_sensor(tmp_path: Path) -> None:
    path = write(tmp_path, "a.dat", encoders.dat(rows((1, 1, 1, 0), (2, 63, 47, 1), (3, 64, 0, 1), (4, 0, 0, 0))))
    with pytest.raises(DataError, match=r"event 2 lies at \(x=64, y=0\), outside the 64x48 sensor"):
        files.read(path)
    with pytest.warns(files.RecordingWarning, match="event 2 lies at"):
        assert files.read(path, partial=True).t.tolist() == [1, 2]
    got = files.read(path, sensor_size=(100, 100))
    assert (len(got), got.sensor_size) == (4, (100, 100))
    with pytest.raises(DataError, match="2x2 sensor"):
        files.read(path, sensor_size=(2, 2))


def test_recordings_without_events_are_errors(tmp_path: Path) -> None:
    for name, data in {
        "a.raw": encoders.raw_header("EVT2"),
        "b.raw": encoders.raw_header("EVT2") + encoders.words("<u4", 8 << 28, 0xA << 28),
        "c.dat": encoders.dat(rows()),
        "d.csv": b"t,x,y,p\n",
        "e.aedat4": encoders.aedat4((1, b"imu")),
    }.items():
        with pytest.raises(DataError, match="without any event|no line of numbers"):
            files.read(write(tmp_path, name, data))
    path = write(tmp_path, "f.raw", encoders.raw_header("EVT2") + encoders.words("<u4", 1 << 28, 1 << 28, 1 << 28))
    with pytest.raises(DataError, match="3 events without a time"):
        files.read(path)


def test_cut_files_say_what_is_left(tmp_path: Path) -> None:
    path = write(tmp_path, "a.raw", (encoders.raw_header("EVT2") + encode_evt2(stream().events))[:-1])
    with pytest.raises(DataError, match="3 bytes at the end are no whole record") as caught:
        files.read(path)
    assert "the first 299 events are sound" in caught.value.why
    with pytest.warns(files.RecordingWarning, match="3 bytes"):
        assert len(files.read(path, partial=True)) == 299
    pieces = files.iter(path, 100)
    assert [len(next(pieces)) for _ in range(2)] == [100, 100]
    with pytest.raises(DataError, match="3 bytes"):
        next(pieces)


def test_words_of_no_type_are_noted_or_refused(tmp_path: Path) -> None:
    good = encoders.raw_header("EVT2") + encode_evt2(stream().events)
    strange = encoders.words("<u4", *[5 << 28] * 10)
    with pytest.warns(files.RecordingWarning, match="10 words of a type that the format does not define"):
        assert len(files.read(write(tmp_path, "a.raw", good + strange))) == 300
    with pytest.raises(DataError, match="are of no type"):
        files.read(write(tmp_path, "b.raw", good + strange * 40))


def test_chunks_take_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    n = 3_000_000
    with files.create(path.with_suffix(".raw"), (640, 480)) as writer:
        for k in range(30):
            events = np.zeros(n // 30, [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
            events["t"] = np.arange(k * (n // 30), (k + 1) * (n // 30))
            writer.add(events)
    files.write(path, files.read(path.with_suffix(".raw")))
    for file in (path, path.with_suffix(".raw")):
        tracemalloc.start()
        total = sum(len(events) for events in files.iter(file, 50_000))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == n
        assert peak < 12 << 20, file  # all of them are 39 MB
