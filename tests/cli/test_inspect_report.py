"""`inspect` recognises recordings, runs and descriptors without torch; `report` shows what validation wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snnkit import descriptor
from snnkit.cli.main import main
from snnkit.data import EventStream, write_atis
from snnkit.descriptor import Layer, Manifest, Port, Readout, Resources
from snnkit.validation.report import write_reports

RESULT = {
    "name": "tiny",
    "target": "loihi",
    "differing_spikes": {"graph-emulator": {"total": 0, "of": 60}},
    "accuracy": {"emulator": 0.5},
}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    stream = EventStream.from_columns([5, 10, 2005], [1, 33, 1], [2, 0, 2], [1, 0, 1], (34, 34))
    path = tmp_path / "a.bin"
    write_atis(path, stream)
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    manifest = Manifest(
        target="loihi",
        revision="loihi-1",
        name="tiny [red]net[red]",
        dt_us=1000.0,
        steps=6,
        layers=(Layer(name="fc", shape=(2, 5), n=10, lag=1), Layer(name="out", shape=(3,), n=3, kind="probed")),
        ports=(Port(name="in", shape=(4,), n=4), Port(name="bias.fc", shape=(1,), n=1, gate_from=1)),
        readout=Readout(layer="out", rule="last"),
        resources=Resources(
            per_core=({"core": 0, "compartments": 10}, {"core": 1, "compartments": 3}),
            totals={"cores": 2, "compartments": 13},
            budget={"compartments": 1024},
        ),
        findings=({"severity": "note", "code": "SOMETHING", "where": "fc", "what": "is so", "remedy": ""},),
        evidence="open-simulator",
    )
    path = tmp_path / "tiny.snnx"
    descriptor.write(path, manifest, {"core": np.zeros((2, 4), np.int32)}, {"readout": np.zeros(2, np.int64)})
    return path


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    record = {
        "format": 1,
        "recipe": "some/recipe",
        "seed": 3,
        "precision": "32-true",
        "data": {"name": "made-up", "digest": "ab" * 32, "samples": {"train": 5}, "frames": {"T": 6}},
        "settings": {
            "model": {"net": {"class_path": "a.Net", "init_args": {"channels": [1, 2]}}, "loss": "l"},
            "trainer": {"max_epochs": 4},
        },
    }
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "history.csv").write_text("epoch,val_loss\n0,1.0\n1,0.5\n")
    return folder


def finish(folder: Path) -> None:
    test = {"accuracy": 0.875, "confusion": [[1]], "layers": {"lif1": {"rate": 0.1, "silent": 0.0, "saturated": 0.0}}}
    metrics = {"validation": {"accuracy": 0.9, "loss": 1.0}, "test": test, "weights": "cd" * 32}
    (folder / "metrics.json").write_text(json.dumps(metrics))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_recording(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(recording)]) == 0
    text = said(capsys)
    assert "3 (2 ON, 1 OFF)" in text
    assert "34 × 34 pixels" in text
    assert main(["inspect", str(recording), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["events"], facts["duration_us"]) == ("recording", 3, 2000)


def test_a_descriptor(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(made)]) == 0
    text = said(capsys)
    for part in (
        "tiny [red]net[red]",
        "2 × 5",
        "probed",
        "bias gate from step 1",
        "1,024",
        "SOMETHING",
        "last of out",
    ):
        assert part in text, part
    assert main(["inspect", str(made / "manifest.json"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "descriptor"
    assert facts["arrays"] == {"core": {"type": "int32", "shape": [2, 4]}}
    assert facts["reports"] == []


def test_a_run(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(run_folder)]) == 0
    text = said(capsys)
    assert "interrupted, 2 of 4 epochs" in text
    assert "some/recipe" in text
    finish(run_folder)
    assert main(["inspect", str(run_folder / "metrics.json")]) == 0
    text = said(capsys)
    assert "finished" in text
    assert "test accuracy 87.50 %" in text
    assert "lif1" in text
    assert main(["inspect", str(run_folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["test"]["accuracy"] == 0.875
    assert facts["epochs"] == {"done": 2, "of": 4}


def test_no_torch(recording: Path, made: Path, run_folder: Path) -> None:
    code = (
        "import sys\nfrom snnkit.cli.main import main\n"
        "assert all(main(['inspect', p]) == 0 for p in sys.argv[1:])\n"
        "bad = {'torch', 'lightning', 'tonic', 'matplotlib', 'numba'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    paths = [str(recording), str(made), str(run_folder)]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("nothing.bin", None, "USAGE", "does not exist"),
        ("readme.txt", "hello", "USAGE", "no known kind"),
        ("vectors.npz", "x", "USAGE", "snnkit replay"),
        ("broken.bin", "x", "DATA", "broken.bin"),
        ("empty/", None, "USAGE", "neither a run nor a descriptor"),
        ("bad/run.json", "{", "CHECKPOINT", "damaged"),
        ("other/run.json", "[]", "CHECKPOINT", "no record"),
        ("cut.snnx/manifest.json", "{}", "DESCRIPTOR", "manifest"),
    ],
)
def test_what_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | None, code: str, words: str
) -> None:
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    elif content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    assert main(["inspect", str(path)]) == 2
    error = capsys.readouterr().err
    assert f"[{code}]" in error
    assert words in error


def test_a_misspelt_path(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(recording.with_name("b.bin"))]) == 2
    assert "did you mean 'a.bin'" in capsys.readouterr().err


def test_a_report(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(made)]) == 2
    error = capsys.readouterr().err
    assert "no report yet" in error
    assert f"snnkit validate RUN {made}" in error
    write_reports(made, RESULT)
    assert main(["report", str(made)]) == 0
    text = capsys.readouterr().out
    assert (made / "report.md").read_text(encoding="utf-8") in text
    assert str((made / "report.html").resolve()) in text
    assert main(["report", str(made), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == RESULT


def test_a_page_that_is_gone_is_written_again(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = write_reports(made, RESULT)
    before = written["report.html"].read_bytes()
    written["report.html"].unlink()
    assert main(["report", str(made)]) == 0
    assert written["report.html"].read_bytes() == before
    written["report.md"].write_text("changed")
    assert main(["report", str(made), "--rebuild"]) == 0
    assert "0 of 60 spikes differ" in capsys.readouterr().out
    assert descriptor.load(made).manifest.name.startswith("tiny")  # reports are not part of the digest


def test_a_report_needs_no_torch(made: Path) -> None:
    write_reports(made, RESULT)
    code = (
        "import sys\nfrom snnkit.cli.main import main\n"
        "assert main(['report', sys.argv[1], '--rebuild']) == 0\nassert 'torch' not in sys.modules\n"
    )
    env = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", code, str(made)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
