"""The facts of a recording: rate over time, pauses, hot pixels, and the same whatever the size of the chunks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from snnkit import viz
from snnkit.cli.main import main
from snnkit.data import EventStream, files
from snnkit.data import inspect as looking


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    n = 4000
    t = np.sort(rng.integers(0, 2_000_000, n))
    t[n // 2 :] += 700_000  # a pause
    x, y = rng.integers(0, 60, n), rng.integers(0, 40, n)
    x[::8], y[::8] = 7, 9  # a hot pixel
    files.write(tmp_path / "a.h5", EventStream.from_columns(t, x, y, np.arange(n) % 4 > 0, (64, 48)))
    return tmp_path / "a.h5"


@pytest.mark.parametrize("chunk", [37, 1 << 20])
def test_facts_do_not_depend_on_chunks(recording: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "CHUNK", chunk)
    stages: list[tuple[str, int, int]] = []
    seen = looking.look(files.open_recording(recording), frames=5, progress=lambda *s: stages.append(s))
    events = files.read(recording).events
    facts = seen.facts
    assert (facts["events"], facts["on"], facts["off"]) == (4000, 3000, 1000)
    assert facts["hot_pixels"][0] == {"x": 7, "y": 9, "events": int(((events["x"] == 7) & (events["y"] == 9)).sum())}
    assert len(facts["hot_pixels"]) == 1
    step = np.diff(events["t"])
    assert facts["gaps"][0] == {"from_us": int(events["t"][step.argmax()]), "us": int(step.max())}
    assert [g["us"] for g in facts["gaps"]] == sorted(step.tolist())[::-1][:5]
    assert seen.pixels.sum() == seen.frames.sum() == seen.rate.sum() == 4000
    assert np.array_equal(seen.pixels, np.histogram2d(events["y"], events["x"], (range(49), range(65)))[0])
    assert seen.frames.shape == (5, 2, 48, 64)
    first, last = int(events["t"][0]), int(events["t"][-1])
    k = (events["t"] - first) * 5 // (last - first + 1)
    assert [int(f.sum()) for f in seen.frames] == np.bincount(k, minlength=5).tolist()
    assert seen.bin_us == 16_000
    want = np.bincount(events["t"] // seen.bin_us - first // seen.bin_us)
    assert seen.rate.sum(0).tolist()[: len(want)] == want.tolist()
    assert stages[-1][1] == stages[-1][2]


def test_large_sensors_are_scaled_for_pictures(tmp_path: Path) -> None:
    files.write(tmp_path / "a.npz", EventStream.from_columns([1, 2], [0, 1279], [0, 719], [1, 0], (1280, 720)))
    seen = looking.look(files.open_recording(tmp_path / "a.npz"), frames=2)
    assert (seen.scale, seen.frames.shape) == (3, (2, 2, 240, 427))
    assert seen.frames[1, 0, 239, 426] == 1
    assert seen.facts["hot_pixels"] == []


def test_the_command(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from snnkit.cli.show import recording as page

    monkeypatch.setattr(page, "STEPS", 8)
    picture, video = tmp_path / "page.png", tmp_path / "a.gif"
    assert main(["inspect", str(recording), "--json", "--picture", str(picture)]) == 0
    facts = json.loads(capsys.readouterr().out)
    fields = "format sensor events t_first t_last x_range y_range on off monotonic decoded_sha256"
    assert facts["kind"] == "recording"
    assert set(fields.split()) <= set(facts)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["inspect", str(recording), "--video", str(video)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "HDF5, DSEC layout events/{t,x,y,p}, Blosc filter" in text
    assert "hot pixels x 7, y 9" in text
    assert "longest pause" in text
    assert video.read_bytes().startswith(b"GIF8")
    for options in (["--picture", "a.txt"], ["--video", "a.mp4"], ["--sensor", "10"], ["--format", "evt9"]):
        assert main(["inspect", str(recording), *options]) == 2
    assert main(["inspect", str(recording), "--sensor", "8x8"]) == 2
    assert "outside the 8x8 sensor" in capsys.readouterr().err


def test_damage_and_order_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t,x,y,p\n5,1,1,1\n3,2,2,0\n9,a,b,c\n")
    assert main(["inspect", str(path)]) == 2
    assert "--partial" in capsys.readouterr().err
    assert main(["inspect", str(path), "--partial"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "time runs back 1 times" in text
    assert "line 4" in text
    assert main(["inspect", str(tmp_path / "b.npz")]) == 2
    np.savez(tmp_path / "b.npz", stimulus=np.ones(3))
    assert main(["inspect", str(tmp_path / "b.npz")]) == 2
    assert "snnkit replay" in capsys.readouterr().err


def test_the_page(recording: Path) -> None:
    seen = looking.look(files.open_recording(recording), frames=4)
    figure = viz.recording(seen.facts, seen.pixels, seen.frames, seen.rate, seen.bin_us)
    figure.canvas.draw()
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert "hot pixels: 1" in titles
    top, rates = figure.axes[0], figure.axes[1]
    assert len(top.get_xticklabels()) == 4
    assert any(p.get_width() >= 690 for p in rates.patches if hasattr(p, "get_width"))  # the pause, in ms
    from snnkit.errors import ShapeError

    with pytest.raises(ShapeError):
        viz.recording(seen.facts, seen.pixels, seen.frames[0], seen.rate, seen.bin_us)
