"""Published figures, re-measured: each name trains or times, compares with its bar and says whether it holds."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnkit import __version__
from snnkit.errors import UsageError, did_you_mean

Progress = Callable[[str, int, int], None]

ROBUST: dict[str, Any] = {"trainer.max_epochs": 30, "model.optimizer.lr": 1.0e-3}
"""What training through mismatch changes in a recipe."""


@dataclass(frozen=True)
class Figure:
    """One published figure: what is measured, its bars {key: (at least | at most, value)}, and how."""

    text: str
    bars: Mapping[str, tuple[str, float]]
    measure: Callable[[Path, Mapping[str, Any], Progress], dict[str, Any]]


def _train(recipe: str, seed: int, folder: Path, settings: Mapping[str, Any]) -> tuple[Any, float]:
    """A recipe trained with a seed, and the minutes that it took."""
    from snnkit.training import fit

    changes = {f"data.init_args.{k}": v for k, v in settings.items()}
    clock = time.perf_counter()
    run = fit(recipe, folder / f"seed{seed}", {"seed_everything": seed, **changes}, progress=False)
    return run, (time.perf_counter() - clock) / 60


def _road(recipe: str, seed: int, folder: Path, settings: Mapping[str, Any], target: str = "loihi") -> dict[str, Any]:
    """Train a recipe with a seed, export it to a chip, validate on its test data, count spikes per sample."""
    from snnkit.data.batch import as_inputs
    from snnkit.targets import registry
    from snnkit.validation.runs import deploy, opened, validate_run

    run, minutes = _train(recipe, seed, folder, settings)
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


def _analogue(recipe: str, seeds: tuple[int, ...]) -> Callable[[Path, Mapping[str, Any], Progress], dict[str, Any]]:
    """Train a recipe, go on through the mismatch of BrainScaleS-2, export, and run on virtual chips not trained on."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        rows = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            rows.append(_analogue_road(recipe, seed, folder, settings))
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


