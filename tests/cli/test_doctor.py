"""`snnkit doctor`: what it notices, and the GPU report (with stand-ins for the GPU)."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from snnkit.bench import neurons
from snnkit.cli import doctor
from snnkit.cli.main import main


@pytest.mark.parametrize(
    ("torch", "vision", "wanted", "good"),
    [
        ("2.13.0+cpu", "0.28.0+cpu", "torch==2.13.0", True),
        ("2.13.0", "0.28.0", "torch (==2.13.0)", True),
        ("2.12.1", "0.28.0", "torch==2.13.0", False),
        ("2.13.0+cpu", "0.28.0+cu130", "torch==2.13.0", False),
    ],
)
def test_a_torchvision_of_another_torch_is_named(
    monkeypatch: pytest.MonkeyPatch, torch: str, vision: str, wanted: str, good: bool
) -> None:
    monkeypatch.setattr(doctor, "_version", {"torch": torch, "torchvision": vision}.get)
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy", "torchaudio==1", wanted, "pillow"])
    check = doctor._vision()
    assert check.ok is good
    assert "torch==" in check.remedy
    if not good:
        assert "2.13.0" in check.text


def test_caches_licence_and_devices_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    checks = {c["name"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert "GPL" in checks["tonic's licence"]["text"]
    assert "SNNKIT_KEEP_MIB" in checks["kept memory"]["text"]
    assert {"CUDA", "device", "triton", "torchvision fits torch", "threads"} <= set(checks)


def test_without_a_gpu_there_is_no_gpu_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_devices", list)
    assert main(["doctor", "--gpu", "--out", str(tmp_path / "r.json")]) == 2
    assert "no GPU" in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("failing", [False, True])
def test_the_gpu_report_holds_tests_and_benchmarks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], failing: bool
) -> None:
    called: list[Any] = []

    def tests(command: list[str], **options: Any) -> Any:
        called.append(command)
        text = "some output\nPASSED tests/a.py::b\n" + ("FAILED tests/a.py::c\n" if failing else "")
        return subprocess.CompletedProcess(command, int(failing), text, "")

    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text("")
    monkeypatch.setattr(doctor, "_tests", lambda: tmp_path / "tests")
    monkeypatch.setattr(doctor, "_devices", lambda: ["a card, 8 GiB, sm_90"])
    monkeypatch.setattr(doctor, "checks", list)
    monkeypatch.setattr(subprocess, "run", tests)
    monkeypatch.setattr(neurons, "run", lambda device: [{"impl": "x", "ms_min": 1.0}] if device == "cuda" else [])
    out = tmp_path / "r.json"
    assert main(["doctor", "--gpu", "--out", str(out)]) == int(failing)
    report = json.loads(out.read_text())
    assert report["devices"] == ["a card, 8 GiB, sm_90"]
    assert report["bench"]["neurons"] == [{"impl": "x", "ms_min": 1.0}]
    assert report["tests"]["results"][0] == "PASSED tests/a.py::b"
    assert len(report["tests"]["results"]) == 1 + failing
    assert tuple(called[0][4:6]) == ("-m", "gpu and not slow")
    assert ("some failed" in capsys.readouterr().out) is failing


def test_benchmarks_of_a_device_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if not torch.cuda.is_available():
        assert main(["bench", "neurons", "--device", "cuda"]) == 2
        assert "no CUDA device" in capsys.readouterr().err
    assert main(["bench", "emulator", "--device", "cuda"]) == 2


def test_an_installed_package_without_tests_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_tests", lambda: tmp_path / "nowhere")
    monkeypatch.setattr(doctor, "_devices", lambda: ["a card"])
    monkeypatch.setattr(doctor, "checks", list)
    monkeypatch.setattr(neurons, "run", lambda device: [])
    assert main(["doctor", "--gpu", "--out", str(tmp_path / "r.json")]) == 0
    assert "checkout" in json.loads((tmp_path / "r.json").read_text())["tests"]["output"]
