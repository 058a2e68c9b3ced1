"""Training through the mismatch of an analogue chip, measured on virtual chips."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit.bench.figures.base import Measure, Progress

ROBUST: dict[str, Any] = {"trainer.max_epochs": 30, "model.optimizer.lr": 1.0e-3}
"""What training through mismatch changes in a recipe."""


def analogue(recipe: str, seeds: tuple[int, ...]) -> Measure:
    """Train a recipe, go on through the mismatch of BrainScaleS-2, export, and run on virtual chips not trained on."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        rows = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            rows.append(analogue_road(recipe, seed, folder, settings))
        progress("seeds", len(seeds), len(seeds))
        return {
            "virtual_mean": 100 * statistics.mean(r["virtual_chips"]["mean"] for r in rows),
            "virtual_worst": 100 * min(r["virtual_chips"]["worst"] for r in rows),
            "ideal_chip": 100 * statistics.mean(r["ideal_chip"] for r in rows),
            "test_accuracy": 100 * statistics.mean(r["test_accuracy"] for r in rows),
            "differing_spikes": sum(r["differing_spikes"] for r in rows),
            "minutes_per_seed": max(r["train_minutes"] for r in rows),
            "rows": rows,
        }

    return measure


def analogue_road(recipe: str, seed: int, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """One seed of `analogue`."""
    from snnkit.quantization.analogue import mismatch_training
    from snnkit.targets import registry
    from snnkit.training import fit
    from snnkit.training.fitting import finetune
    from snnkit.validation.runs import chip_graph, deploy, opened, validate_run

    target = registry.get("brainscales2")
    changes = {f"data.init_args.{k}": v for k, v in settings.items()}
    clock = time.perf_counter()
    start = fit(recipe, folder / f"seed{seed}", {"seed_everything": seed, **changes}, progress=False)
    data = opened(start)
    training = mismatch_training(chip_graph(start, target, data), target)
    run = finetune(start, folder / f"seed{seed}-chip", ROBUST, False, prepare=training,
                   hardware={"target": target.name, "chip": None})  # fmt: skip
    minutes = (time.perf_counter() - clock) / 60
    path = folder / f"seed{seed}.snnx"
    chip, made = deploy(run, target, path, data=data)
    result = validate_run(run, path, data=data, chip=chip)
    return {
        "seed": seed,
        "test_accuracy": result["accuracy"]["torch"],
        "ideal_chip": result["accuracy"]["emulator"],
        "virtual_chips": result["virtual_chips"],
        "differing_spikes": result["differing_spikes"]["graph-emulator"]["total"],
        "train_minutes": minutes,
        "samples": result["samples"],
        "resources": dict(made.manifest.resources.totals),
    }
