"""What a recipe learns: test accuracy of the selected epoch, of the last one beside it, and the minutes it took."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit.bench.figures.base import Measure, Progress, train


def learned(recipe: str, seeds: tuple[int, ...]) -> Measure:
    """A recipe's accuracies in percent, mean of the seeds."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        rows = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            run, minutes = train(recipe, seed, folder, settings)
            found = run.metrics
            rows.append(
                {
                    "seed": seed,
                    "test_accuracy": 100 * found["test"]["accuracy"],
                    "last_epoch_accuracy": 100 * found["last_epoch"]["test"]["accuracy"],
                    "validation_accuracy": 100 * found["validation"]["accuracy"],
                    "selected_epoch": found["selected_epoch"],
                    "train_minutes": minutes,
                }
            )
        progress("seeds", len(seeds), len(seeds))
        mean = {key: statistics.mean(r[key] for r in rows) for key in rows[0] if key.endswith("accuracy")}
        return {**mean, "minutes_per_seed": max(r["train_minutes"] for r in rows), "rows": rows}

    return measure
