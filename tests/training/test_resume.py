"""A run killed in the middle of an epoch and resumed ends byte-equal to an unbroken one."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from snnkit.errors import CheckpointError, ResumeError, UsageError
from snnkit.training import fit, load_run
from snnkit.training.checkpoint import load_tensors

KILLED = """
import json, os, signal, sys
from snnkit.training import fit
recipe, out, epoch, batch, threads = json.loads(sys.argv[1])
def die(event):
    if event.get("epoch") == epoch and event.get("batch") == batch:
        os.kill(os.getpid(), signal.SIGKILL)
fit(recipe, out, progress=die, threads=threads)
"""


Killed = tuple[dict[str, Any], Path]


@pytest.fixture(scope="module")
def killed(tiny_recipe: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Killed]:
    """(workers, epoch) → recipe and folder of a run killed in that epoch; all at a time, as most of it is loading."""
    runs: dict[tuple[int, int], Killed] = {}
    running = []
    for workers, epoch, batch in (
        (0, 1, random.Random(0).randint(1, 5)),
        (2, 1, random.Random(2).randint(1, 5)),
        (0, 0, 3),
    ):
        recipe, out = copy.deepcopy(tiny_recipe), tmp_path_factory.mktemp("killed") / "run"
        recipe["data"]["init_args"]["num_workers"] = workers
        runs[workers, epoch] = recipe, out
        command = [sys.executable, "-c", KILLED, json.dumps([recipe, str(out), epoch, batch, torch.get_num_threads()])]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=600) for process in running]
    assert [process.returncode for process in running] == [-9] * 3, said
    return runs


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return bool(a == b)


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_is_byte_equal(finished: Path, killed: dict[tuple[int, int], Killed], workers: int) -> None:
    recipe, out = killed[workers, 1]
    assert not (out / "metrics.json").exists()
    fit(recipe, out, progress=False, resume=True)
    for name in ("history.csv", "metrics.json", "model.ckpt"):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name
    ours, theirs = load_tensors(out / "last.ckpt"), load_tensors(finished / "last.ckpt")
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
        assert same(ours[key], theirs[key]), key


def test_a_killed_first_epoch_starts_again(finished: Path, killed: dict[tuple[int, int], Killed]) -> None:
    recipe, out = killed[0, 0]
    with pytest.raises(CheckpointError, match="no complete epoch"):
        load_run(out)
    fit(recipe, out, progress=False, resume=True)
    assert (out / "metrics.json").read_bytes() == (finished / "metrics.json").read_bytes()


def test_resuming_a_finished_run_changes_nothing(tiny: dict[str, Any], finished: Path) -> None:
    before = {p.name: p.read_bytes() for p in finished.iterdir() if p.is_file()}
    fit(tiny, finished, progress=False, resume=True)
    assert {p.name: p.read_bytes() for p in finished.iterdir() if p.is_file()} == before


def test_resume_refuses_a_changed_recipe_and_lists_the_changes(tiny: dict[str, Any], finished: Path) -> None:
    changes = {"model.net.hidden": [16], "model.optimizer.lr": 0.1, "seed_everything": 4}
    with pytest.raises(ResumeError) as caught:
        fit(tiny, finished, changes, progress=False, resume=True)
    text = str(caught.value)
    assert "model.net.init_args.hidden: [12] → [16]" in text
    assert "model.optimizer.lr: 0.01 → 0.1" in text
    assert "seed_everything: 3 → 4" in text


def test_resume_refuses_changed_data(tiny: dict[str, Any], finished: Path) -> None:
    with pytest.raises(ResumeError, match="data digest"):
        fit(tiny, finished, {"data.data_seed": 1}, progress=False, resume=True)


def test_resume_needs_a_run(tiny: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run folder"):
        fit(tiny, tmp_path, progress=False, resume=True)


def test_a_taken_folder_is_not_overwritten(tiny: dict[str, Any], finished: Path) -> None:
    before = (finished / "metrics.json").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        fit(tiny, finished, progress=False)
    assert (finished / "metrics.json").read_bytes() == before


def test_a_full_disk_loses_nothing(
    tiny: dict[str, Any], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    out, real = tmp_path / "run", os.replace
    writes: list[str] = []

    def full(source: Any, target: Any) -> None:
        if str(target).endswith("last.ckpt"):
            writes.append(str(target))
            if len(writes) == 2:
                raise OSError(28, "No space left on device", str(target))
        real(source, target)

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        fit(tiny, out, progress=False)
    monkeypatch.undo()
    assert not list(out.glob(".*.tmp"))
    assert load_tensors(out / "last.ckpt")["epoch"] == 0
    fit(tiny, out, progress=False, resume=True)
    for name in ("history.csv", "metrics.json", "model.ckpt"):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


def test_ctrl_c_leaves_the_run_resumable(
    tiny: dict[str, Any], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import os
    import signal

    out = tmp_path / "run"
    old = signal.getsignal(signal.SIGINT)

    def interrupt(event: dict[str, Any]) -> None:
        if event.get("epoch") == 1 and event.get("batch") == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(tiny, out, progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is old
    message = capsys.readouterr().err
    assert "1 of 3 epochs" in message
    assert f"snnkit train --resume --out {out}" in message
    fit(tiny, out, progress=False, resume=True)
    assert (out / "model.ckpt").read_bytes() == (finished / "model.ckpt").read_bytes()
