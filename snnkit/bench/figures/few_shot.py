"""Few real recordings after many simulated ones: fine-tuned, beside the same network from scratch."""

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

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        rows = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            rows.append(_both(before, recipe, seed, folder, settings))
        progress("seeds", len(seeds), len(seeds))
        mean = {key: statistics.mean(r[key] for r in rows) for key in rows[0] if key.endswith("accuracy")}
        return {
            **mean,
            "gain": mean["test_accuracy"] - mean["scratch_test_accuracy"],
            "minutes_per_seed": max(r["train_minutes"] for r in rows),
            "pretrain_minutes_per_seed": max(r["pretrain_minutes"] for r in rows),
            "rows": rows,
        }

    return measure


def _both(before: str, recipe: str, seed: int, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    from snnkit.training import finetune, fit, recipes

    start, pretrain_minutes = train(before, seed, folder / "before", {})
    real = recipes.load(recipe)
    changes: dict[str, Any] = {
        "data": {**real["data"], "init_args": {**real["data"]["init_args"], **settings}},
        "trainer": real["trainer"],
        "seed_everything": seed,
        **{f"model.{key}": value for key, value in real["model"].items() if key != "net"},
    }
    clock = time.perf_counter()
    tuned = finetune(start, folder / f"seed{seed}", changes, False)
    minutes = (time.perf_counter() - clock) / 60
    scratch = fit(real, folder / "scratch" / f"seed{seed}", {**changes, **SCRATCH}, progress=False)
    found = tuned.metrics
    return {
        "seed": seed,
        "test_accuracy": 100 * found["test"]["accuracy"],
        "last_epoch_accuracy": 100 * found["last_epoch"]["test"]["accuracy"],
        "scratch_test_accuracy": 100 * scratch.metrics["test"]["accuracy"],
        "scratch_last_epoch_accuracy": 100 * scratch.metrics["last_epoch"]["test"]["accuracy"],
        "selected_epoch": found["selected_epoch"],
        "train_minutes": minutes,
        "pretrain_minutes": pretrain_minutes,
    }
