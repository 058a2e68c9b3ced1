"""Several processes on CPUs train as one does: gradients, losses, figures, resuming; and clear errors."""

from __future__ import annotations

import copy
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError, StateError, UsageError
from snnkit.training import SpikingClassifier, fit, load_run, processes
from snnkit.training.checkpoint import load_tensors
from snnkit.training.trainer import TrainerSettings

HERE = Path(__file__).parent
TWO = {"trainer.devices": 2}


def test_a_step_of_two_processes_equals_one_of_one(tmp_path: Path) -> None:
    """Gradients and statistics of networks with norms, penalties, lengths, a smaller and an all but empty batch; and
    norm, neuron and pool as one are there what they are one by one."""
    running = [
        subprocess.Popen(
            [sys.executable, str(HERE / "two_processes.py"), str(rank), str(tmp_path / "meet")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=600) for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    found = json.loads(said[0][0])
    assert len(found) >= 30
    assert {name: value for name, value in found.items() if not value < 1e-5} == {}


@pytest.fixture(scope="module")
def steps(tiny_recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe of 20 epochs of one step each, without draws inside the network; not to be changed."""
    recipe = copy.deepcopy(tiny_recipe)
    recipe["model"]["net"]["init_args"]["dropout"] = 0.0
    recipe["trainer"] |= {"max_epochs": 20, "limit_train_batches": 1}
    return recipe


@pytest.fixture(scope="module")
def both(steps: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Runs of one and of two processes; `first.ckpt` is the state after the first step."""
    folders = {}
    for devices in (1, 2):
        out = folders[devices] = tmp_path_factory.mktemp("several") / "run"

        def keep(event: dict[str, Any], out: Path = out) -> None:
            if event.get("row", {}).get("epoch") == 0:
                shutil.copy(out / "last.ckpt", out.parent / "first.ckpt")

        fit(steps, out, {"trainer.devices": devices}, progress=keep, threads=1)
    return folders


def test_gradients_of_the_first_step(both: dict[int, Path]) -> None:
    """Adam's first moment after one step is (1 − β₁) times the gradient."""
    one, two = (load_tensors(both[n].parent / "first.ckpt")["optimizer_states"][0]["state"] for n in (1, 2))
    assert one.keys() == two.keys()
    for k in one:
        a, b = two[k]["exp_avg"], one[k]["exp_avg"]
        assert b.abs().max() > 0
        assert float((a - b).abs().max() / b.abs().max()) < 1e-5


def test_losses_of_twenty_steps(both: dict[int, Path]) -> None:
    one, two = (load_run(both[n]).history("train_loss") for n in (1, 2))
    assert len(one) == 20
    assert two == pytest.approx(one, rel=0.01)


def test_figures_are_exactly_those_that_one_process_measures(both: dict[int, Path]) -> None:
    run = load_run(both[2])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found, test = run.evaluate("val"), run.evaluate("test")
    finally:
        torch.set_num_threads(threads)
    epoch = run.metrics["selected_epoch"]
    assert run.history("val_loss")[epoch] == found.loss == run.metrics["validation"]["loss"]
    assert run.history("val_accuracy")[epoch] == found.accuracy
    for path, layer in found.activity.summary().items():
        for name, value in layer.items():
            assert run.history(f"{name}/{path}")[epoch] == value
    assert run.metrics["test"] == test.to_dict()


def test_one_process_writes_a_run_like_any_other(both: dict[int, Path]) -> None:
    names = [sorted(p.name for p in both[n].iterdir()) for n in (1, 2)]
    assert names[0] == names[1]
    assert not torch.distributed.is_initialized()
    assert "RANK" not in os.environ


class Stop(Exception):
    """Raised in the middle of an epoch."""


@pytest.mark.slow
def test_an_interrupted_run_goes_on_byte_equal(tiny: dict[str, Any], tmp_path: Path) -> None:
    """Dropout, averages and a smaller last batch included."""
    tiny["data"]["init_args"]["batch_size"] = 14

    def stop(event: dict[str, Any]) -> None:
        if event.get("epoch") == 1 and event.get("batch") == 2:
            raise Stop

    fit(tiny, tmp_path / "whole", TWO, progress=False, threads=1)
    with pytest.raises(Stop):
        fit(tiny, tmp_path / "broken", TWO, progress=stop, threads=1)
    fit(tiny, tmp_path / "broken", TWO, progress=False, resume=True, threads=1)
    for name in ("history.csv", "metrics.json", "model.ckpt"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(
    tiny: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fit(tiny, tmp_path / "run", TWO, progress=False, threads=1)
    fit(tiny, tmp_path / "run", {"trainer.devices": 1}, progress=False, resume=True, threads=1)
    assert "the run had 2 processes, now 1" in capfd.readouterr().err


def torchrun(command: list[str]) -> list[tuple[list[str], dict[str, str]]]:
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return [([sys.executable, *start, *command], {})]


def slurm(command: list[str]) -> list[tuple[list[str], dict[str, str]]]:
    """What srun tells its two tasks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {
        "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0",
        "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    }  # fmt: skip
    each = [{"SLURM_PROCID": str(r), "SLURM_LOCALID": str(r)} for r in range(2)]
    return [([sys.executable, *command], common | own) for own in each]


@pytest.mark.slow
@pytest.mark.parametrize("starter", [torchrun, slurm])
def test_the_command_under_those_who_start_processes(
    starter: Callable[[list[str]], list[tuple[list[str], dict[str, str]]]], tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Equal to processes that are started by the first one; one folder is written and one answer given."""
    from snnkit.training import recipes

    tiny["trainer"]["devices"] = 2
    (tmp_path / "tiny.yaml").write_text(recipes.dump(tiny), encoding="utf-8")
    fit(tmp_path / "tiny.yaml", tmp_path / "own", progress=False, threads=1)
    command = ["-m", "snnkit", "train", str(tmp_path / "tiny.yaml"), "--threads", "1", "--json"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
    running = [
        subprocess.Popen(
            words, env=clean | env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for words, env in starter(command)
    ]
    said = [process.communicate(timeout=600) for process in running]
    assert [process.returncode for process in running] == [0] * len(running), said
    answer = json.loads("".join(out for out, _ in said))
    out = tmp_path / answer["run"]
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [out.name]
    for name in ("history.csv", "metrics.json", "model.ckpt"):
        assert (out / name).read_bytes() == (tmp_path / "own" / name).read_bytes(), name


def test_a_process_that_dies_is_told_with_what_it_said(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "WORK", "raise SystemExit('no room left')")
    with pytest.raises(StateError, match="process 1 of 2 ended with code 1") as caught:
        fit(tiny, tmp_path / "run", TWO, progress=False)
    assert "no room left" in str(caught.value)
    assert not (tmp_path / "run").exists()
    assert not torch.distributed.is_initialized()
    assert "RANK" not in os.environ


@pytest.mark.parametrize(
    ("trainer", "env", "what"),
    [
        ({"num_nodes": 2}, {}, "nobody has started processes on the other nodes"),
        ({"devices": 2}, {"WORLD_SIZE": "3"}, "3 processes were started, and the settings say 2 devices on 1 nodes"),
        ({}, {"WORLD_SIZE": "2"}, "2 processes were started, and the settings say 1 devices on 1 nodes"),
    ],
)
def test_other_processes_than_the_settings_say(
    trainer: dict[str, int], env: dict[str, str], what: str, tiny: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if env:
        env = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", **env}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    tiny["trainer"] |= trainer
    with pytest.raises(UsageError, match=what):
        fit(tiny, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_impossible_numbers_are_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    for name in ("devices", "num_nodes"):
        with pytest.raises(ParameterError, match=f"trainer.{name} is 0"):
            TrainerSettings(**{name: 0})
    if not torch.cuda.is_available():
        tiny["trainer"] |= {"devices": 2, "accelerator": "gpu"}
        with pytest.raises(ParameterError, match="this machine has 0 GPUs"):
            fit(tiny, tmp_path / "run", progress=False)


def test_torchs_own_norms_are_refused() -> None:
    net = torch.nn.Sequential(snn.Linear(5, 3), snn.over_time(torch.nn.BatchNorm1d(3)), snn.LI())
    with pytest.raises(UsageError, match="BatchNorm1d, and several processes train"):
        SpikingClassifier(net).check_divisible()
    SpikingClassifier(torch.nn.Sequential(snn.Linear(5, 3), snn.BatchNorm(3), snn.LI())).check_divisible()
