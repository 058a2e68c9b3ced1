"""Text, NPZ and HDF5: layouts, units, columns; and what is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.data import files
from snnkit.data.files import hdf5
from snnkit.data.files.lines import lines_to_events
from snnkit.errors import DataError, ParameterError

from . import encoders
from .encoders import rows, stream

ROW = [(5, 1, 2, 1), (7, 30, 4, 0), (9, 5, 60, 1)]


def text(folder: Path, content: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ("t,x,y,p\n5,1,2,1\n7,30,4,0\n9,5,60,1\n", "CSV t,x,y,p with header"),
        ("x;y;polarity;timestamp\n1;2;1;5\n30;4;0;7\n5;60;1;9", "CSV x,y,p,t with header"),
        ("# made by hand\n\n5 1 2 1\r\n7 30 4 -1\r\n9 5 60 1\r\n", "text t,x,y,p without header"),
        ("64 64\n0.000005\t1\t2\t1\n0.000007\t30\t4\t0\n9.0e-6\t5\t60\t1\n", "text t,x,y,p without header"),
        ("1,2,5,1\n30,4,7,0\n5,60,9,1\n", "CSV x,y,t,p without header"),
        ("time [ms],x,y,on,weight\n0.005,1,2,1,0.5\n0.007,30,4,0,1\n0.009,5,60,1,7\n", "CSV t,x,y,p,_ with header"),
        ("t_ns,x,y,p\n5000,1,2,1\n7000,30,4,0\n9400,5,60,1\n", "CSV t,x,y,p with header"),
        ('"t","x","y","p"\n5.000000000000000000e+00,1,2.0,1\n7,30,4,0\n9,5,60.,1', "CSV t,x,y,p with header"),
    ],
)
@pytest.mark.filterwarnings("ignore::snnkit.data.files.RecordingWarning")
def test_text_layouts(tmp_path: Path, content: str, label: str) -> None:
    recording = files.open_recording(text(tmp_path, content))
    assert recording.format == "csv"
    assert recording.read().events.tolist() == ROW
    assert recording.label == label
    assert recording.sensor_size == ((64, 64) if content.startswith("64") else (31, 61))


def test_columns_and_units_by_hand(tmp_path: Path) -> None:
    path = text(tmp_path, "0 1 2 99 1\n1 3 4 98 0\n", "a.txt")
    with pytest.raises(DataError, match="lines of 5 numbers"):
        files.read(path)
    assert files.read(path, columns="txy_p", time_unit="ms").events.tolist() == [(0, 1, 2, 1), (1000, 3, 4, 0)]
    for columns in ("txy", "txypp", "abcd"):
        with pytest.raises(ParameterError, match="columns"):
            files.read(path, columns=columns)
    with pytest.raises(ParameterError, match="time_unit"):
        files.read(path, columns="txy_p", time_unit="h")
    with pytest.warns(files.RecordingWarning, match="no header: the columns were taken as t,x,y,p"):
        files.read(text(tmp_path, "5,1,2,1\n7,3,4,0\n"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("t,x,y,p\n1,2,3,1\n2,2,3\n", "line 3 ('2,2,3') has not 4 numbers"),
        ("t,x,y,p\n1,2,3,1\n2,2,3,1,1\n", "line 3"),
        ("t,x,y,p\n1,2,3,1\n2,,3,1\n", "line 3"),
        ("t,x,y,p\n1,2,3,1\n2,2.5,3,1\n", "line 3"),
        ("t,x,y,p\n1,2,3,1\n2,abc,3,1\n3,1,1,1\n", "line 3 ('2,abc,3,1')"),
        ("t,x,y,p\n1,2,3,1\n2,70000,3,1\n", "out of range"),
        ("t,x,y,p\n1,2,3,1\n2,2,-3,1\n", "out of range"),
        ("t,x,y,p\n1,2,3,1\n2,2,3,7\n", "out of range"),
        ("t,x,y,p\n1,2,3,0\n2,2,3,-1\n", "0 and -1"),
        ("t,x,y,p\n1,2,3,1\n99999999999999999999999,2,3,1\n", "out of range"),
        ("t,x,y,p\n1,2,3,1\n2,1e9999999999,3,1\n", "line 3"),
        ("t,x,y,p\n1,2,3,1\n2,1e,3,1\n", "line 3"),
    ],
)
def test_lines_that_are_no_events(tmp_path: Path, lines: str, said: str) -> None:
    path = text(tmp_path, lines)
    with pytest.raises(DataError) as caught:
        files.read(path)
    assert said in str(caught.value)
    with pytest.warns(files.RecordingWarning):
        assert len(files.read(path, partial=True)) == 1


def test_headers_that_name_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no columns"):
        files.read(text(tmp_path, "a,b,c,d\n1,2,3,1\n"), format="csv")
    with pytest.raises(DataError, match="fit none of the orders"):
        files.read(text(tmp_path, "5,1,2,1\n3,3,4,9\n"))
    with pytest.raises(DataError, match="zero"):
        files.read(text(tmp_path, "5,1,2,1\n\0"), format="csv")


numbers = st.tuples(st.integers(0, 10**12), st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 1))


@settings(max_examples=60)
@given(st.lists(numbers, min_size=1, max_size=20), st.integers(0, 9), st.booleans())
def test_seconds_are_converted_exactly(events: list[tuple[int, int, int, int]], decimals: int, dense: bool) -> None:
    pad = "" if dense else " "
    lines = "".join(f"{t // 10**6}.{t % 10**6:06d}{'0' * decimals},{pad}{x},{y},{p}\n" for t, x, y, p in events)
    data = np.frombuffer(lines.encode(), np.uint8)
    got = []
    for loop in (lines_to_events, lines_to_events.py_func):
        out = np.zeros(len(events), rows().dtype)
        n, done, fault = loop(data, 4, 0, 1, 2, 3, 6, np.zeros(2, np.int64), out)
        assert (n, done, fault) == (len(events), len(events), 0)
        got.append(out.tolist())
    assert got[0] == got[1] == events


# ------------------------------------------------------------------------------------------------------------------ NPZ
def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def columns(**change: np.ndarray) -> dict[str, np.ndarray]:
    e = rows(*ROW)
    return {**{c: e[c] for c in "txyp"}, **change}


@pytest.mark.parametrize(
    "arrays",
    [
        columns(),
        columns(p=np.array([True, False, True])),
        columns(p=np.array([1, -1, 1], np.int8)),
        columns(p=np.array([1.0, 0.0, 1.0])),
        columns(t=np.array([5e-6, 7e-6, 9e-6])),
        {"events": rows(*ROW)},
        {"ev": np.array(ROW, [("timestamp", "<u4"), ("x", "<i2"), ("y", "<i2"), ("polarity", "i1")])},
        {"ts": rows(*ROW)["t"], "xs": rows(*ROW)["x"], "ys": rows(*ROW)["y"].astype(">i8"), "ps": rows(*ROW)["p"]},
    ],
)
def test_npz_layouts(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    got = files.read(save(tmp_path / "a.npz", **arrays))
    assert got.events.tolist() == ROW
    assert got.sensor_size == (31, 61)
    assert files.read(save(tmp_path / "b.npz", **arrays, sensor_size=np.array([64, 70]))).sensor_size == (64, 70)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (columns(x=np.array([1, 2])), "shapes"),
        (columns(x=np.array([1, -2, 3])), "x = -2"),
        (columns(x=np.array([1, 70000, 3])), "event 1 has x = 70000"),
        (columns(x=np.array([1.5, 2, 3])), "column x has the type float64"),
        (columns(p=np.array([1, 2, 1])), "p = 2"),
        (columns(p=np.array([1, 0, -1])), "-1, 0 and 1"),
        (columns(t=np.array([1.0, np.nan, 2])), "t = nan"),
        (columns(t=np.array([1, 2, 2**63], np.uint64)), "t = 9223372036854775808"),
        (columns(t=np.array([1, 2, None], object)), "pickle"),
        ({"weights": np.ones(3)}, "no events in this NumPy archive (it holds weights)"),
    ],
)
def test_npz_that_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(DataError) as caught:
        files.read(save(tmp_path / "a.npz", **arrays))
    assert said in str(caught.value)


def test_npz_that_claims_too_much(tmp_path: Path) -> None:
    """A header of 2^40 events, and a member that unpacks to far more than it stores."""
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "<i8", "fortran_order": False, "shape": (1 << 40,)})
    small = io.BytesIO()
    np.lib.format.write_array(small, np.ones(3, np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in "txyp":
            archive.writestr(f"{name}.npy", (member if name == "t" else small).getvalue())
    with pytest.raises(DataError, match="claims 8,796,093,022,"):
        files.read(tmp_path / "a.npz")


# ----------------------------------------------------------------------------------------------------------------- HDF5
def test_hdf5_layouts(tmp_path: Path) -> None:
    e = rows(*ROW)
    path = tmp_path / "a.h5"
    late = e.copy()
    late["t"] += 10**10
    path.write_bytes(encoders.dsec(late, tmp_path / "b.h5", None, 10**10))
    assert files.read(path).events.tolist() == late.tolist()
    with h5py.File(path, "w") as file:  # E2VID: seconds, and the size as (height, width)
        group = file.create_group("events")
        group["ts"], group["xs"], group["ys"], group["ps"] = e["t"] / 1e6, e["x"], e["y"], e["p"].astype(bool)
        file.attrs["sensor_resolution"] = (70, 64)
    got = files.read(path)
    assert (got.events.tolist(), got.sensor_size) == (ROW, (64, 70))
    with h5py.File(path, "w") as file:
        for c in "txyp":
            file[c] = e[c]
    assert files.read(path, time_unit="ms").t.tolist() == [5000, 7000, 9000]


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda f: f.create_dataset("labels", data=[1]), "no events in this HDF5 file (it holds labels)"),
        (lambda f: [f.create_dataset(f"events/{c}", (3 if c == "t" else 2,), "i8") for c in "txyp"], "shapes"),
        (lambda f: [f.create_dataset(f"events/{c}", (10**12,), "i8", chunks=(10,)) for c in "txyp"], "stored bytes"),
        (lambda f: [f.create_dataset(f"events/{c}", data=["a"]) for c in "txyp"], "type object"),
        (lambda f: f.create_group("CD").create_dataset("events", data=[1]), "ECF"),
    ],
)
def test_hdf5_that_is_refused(tmp_path: Path, fill: object, said: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        fill(file)  # type: ignore[operator]
    with pytest.raises(DataError) as caught:
        files.read(tmp_path / "a.h5")
    assert said in str(caught.value)
    assert "a.h5" in caught.value.what


def test_samples_of_the_shd_layout(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    samples = [stream(30, k, (700, 1)).events for k in range(3)]
    encoders.shd(path, *samples)
    with pytest.raises(DataError, match="3 recordings in one file"):
        files.read(path)
    with pytest.raises(DataError, match="no sample 3"):
        files.read(path, sample=3)
    got = files.read(path, sample=2)
    assert got.sensor_size == (700, 1)
    assert got.t.tolist() == samples[2]["t"].tolist()
    assert got.x.tolist() == samples[2]["x"].tolist()
    assert set(got.p.tolist()) == {1}
    with h5py.File(path, "r+") as file:
        file["spikes/times"][0] = np.array([0.5, np.inf])
        file["spikes/units"][0] = np.array([1, 2])
    with pytest.raises(DataError, match="no spike can have"):
        files.read(path, sample=0)


@pytest.mark.parametrize("index", [0, 1])
def test_a_heap_in_which_hdf5_would_loop_for_ever(tmp_path: Path, index: int) -> None:
    data = bytearray(encoders.shd(tmp_path / "a.h5", stream(30).events))
    at = data.index(b"GCOL") + 16
    data[at : at + 2] = index.to_bytes(2, "little")
    data[at + 8 : at + 16] = (0 if index == 0 else 2**64 - 16).to_bytes(8, "little")
    (tmp_path / "b.h5").write_bytes(data)
    with pytest.raises(DataError, match="does not add up"):
        files.read(tmp_path / "b.h5")


def test_columns_that_are_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnkit.data.files import npz

    monkeypatch.setattr(npz, "PIECE", 7)
    monkeypatch.setattr(hdf5, "PIECE", 7)
    events = stream().events
    (tmp_path / "a.npz").write_bytes(npz.encode_npz(stream()))
    assert np.array_equal(files.read(tmp_path / "a.npz").events, events)
    encoders.dsec(events, tmp_path / "a.h5")
    pieces = list(hdf5.Hdf5Reader(tmp_path / "a.h5").pieces())
    assert max(map(len, pieces)) == 7
    assert np.array_equal(np.concatenate(pieces), events)
