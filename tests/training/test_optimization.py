"""Optimizers, schedules, early stopping and gradient accumulation of recipes."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from snnkit.errors import ParameterError, RecipeError
from snnkit.training import OptimizerSettings, TrainerSettings, fit
from snnkit.training.optimization import make_optimizer, make_schedule


def factors(settings: OptimizerSettings, total: int = 20, epochs: int = 10) -> list[float]:
    optimizer = make_optimizer(torch.nn.Linear(2, 2), settings)
    schedule = make_schedule(optimizer, settings, total, epochs)
    out = []
    for _ in range(total):
        out.append(optimizer.param_groups[0]["lr"] / settings.lr)
        optimizer.step()
        schedule.step()
    return [*out, optimizer.param_groups[0]["lr"] / settings.lr]


def test_schedules_by_definition() -> None:
    constant = factors(OptimizerSettings(schedule="constant", warmup_epochs=2))
    assert constant == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 18)
    linear = factors(OptimizerSettings(schedule="linear", warmup_epochs=0, final=0.2))
    assert linear == pytest.approx([1 - 0.8 * k / 20 for k in range(21)])
    step = factors(OptimizerSettings(schedule="step", warmup_epochs=0, step_epochs=3, gamma=0.1))
    assert step == pytest.approx([0.1 ** (k // 6) for k in range(21)])
    cosine = factors(OptimizerSettings(warmup_epochs=0, final=0.5))
    assert cosine[0] == pytest.approx(1.0)
    assert cosine[10] == pytest.approx(0.75)
    assert cosine[20] == pytest.approx(0.5)


def test_optimizers_and_what_decays() -> None:
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    for name, cls in kinds.items():
        optimizer = make_optimizer(torch.nn.Linear(2, 2), OptimizerSettings(name=name, weight_decay=0.1))  # type: ignore[arg-type]
        assert type(optimizer) is cls
        assert [g["weight_decay"] for g in optimizer.param_groups] == [0.1, 0.0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"lr": 0.0}, {"weight_decay": -1.0}, {"grad_clip": 0.0}, {"name": "adan"}, {"schedule": "cosin"},
        {"momentum": 1.0}, {"final": 2.0}, {"step_epochs": 0}, {"gamma": 0.0},
    ],
)  # fmt: skip
def test_settings_out_of_range(arguments: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        OptimizerSettings(**arguments)


def test_trainer_settings_out_of_range() -> None:
    for arguments in ({"max_epochs": 0}, {"patience": 0}, {"accumulate_grad_batches": 0}):
        with pytest.raises(ParameterError, match=next(iter(arguments))):
            TrainerSettings(**arguments)
    with pytest.raises(ParameterError, match="16-mixed"):
        TrainerSettings(precision="16-mixed", accelerator="cpu")


def epochs(folder: Path) -> list[dict[str, str]]:
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_training_stops_when_it_no_longer_gets_better(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["trainer"] |= {"max_epochs": 12, "patience": 2}
    tiny["model"]["optimizer"] = {"lr": 1e-9, "warmup_epochs": 0, "schedule": "constant"}
    tiny["model"]["ema"] = None
    tiny["model"]["select"] = "val_accuracy"
    tiny["model"]["net"]["init_args"]["norm"] = False  # running statistics would move
    run = fit(tiny, tmp_path / "a", progress=False)
    assert len(epochs(run.path)) == 3  # nothing moves, and a tie is no progress
    assert run.metrics["selected_epoch"] == 0
    # a process that dies after its last epoch, before the run is closed, does not train on
    stopped = tmp_path / "b"
    shutil.copytree(run.path, stopped)
    (stopped / "metrics.json").unlink()
    again = fit(tiny, stopped, progress=False, resume=True)
    assert len(epochs(stopped)) == 3
    assert again.metrics == run.metrics


def test_accumulated_gradients_are_those_of_the_larger_batch(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["trainer"]["max_epochs"] = 1
    tiny["model"]["net"]["init_args"]["dropout"] = 0.0
    tiny["model"]["net"]["init_args"]["norm"] = False
    tiny["model"]["optimizer"] = {"name": "sgd", "momentum": 0.0, "lr": 0.1, "warmup_epochs": 0, "schedule": "constant"}
    tiny["model"]["ema"] = None
    tiny["data"]["init_args"]["augment"] = None
    tiny["data"]["init_args"]["batch_size"] = 20
    whole = fit(tiny, tmp_path / "a", progress=False)
    tiny["data"]["init_args"]["batch_size"] = 10
    tiny["trainer"]["accumulate_grad_batches"] = 2
    parts = fit(tiny, tmp_path / "b", progress=False)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_a_misspelt_schedule_is_named(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["model"]["optimizer"]["schedule"] = "cosin"
    with pytest.raises(RecipeError, match="did you mean 'cosine'"):
        fit(tiny, tmp_path / "a", progress=False)


def test_mixed_precision_trains_and_is_recorded(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["trainer"] |= {"max_epochs": 2, "precision": "bf16-mixed"}
    tiny["model"]["optimizer"]["grad_clip"] = 1.0
    run = fit(tiny, tmp_path / "a", progress=False)
    assert run.record["precision"] == "bf16-mixed"
    assert all(float(row["train_loss"]) < 5 for row in epochs(run.path))
    assert {t.dtype for t in run.model.state_dict().values() if t.is_floating_point()} == {torch.float32}


def test_clipping_bounds_what_a_step_changes(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["trainer"]["max_epochs"] = 1
    tiny["model"]["ema"] = None
    tiny["model"]["optimizer"] = {
        "name": "sgd", "momentum": 0.0, "lr": 1.0, "weight_decay": 0.0, "warmup_epochs": 0, "schedule": "constant",
        "grad_clip": 1e-6,
    }  # fmt: skip
    tiny["model"]["net"]["init_args"]["norm"] = False
    run = fit(tiny, tmp_path / "a", progress=False)
    torch.manual_seed(tiny["seed_everything"])
    start = type(run.model)(**run.config["model"]["net"]["init_args"]).state_dict()
    moved = sum(float((v - start[k]).square().sum()) for k, v in run.model.state_dict().items()) ** 0.5
    assert 0 < moved <= 1e-6 * 3 * 1.01  # 40 training samples are 3 batches of at most 16
