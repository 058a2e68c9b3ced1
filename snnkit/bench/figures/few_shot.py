"""Few real recordings after many simulated ones: a network fine-tuned, and the same one from scratch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit.bench.figures.base import Measure, Progress, train

SCRATCH: dict[str, Any] = {"model.optimizer.lr": 2.0e-3}
"""What a network that starts from nothing does better with."""


def few_shot(before: str, recipe: str, seeds: tuple[int, ...]) -> Measure:
    """`before` trains on simulated data; `recipe` goes on from there with real ones, and also starts from nothing."""

    def one(seed: int, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
        from snnkit.training import fit

        row, changes = _tuned(before, recipe, seed, folder, settings)
        scratch = fit(recipe, folder / "scratch" / f"seed{seed}", {**changes, **SCRATCH}, progress=False)
        return {**row, **{f"scratch_{k}": v for k, v in _accuracies(scratch).items()}}

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        measured = _over(seeds, one, folder, settings, progress)
        return {"gain": measured["test_accuracy"] - measured["scratch_test_accuracy"], **measured}

    return measure


def _over(
    seeds: tuple[int, ...], one: Any, folder: Path, settings: Mapping[str, Any], progress: Progress
) -> dict[str, Any]:
    """The means of the accuracies and the longest times over the seeds."""
    rows: list[dict[str, Any]] = []
    for k, seed in enumerate(seeds):
        progress("seeds", k, len(seeds))
        rows.append({"seed": seed, **one(seed, folder, settings)})
    progress("seeds", len(seeds), len(seeds))
    mean = {key: statistics.mean(r[key] for r in rows) for key in rows[0] if key.endswith("accuracy")}
    longest = {f"{key}_per_seed": max(r[key] for r in rows) for key in ("minutes", "pretrain_minutes")}
    return {**mean, **longest, "rows": rows}


def _accuracies(run: Any) -> dict[str, float]:
    return {
        "test_accuracy": 100 * run.metrics["test"]["accuracy"],
        "last_epoch_test_accuracy": 100 * run.metrics["last_epoch"]["test"]["accuracy"],
        "validation_accuracy": 100 * run.metrics["validation"]["accuracy"],
    }


def _tuned(
    before: str, recipe: str, seed: int, folder: Path, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a seed reaches; and the recipe as changes of another run's settings, its network left out."""
    from snnkit.training import finetune, recipes

    real = recipes.load(recipe)
    changes: dict[str, Any] = {
        "data": {**real["data"], "init_args": {**real["data"]["init_args"], **settings}},
        "trainer": real["trainer"],
        "seed_everything": seed,
        **{f"model.{key}": value for key, value in real["model"].items() if key != "net"},
    }
    start, pretrain_minutes = train(before, seed, folder / "before", {})
    clock = time.perf_counter()
    run = finetune(start, folder / f"seed{seed}", changes, False)
    minutes = (time.perf_counter() - clock) / 60
    row = {"selected_epoch": run.metrics["selected_epoch"], "minutes": minutes, "pretrain_minutes": pretrain_minutes}
    return {**_accuracies(run), **row}, changes
