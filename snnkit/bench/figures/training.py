"""What a recipe reaches on test data that it never saw, the mean of several seeds, with the last epoch beside it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit.bench.figures.base import Measure, Progress, train


def learned(recipe: str, seeds: tuple[int, ...]) -> Measure:
    """A recipe trained with each seed: test accuracy of the epoch that validation selects, and of the last one."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        rows = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            run, minutes = train(recipe, seed, folder, settings)
            m = run.metrics
            rows.append(
                {
                    "seed": seed,
                    "test_accuracy": m["test"]["accuracy"],
                    "last_epoch_test_accuracy": m["last_epoch"]["test"]["accuracy"],
                    "validation_accuracy": m["validation"]["accuracy"],
                    "selected_epoch": m["selected_epoch"],
                    "epochs": m["epochs"],
                    "train_minutes": minutes,
                }
            )
        progress("seeds", len(seeds), len(seeds))
        names = ("test_accuracy", "last_epoch_test_accuracy", "validation_accuracy")
        return {
            **{name: 100 * statistics.mean(r[name] for r in rows) for name in names},
            "minutes_per_seed": max(r["train_minutes"] for r in rows),
            "rows": rows,
        }

    return measure
