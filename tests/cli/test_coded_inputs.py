"""The road for samples that are sent in a code: the chip gets the spikes that torch got."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import descriptor, emulator
from snnkit.cli.main import main

pytestmark = pytest.mark.timeout(180)  # the first use compiles the kernels where they are not cached yet


def recipe(code: str, **data: Any) -> dict[str, Any]:
    return {
        "seed_everything": 3,
        "model": {
            "memory_format": "channels_first",
            "net": {"class_path": "snnkit.models.DenseClassifier", "init_args": {"hidden": [24], "dropout": 0.0}},
            "optimizer": {"lr": 0.03, "warmup_epochs": 0},
        },
        "data": {
            "class_path": "snnkit.data.Digits",
            "init_args": {
                "encoding": {"class_path": f"snnkit.encoding.{code}", "init_args": {"T": 5}},
                "batch_size": 64,
                **data,
            },
        },
        "trainer": {"max_epochs": 2, "accelerator": "cpu", "logger": False, "precision": "32-true"},
    }


def train(folder: Path, code: str, **data: Any) -> Path:
    from snnkit.training import fit

    return fit(recipe(code, **data), folder / code, progress=False).path


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """Run and descriptor of a code, made once."""
    folder = tmp_path_factory.mktemp("coded")
    made: dict[str, tuple[Path, Path]] = {}

    def get(code: str) -> tuple[Path, Path]:
        if code not in made:
            run, path = train(folder, code), folder / f"{code}.snnx"
            assert main(["export", str(run), "--target", "loihi", "--out", str(path), "--json"]) == 0
            made[code] = (run, path)
        return made[code]

    return get


@pytest.mark.parametrize("code", ["Bernoulli", "Latency"])
def test_the_road(code: str, coded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run, path = coded(code)
    capsys.readouterr()
    assert main(["check", str(run), "--target", "loihi", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loihi"]["fits"]
    assert main(["validate", str(run), str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["samples"] == 360
    assert said["differing_spikes"]["graph-emulator"]["total"] == 0
    assert said["accuracy"]["torch"] > 0.5
    assert main(["emulate", str(path), "--json"]) == 0
    emulated = json.loads(capsys.readouterr().out)
    assert emulated["recordings"] == 360
    assert emulated["accuracy"] == said["accuracy"]["emulator"]
    assert main(["verify", str(path), "--json"]) == 0
    assert main(["report", str(path)]) == 0
    assert f"snnkit.encoding.{code}" in (path / "report.html").read_text(encoding="utf-8")
    assert "What the code sent" in (path / "report.html").read_text(encoding="utf-8")


def test_a_random_code_is_the_same_for_torch_and_chip(coded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`emulate` draws the spikes anew from the descriptor alone; they are those that the run's data give."""
    from snnkit.training import load_run

    run, path = coded("Bernoulli")
    chip = emulator.open(path)
    port = next(p.name for p in chip.manifest.ports if p.gate_from is None)
    data = load_run(run).datamodule()
    x, _ = data.dataset("test").stack()
    expected = chip.run({port: x[:, :50].reshape(5, 50, -1).astype(np.uint8)}, probes=("s",)).answer
    assert expected is not None
    capsys.readouterr()
    assert main(["emulate", str(path), "--limit", "50", "--batch", "7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"] == expected.tolist()


def test_analog_input_does_not_fit_a_chip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path, "Direct", subset=64)
    capsys.readouterr()
    assert main(["check", str(run), "--target", "loihi", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["loihi"]["findings"]
    assert [f["code"] for f in findings] == ["INPUT_NOT_BINARY"]
    assert main(["export", str(run), "--target", "loihi", "--out", str(tmp_path / "no.snnx")]) == 1


def test_wrong_use(coded: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, path = coded("Latency")
    file = tmp_path / "one.bin"
    file.write_bytes(bytes([1, 1, 0, 0, 9]))
    assert main(["emulate", str(path), "--events", str(file)]) == 2
    assert "no recordings of an event sensor" in capsys.readouterr().err
    assert main(["emulate", str(path), "--data", "saccade-digits"]) == 2
    assert "made for [8, 8]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": {"class_path": "os.system", "init_args": {}}}, "no code 'os.system'"),
        ({"encoding": {"class_path": "snnkit.encoding.Latency", "init_args": {"T": 10**9}}}, "network runs 5"),
        ({"encoding": {"class_path": "snnkit.encoding.Latency", "init_args": {"T": -1}}}, "T is -1"),
        ({"encoding": "Latency"}, "does not say how events are binned"),
        ({"full_count": 0}, "full_count is 0"),
        ({"seed": "1"}, "does not say how events are binned"),
    ],
)
def test_a_descriptor_cannot_name_other_code(
    change: dict[str, Any], message: str, coded: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "changed.snnx"
    shutil.copytree(coded("Latency")[1], path)
    made = descriptor.load(path)
    data = made.manifest.provenance["data"]
    frames = {**data["frames"], **change}
    provenance = {**made.manifest.provenance, "data": {**data, "frames": frames}}
    shutil.rmtree(path)
    descriptor.write(path, made.manifest.model_copy(update={"provenance": provenance}), made.arrays, made.vectors)
    capsys.readouterr()
    assert main(["emulate", str(path)]) == 2
    assert message in capsys.readouterr().err
