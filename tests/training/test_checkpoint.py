"""Damaged, foreign and hostile run folders are refused with a reason."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from snnkit.errors import CheckpointError, CodeNotAllowedError
from snnkit.training import load_run
from snnkit.training.checkpoint import load_tensors, save_tensors, weights_digest


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    return out


def test_same_values_same_bytes(tmp_path: Path) -> None:
    value = {"a": torch.arange(5.0), "n": 3, "l": [1, "x"]}
    save_tensors(tmp_path / "one", value)
    save_tensors(tmp_path / "two", value)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert load_tensors(tmp_path / "one")["l"] == [1, "x"]


def test_digest_sees_values_names_shapes_and_types() -> None:
    base = {"a": torch.zeros(4), "b": torch.ones(2)}
    variants = [
        {"a": torch.zeros(4), "c": torch.ones(2)},
        {"a": torch.zeros(2, 2), "b": torch.ones(2)},
        {"a": torch.zeros(4, dtype=torch.int32), "b": torch.ones(2)},
        {"a": torch.tensor([0.0, 0, 0, -0.0]), "b": torch.ones(2)},
    ]
    assert len({weights_digest(v) for v in [base, *variants]}) == 5
    assert weights_digest(base) == weights_digest(dict(reversed(base.items())))


@pytest.mark.parametrize("cut", [0, 10, 1000, -1])
def test_a_cut_checkpoint(copied: Path, cut: int) -> None:
    data = (copied / "model.ckpt").read_bytes()
    (copied / "model.ckpt").write_bytes(data[:cut])
    with pytest.raises(CheckpointError, match=r"model\.ckpt"):
        load_run(copied)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this ran",))


@pytest.mark.parametrize("plain", [True, False])
def test_a_checkpoint_that_would_run_code(copied: Path, plain: bool, capsys: pytest.CaptureFixture[str]) -> None:
    if plain:
        (copied / "model.ckpt").write_bytes(pickle.dumps(Evil()))
    else:
        torch.save({"state_dict": Evil()}, copied / "model.ckpt")
    with pytest.raises(CheckpointError):
        load_run(copied)
    assert "this ran" not in capsys.readouterr().out


def test_weights_of_another_network(copied: Path) -> None:
    saved = load_tensors(copied / "model.ckpt")
    state = dict(saved["state_dict"])
    state["head.weight"] = torch.zeros(10, 3)
    state["more"] = state.pop("norm1.bias")
    save_tensors(copied / "model.ckpt", {**saved, "state_dict": state})
    with pytest.raises(CheckpointError, match=r"missing: norm1\.bias; unknown: more; head\.weight is \[10, 3\]"):
        load_run(copied)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 99, "settings": {}}', '{"format": 1, "settings": {}}']
)
def test_a_damaged_record(copied: Path, text: str) -> None:
    (copied / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"run\.json"):
        load_run(copied)


def test_a_record_that_names_foreign_code(copied: Path) -> None:
    record = json.loads((copied / "run.json").read_text())
    record["settings"]["model"]["net"] = {"class_path": "os.system", "init_args": {}}
    record["allow_code"] = ["os"]
    (copied / "run.json").write_text(json.dumps(record))
    with pytest.raises(CodeNotAllowedError):
        load_run(copied)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run folder"):
        load_run(tmp_path / "nothing")
