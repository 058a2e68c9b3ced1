"""`trainer.precision: auto`: what it picks, that it says so, and that accuracies are float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from snnkit.training import fit, precision
from snnkit.training.module import SpikingClassifier
from snnkit.training.precision import choose

PLAIN = ("32-true", "bf16-mixed", "16-mixed")


def test_the_faster_one_by_far_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [choose(p, "cpu") for p in PLAIN] == [(p, "") for p in PLAIN]
    for times, expected in (((2.0, 1.0), "bf16-mixed"), ((1.1, 1.0), "32-true"), ((1.0, 3.0), "32-true")):
        monkeypatch.setattr(precision, "_probe", lambda times=times: times)
        found = choose("auto", "cpu")
        assert found.precision == expected
        assert f"{times[0] * 1e3:.1f} ms in float32, {times[1] * 1e3:.1f} in bfloat16" in found.why
    assert choose("auto", "cpu", processes=2).precision == "32-true"


def test_on_a_gpu_it_asks_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    for has in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, has=has: has)
        assert choose("auto", "cuda").precision == ("bf16-mixed" if has else "32-true")


def test_the_probe_measures_both_and_changes_nothing() -> None:
    before = torch.get_rng_state()
    with torch.inference_mode():
        single, low = precision._probe()
    assert 0 < single < 60
    assert 0 < low < 60
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_prints_keeps_and_resumes_its_choice(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training under bfloat16, validation without."""
    seen: set[bool] = set()
    validate = SpikingClassifier.forward

    def watch(self: SpikingClassifier, x: Any, lengths: Any = None) -> Any:
        seen.add(torch.is_autocast_enabled("cpu"))
        return validate(self, x, lengths)

    monkeypatch.setattr(SpikingClassifier, "forward", watch)
    monkeypatch.setattr(precision, "_probe", lambda: (2.0, 1.0))
    tiny["trainer"] |= {"precision": "auto", "accelerator": "cpu", "max_epochs": 1}
    fit(tiny, tmp_path / "run", progress=False)
    assert "precision auto: bf16-mixed" in capsys.readouterr().err
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["precision"] == "bf16-mixed"
    assert "bfloat16" in record["precision_chosen"]
    assert record["settings"]["trainer"]["precision"] == "auto"
    assert seen == {False}

    def fail() -> Any:
        raise AssertionError("a resumed run does not choose again")

    monkeypatch.setattr(precision, "_probe", fail)
    (tmp_path / "run" / "metrics.json").unlink()
    fit(tiny, tmp_path / "run", progress=False, resume=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["precision"] == "bf16-mixed"
