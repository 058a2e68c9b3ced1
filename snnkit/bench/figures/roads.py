"""From a recipe to a chip: accuracy before and after, spikes that differ, what the chip needs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit.bench.figures.base import Measure, Progress, train


def road(recipe: str, seed: int, folder: Path, settings: Mapping[str, Any], target: str = "loihi") -> dict[str, Any]:
    """Train a recipe with a seed, export it to a chip, validate on its test data, count spikes per sample."""
    from snnkit.data.batch import as_inputs
    from snnkit.targets import registry
    from snnkit.validation.runs import deploy, opened, validate_run

    run, minutes = train(recipe, seed, folder, settings)
    data = opened(run)
    path = folder / f"seed{seed}.snnx"
    chip, made = deploy(run, registry.get(target), path, data=data)
    result = validate_run(run, path, data=data, chip=chip)
    samples = result["samples"]
    layers = run.evaluate("test", data).activity.layers.values()
    return {
        "seed": seed,
        "test_accuracy": result["accuracy"]["torch"],
        "emulator_accuracy": result["accuracy"]["emulator"],
        "predictions_changed": result["changed"]["torch-emulator"],
        "differing_spikes": result["differing_spikes"]["graph-emulator"]["total"],
        "differing_from_torch": result["differing_spikes"]["torch-emulator"]["total"],
        "train_minutes": minutes,
        "samples": samples,
        "input_spikes": sum(float(x.sum()) for b in data.test_dataloader() for x in as_inputs(b.x)) / samples,
        "hidden_spikes": sum(float(layer.spikes.sum()) for layer in layers) / samples,
        "synaptic_events": result["counters"]["synaptic_events"] / samples,
        "resources": dict(made.manifest.resources.totals),
    }


def accuracy(recipe: str, seeds: tuple[int, ...], target: str = "loihi") -> Measure:
    """A recipe on a chip, mean of the seeds: test accuracy, loss by export, spikes that differ."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        rows = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            rows.append(road(recipe, seed, folder, settings, target))
        progress("seeds", len(seeds), len(seeds))
        accuracy = [r["test_accuracy"] * 100 for r in rows]
        loss = [(r["test_accuracy"] - r["emulator_accuracy"]) * 100 for r in rows]
        return {
            "test_accuracy": statistics.mean(accuracy),
            "emulator_accuracy": 100 * statistics.mean(r["emulator_accuracy"] for r in rows),
            "differing_from_torch": sum(r["differing_from_torch"] for r in rows),
            "loss_on_chip": statistics.mean(loss),
            "differing_spikes": sum(r["differing_spikes"] for r in rows),
            "minutes_per_seed": max(r["train_minutes"] for r in rows),
            "rows": rows,
        }

    return measure


def codes(recipes: Mapping[str, str], seeds: tuple[int, ...]) -> Measure:
    """The same network behind two codes: accuracy, spikes per sample and what the chip makes of both."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        measured: dict[str, float] = {}
        for k, (code, recipe) in enumerate(recipes.items()):
            runs = []
            for j, seed in enumerate(seeds):
                progress("runs", k * len(seeds) + j, len(recipes) * len(seeds))
                runs.append({"code": code, **road(recipe, seed, folder / code, settings)})
            for key in ("test_accuracy", "emulator_accuracy"):
                measured[f"{code}_{key}"] = 100 * statistics.mean(r[key] for r in runs)
            for key in ("input_spikes", "hidden_spikes", "synaptic_events"):
                measured[f"{code}_{key}"] = statistics.mean(r[key] for r in runs)
            rows += runs
        progress("runs", len(rows), len(rows))
        first, *others = recipes
        for key in ("input_spikes", "hidden_spikes", "synaptic_events"):
            measured |= {f"{key}_share_of_{o}": measured[f"{first}_{key}"] / measured[f"{o}_{key}"] for o in others}
        return {
            **measured,
            "differing_spikes": sum(r["differing_spikes"] for r in rows),
            "minutes_per_seed": max(r["train_minutes"] for r in rows),
            "rows": rows,
        }

    return measure


def every_chip(recipe: str, seeds: tuple[int, ...]) -> Measure:
    """One network on every chip that takes it: accuracy, spikes that differ from the model's, what it needs."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        from snnkit.bench.chips import on_every_chip, summary

        rows: list[dict[str, Any]] = []
        minutes = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            run, took = train(recipe, seed, folder, settings)
            minutes.append(took)
            rows += [{"seed": seed, **row} for row in on_every_chip(run, folder / f"seed{seed}-chips")]
        progress("seeds", len(seeds), len(seeds))
        return {**summary(rows), "minutes_per_seed": max(minutes), "rows": rows}

    return measure
