"""`snnkit convert`: what goes in comes out, what is lost is said, and nothing is overwritten by accident."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from snnkit.cli.main import main
from snnkit.data import EventStream, files

SIZE = (40, 30)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    n = 500
    stream = EventStream.from_columns(
        np.sort(rng.integers(5000, 900_000, n)), rng.integers(0, 40, n), rng.integers(0, 30, n), np.arange(n) % 2, SIZE
    )
    files.write(tmp_path / "a.raw", stream)
    return tmp_path / "a.raw"


@pytest.mark.parametrize("ending", ["raw", "h5", "csv", "txt", "npz", "bin"])
def test_there_and_back(recording: Path, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / f"b.{ending}"
    assert main(["convert", str(recording), str(other)]) == 0
    assert ("not kept: the sensor's size" in capsys.readouterr().out) == (ending in ("csv", "txt", "bin"))
    assert main(["convert", str(other), str(tmp_path / "c.npz"), "--sensor", "40x30", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["events"], facts["sensor"], facts["to"]) == (500, [40, 30], "NumPy archive")
    want, got = files.read(recording), files.read(tmp_path / "c.npz")
    assert np.array_equal(got.events, want.events)
    assert got.sensor_size == want.sensor_size


def test_nothing_is_overwritten(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    assert main(["convert", str(recording), str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main(["convert", str(recording), str(out), "--force"]) == 0
    assert out.read_text().startswith("t,x,y,p\n")
    assert main(["convert", str(recording), str(recording), "--force"]) == 2
    assert "the input itself" in capsys.readouterr().err
    assert main(["convert", str(recording), str(tmp_path), "--to", "csv"]) == 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["a.raw", "b.xyz"], ["b.xyz"[-4:], "hdf5 (.hdf5/.h5/.hdf)"]),
        (["a.raw", "b.raw", "--to", "evt3"], ["evt3", "only be read"]),
        (["a.raw", "b.raw", "--to", "evt_2"], ["did you mean 'evt2'?"]),
        (["a.raw", "udp2://x"], ["no address", "did you mean 'udp'?"]),
        (["a.raw", "b.csv", "--sensor", "4"], ["--sensor 640x480"]),
        (["a.raw", "b.csv", "--sample", "4"], ["sample does not belong to Prophesee EVT 2"]),
        (["missing.raw", "b.csv"], ["missing.raw", "cannot be read"]),
    ],
)
def test_wrong_use(
    recording: Path,
    argv: list[str],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(recording.parent)
    assert main(["convert", *argv]) == 2
    error = capsys.readouterr().err
    for word in words:
        assert word in error
    assert sorted(p.name for p in recording.parent.iterdir()) == ["a.raw"]


def test_late_starts_and_times_that_run_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = 1_631_717_221_674_515
    (tmp_path / "a.csv").write_text(f"t,x,y,p\n{late},1,2,1\n{late + 7},3,4,0\n{late + 3},5,6,1\n")
    out = str(tmp_path / "b.raw")
    assert main(["convert", str(tmp_path / "a.csv"), out]) == 2
    assert "time runs back at event 2" in (error := capsys.readouterr().err)
    assert "--sort" in error
    assert main(["convert", str(tmp_path / "a.csv"), out, "--sort"]) == 2
    assert "--from-zero" in capsys.readouterr().err
    assert not Path(out).exists()
    assert main(["convert", str(tmp_path / "a.csv"), out, "--sort", "--from-zero"]) == 0
    said = capsys.readouterr().out
    assert f"{late:,} us" in said
    assert "time ran back 1 times" in said
    assert files.read(out).events.tolist() == [(0, 1, 2, 1), (3, 5, 6, 1), (7, 3, 4, 0)]


def test_a_cut_recording(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / "cut.raw"
    cut.write_bytes(recording.read_bytes()[:-3])
    assert main(["convert", str(cut), str(tmp_path / "b.npz")]) == 2
    assert "--partial" in capsys.readouterr().err
    assert not (tmp_path / "b.npz").exists()
    assert main(["convert", str(cut), str(tmp_path / "b.npz"), "--partial"]) == 0
    assert "1 bytes at the end" in capsys.readouterr().out
    assert len(files.read(tmp_path / "b.npz")) == 499


def test_a_disk_that_fills(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says so, and neither a part of the new file nor a loss of the old one is left."""
    out = tmp_path / "out.npz"
    out.write_bytes(b"mine")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(out))

    monkeypatch.setattr("os.replace", full)
    assert main(["convert", str(recording), str(out), "--force"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.raw", "out.npz"]


def test_help_needs_no_numpy() -> None:
    import subprocess
    import sys

    code = "import sys\nfrom snnkit.cli.main import main\ntry: main(['convert', '--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'numpy', 'numba', 'torch'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
