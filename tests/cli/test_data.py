"""`snnkit data`: what is known, and what is in a folder."""

from __future__ import annotations

import json

import numpy as np
import pytest

from snnkit.cli.main import main
from snnkit.data.events import EventStream
from snnkit.data.files.atis import write_atis


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(5):
            t = np.sort(rng.integers(0, 90_000, 30))
            x, y, p = rng.integers(0, 60, 30), rng.integers(0, 40, 30), rng.integers(0, 2, 30)
            stream = EventStream.from_columns(t, x, y, p, (60, 40))
            write_atis(tmp_path / "mine" / name / f"{i}.bin", stream)
    return tmp_path / "mine"


def test_the_list_and_the_facts(capsys):
    assert main(["data", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert {"event-folder", "nmnist", "shd", "dvs-gesture", "braille", "fsdd", "saccade-digits"} <= set(known)
    assert main(["data", "shd", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert "zenkelab" in facts["home"]
    assert facts["download"] == "by tonic"
    assert main(["data"]) == 0
    assert "event-folder" in capsys.readouterr().out


def test_what_is_in_a_folder(folder, capsys):
    assert main(["data", "event-folder", "--root", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == ["left", "right"]
    assert found["samples"] == {"train": 6, "validation": 2, "test": 2}
    assert found["events_per_recording"] == {"least": 30, "mean": 30.0, "most": 30}
    assert main(["data", "event-folder", "--root", str(folder)]) == 0
    (folder / "left/bad.bin").write_bytes(b"123")
    assert main(["data", "event-folder", "--root", str(folder)]) == 2
    assert "skip_corrupt" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="left out"):
        assert main(["data", "event-folder", "--root", str(folder), "--skip-corrupt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"][0]["file"] == "left/bad.bin"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["data", "sdh"], "did you mean 'shd'"),
        (["data", "shd", "--root", "nowhere"], "nowhere does not exist"),
        (["data", "event-folder", "--root", ".", "--download"], "takes no --download"),
    ],
)
def test_what_is_wrong_is_said(argv, message, capsys):
    assert main(argv) == 2
    assert message in capsys.readouterr().err
