"""What is written is read back, by us and by the others' readers; nothing half-written is left."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnkit.data import EventStream, files
from snnkit.errors import DataError, ParameterError

from .encoders import stream

SIZE = (320, 200)
event = st.tuples(st.integers(0, 319), st.integers(0, 199), st.integers(0, 1))
steps = st.one_of(st.integers(0, 100), st.integers(0, 10**7), st.just(2**34))


def build(first: int, rest: list[tuple[int, tuple[int, int, int]]]) -> EventStream:
    t = first + np.cumsum([s for s, _ in rest])
    x, y, p = zip(*[e for _, e in rest])
    return EventStream.from_columns(t, x, y, p, SIZE)


@pytest.mark.parametrize("ending", ["raw", "h5", "csv", "npz"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    first=st.one_of(st.integers(0, 10**6), st.integers(2**33, 2**50)),
    rest=st.lists(st.tuples(steps, event), min_size=1, max_size=30),
    piece=st.integers(1, 40),
)
def test_round_trips(
    ending: str, first: int, rest: list[tuple[int, tuple[int, int, int]]], piece: int, tmp_path: Path
) -> None:
    want = build(first, rest)
    path = tmp_path / f"a.{ending}"
    if ending == "raw" and want.t[0] >= 2**34:
        with pytest.raises(DataError, match="34 bits"):
            files.write(path, want)
        return
    with files.create(path, SIZE) as writer:
        for k in range(0, len(want), piece):
            writer.add(want.events[k : k + piece])
        writer.add(want.events[:0])
        assert writer.events == len(want)
    got = files.read(path, sensor_size=SIZE)
    assert np.array_equal(got.events, want.events)
    assert files.open_recording(path).sensor_size == (None if ending == "csv" else SIZE)
    before = path.read_bytes()
    files.write(path, want)
    assert np.array_equal(files.read(path, sensor_size=SIZE).events, want.events)
    if ending in ("csv", "npz"):
        assert path.read_bytes() == before


def test_hdf5_is_dsec_s_layout(tmp_path: Path) -> None:
    late = EventStream.from_columns([10**10 + 500, 10**10 + 3500, 10**10 + 3500], [1, 2, 3], [1, 2, 3], [1, 0, 1], SIZE)
    files.write(tmp_path / "a.h5", late)
    with h5py.File(tmp_path / "a.h5") as file:
        assert sorted(file) == ["events", "ms_to_idx", "t_offset"]
        assert file["t_offset"][()] == 10**10
        assert file["events/t"][:].tolist() == [500, 3500, 3500]
        assert file["ms_to_idx"][:].tolist() == [0, 1, 1, 1]  # the first event at or after each millisecond
        assert [file[f"events/{c}"].dtype.name for c in "xyp"] == ["uint16", "uint16", "uint8"]
    with files.create(tmp_path / "b.h5", SIZE) as writer:
        for k in range(300):
            writer.add(stream(300).events[k : k + 1])
    with h5py.File(tmp_path / "b.h5") as file:
        t, marks = file["events/t"][:], file["ms_to_idx"][:]
        assert marks.tolist() == np.searchsorted(t, np.arange(len(marks)) * 1000).tolist()
        assert len(marks) == int(t[-1]) // 1000 + 1


def test_expelliarmus_reads_our_evt2(tmp_path: Path) -> None:
    expelliarmus = pytest.importorskip("expelliarmus", reason="needs expelliarmus")
    files.write(tmp_path / "a.raw", stream(2000))
    theirs = expelliarmus.Wizard(encoding="evt2").read(str(tmp_path / "a.raw"))
    for column in "txyp":
        assert np.array_equal(theirs[column], stream(2000).events[column])


def test_formats_and_endings(tmp_path: Path) -> None:
    files.write(tmp_path / "a.dat", stream(), "csv")
    assert (tmp_path / "a.dat").read_bytes().startswith(b"t,x,y,p\n")
    for path, format, said in (("a.aedat4", None, "nothing is known to write"), ("a.raw", "evt3", "only be read"),
                               ("a.raw", "hdf", "did you mean 'hdf5'")):  # fmt: skip
        with pytest.raises(ParameterError, match=said):
            files.write(tmp_path / path, stream(), format)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    for name in ("a.raw", "a.h5", "a.csv", "a.npz", "a.bin"):
        path = tmp_path / name
        path.write_text("as before")

        def fail(path: Path = path) -> None:
            with files.create(path, (64, 48)) as writer:
                writer.add(stream().events)
                raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space"):
            fail()
        assert path.read_text() == "as before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "a.csv", "a.h5", "a.npz", "a.raw"]


def test_what_a_format_cannot_hold(tmp_path: Path) -> None:
    wide = EventStream.from_columns([1], [2999], [1], [1], (3000, 10))
    with pytest.raises(DataError, match="3000x10"):
        files.write(tmp_path / "a.raw", wide)
    negative = EventStream.from_columns([-5, 3], [1, 2], [1, 2], [1, 0], SIZE)
    with pytest.raises(DataError, match="negative"):
        files.write(tmp_path / "a.raw", negative)
    for ending in ("h5", "csv", "npz"):
        files.write(tmp_path / f"b.{ending}", negative)
        assert files.read(tmp_path / f"b.{ending}").t.tolist() == [-5, 3]