def _analogue_road(recipe: str, seed: int, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
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


def _accuracy(
    recipe: str, seeds: tuple[int, ...], target: str = "loihi"
) -> Callable[[Path, Mapping[str, Any], Progress], dict[str, Any]]:
    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        rows = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            rows.append(_road(recipe, seed, folder, settings, target))
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


def _codes(
    recipes: Mapping[str, str], seeds: tuple[int, ...]
) -> Callable[[Path, Mapping[str, Any], Progress], dict[str, Any]]:
    """The same network behind two codes: accuracy, spikes per sample and what the chip makes of both."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        measured: dict[str, float] = {}
        for k, (code, recipe) in enumerate(recipes.items()):
            runs = []
            for j, seed in enumerate(seeds):
                progress("runs", k * len(seeds) + j, len(recipes) * len(seeds))
                runs.append({"code": code, **_road(recipe, seed, folder / code, settings)})
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


def _every_chip(recipe: str, seeds: tuple[int, ...]) -> Callable[[Path, Mapping[str, Any], Progress], dict[str, Any]]:
    """One network on every chip that takes it: accuracy, spikes that differ from the model's, what it needs."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        from snnkit.bench.chips import on_every_chip, summary

        rows: list[dict[str, Any]] = []
        minutes = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            run, took = _train(recipe, seed, folder, settings)
            minutes.append(took)
            rows += [{"seed": seed, **row} for row in on_every_chip(run, folder / f"seed{seed}-chips")]
        progress("seeds", len(seeds), len(seeds))
        return {**summary(rows), "minutes_per_seed": max(minutes), "rows": rows}

    return measure


def _speed(work: str, pick: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> Any:
    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        import importlib

        progress("bench", 0, 1)
        rows = importlib.import_module(f"snnkit.bench.{work}").run()
        progress("bench", 1, 1)
        return {**pick(rows), "rows": rows}

    return measure


def _ours(rows: list[dict[str, Any]]) -> dict[str, Any]:
    row = next(r for r in rows if str(r["impl"]).startswith("snnkit") and "eager" not in str(r["impl"]))
    return {"floor_ratio": row["floor_ratio"], "peak_ratio": row["peak_ratio"]}


FIGURES: dict[str, Figure] = {
    "nmnist-loihi": Figure(
        "N-MNIST subset, recipe nmnist/loihi, seeds 0-2: accuracy on Loihi, loss against the model, differing spikes",
        {
            "emulator_accuracy": ("at least", 95.5),
            "test_accuracy": ("at least", 96.0),
            "loss_on_chip": ("at most", 1.0),
            "differing_spikes": ("at most", 0),
            "minutes_per_seed": ("at most", 4.0),
        },
        _accuracy("nmnist/loihi", (0, 1, 2)),
    ),
    "nmnist-spinnaker": Figure(
        "N-MNIST subset, recipe nmnist/spinnaker, seeds 0-2: accuracy on SpiNNaker, loss against the model, differing "
        "spikes",
        {
            "emulator_accuracy": ("at least", 95.5),
            "loss_on_chip": ("at most", 1.0),
            "differing_spikes": ("at most", 0),
            "minutes_per_seed": ("at most", 4.0),
        },
        _accuracy("nmnist/spinnaker", (0, 1, 2), "spinnaker"),
    ),
    "nmnist-truenorth": Figure(
        "N-MNIST subset, recipe nmnist/truenorth, seeds 0-2: accuracy on TrueNorth, spikes that differ",
        {
            "emulator_accuracy": ("at least", 90.0),
            "differing_spikes": ("at most", 0),
            "differing_from_torch": ("at most", 0),
            "minutes_per_seed": ("at most", 4.0),
        },
        _accuracy("nmnist/truenorth", (0, 1, 2), "truenorth"),
    ),
    "nmnist-all-chips": Figure(
        "N-MNIST subset, recipe nmnist/all_chips, seeds 0-2: one network on every chip, accuracies side by side",
        {
            "truenorth_differing_from_torch": ("at most", 0),
            "loihi_differing_from_torch": ("at most", 0),
            "differing_spikes": ("at most", 0),
            "digital_spread": ("at most", 2.0),
            "minutes_per_seed": ("at most", 4.0),
        },
        _every_chip("nmnist/all_chips", (0, 1, 2)),
    ),
    "nmnist-brainscales2": Figure(
        "N-MNIST subset in 11 x 11 cells, recipe nmnist/brainscales2 and training through mismatch, seeds 0-2: test "
        "accuracy on 20 virtual BrainScaleS-2 chips",
        {
            "virtual_mean": ("at least", 80.0),
            "differing_spikes": ("at most", 0),
            "minutes_per_seed": ("at most", 5.0),
        },
        _analogue("nmnist/brainscales2", (0, 1, 2)),
    ),
    "saccade-digits": Figure(
        "SaccadeDigits, recipe saccade_digits/conv, seed 0: test accuracy, loss on Loihi, differing spikes",
        {"test_accuracy": ("at least", 96.0), "loss_on_chip": ("at most", 1.5), "differing_spikes": ("at most", 0)},
        _accuracy("saccade_digits/conv", (0,)),
    ),
    "digits-codes": Figure(
        "digits, recipes digits/latency and digits/rate, seeds 0-2: test accuracy, loss on Loihi, spikes per sample",
        {
            "latency_test_accuracy": ("at least", 95.0),
            "rate_test_accuracy": ("at least", 95.0),
            "synaptic_events_share_of_rate": ("at most", 0.5),
            "differing_spikes": ("at most", 0),
            "minutes_per_seed": ("at most", 1.0),
        },
        _codes({"latency": "digits/latency", "rate": "digits/rate"}, (0, 1, 2)),
    ),
    "lif-speed": Figure(
        "LIF forward + backward [16, 128, 100000] against the memory floor",
        {"floor_ratio": ("at most", 3.5), "peak_ratio": ("at most", 2.2)},
        _speed("neurons", _ours),
    ),
}


def reproduce(name: str, folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Measure a figure and compare it with its bars.

    Raises:
        UsageError: no such figure.
    """
    if name not in FIGURES:
        raise UsageError(
            f"there is no figure {name!r}{did_you_mean(name, FIGURES)}", fix=f"known: {', '.join(FIGURES)}"
        )
    figure = FIGURES[name]
    folder.mkdir(parents=True, exist_ok=True)
    measured = figure.measure(folder, settings, progress)
    held = {
        key: key in measured and (measured[key] >= value if sense == "at least" else measured[key] <= value)
        for key, (sense, value) in figure.bars.items()
    }
    return {
        "name": name,
        "text": figure.text,
        "bars": {k: f"{sense} {value:g}" for k, (sense, value) in figure.bars.items()},
        "held": held,
        "measured": measured,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {"snnkit": __version__, "python": platform.python_version()},
    }
