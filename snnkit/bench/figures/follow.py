"""The closed loop of `snnkit.loops.tracking`: an emulated network steers, beside the torch model and baselines."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnkit.bench.figures.base import Measure, Progress, train

SCENES, SECONDS = 12, 4.0
TUNING, TUNING_SECONDS = 6, 2.0


def follow_digit(recipe: str, seeds: tuple[int, ...], target: str = "loihi") -> Measure:
    """RMS distance of the gaze from the digit on test scenes; laws and centroid are tuned on validation scenes."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        from snnkit.loops import tracking as f

        tuning = f.scenes("validation", TUNING, TUNING_SECONDS)
        world = f.scenes("test", SCENES, SECONDS)
        centroids = {(s, g): f.Centroid(s, g) for s in (0, 1) for g in (1.0, 1.5, 2.0)}
        centre, law, _ = f.tune(centroids, tuning, f.GRID)
        centroid = f.follow(centroids[centre], world, law, keep=True)
        still = f.follow(f.Still(), world)
        rows = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            rows.append(_row(recipe, seed, folder, settings, target, tuning, world, centroid))
        progress("seeds", len(seeds), len(seeds))
        return {
            "rms_emulator": statistics.mean(r["rms_emulator"] for r in rows),
            "rms_torch": statistics.mean(r["rms_torch"] for r in rows),
            "rms_centroid_pd": centroid.rms,
            "rms_no_control": still.rms,
            "emulator_over_centroid": statistics.mean(r["rms_emulator"] for r in rows) / centroid.rms,
            "decisions_changed_percent": 100 * statistics.mean(r["decisions_changed"] for r in rows),
            "differing_spikes": sum(r["differing_spikes"] for r in rows),
            "minutes_per_seed": max(r["train_minutes"] for r in rows),
            "centroid": {"first_step": centre[0], "gain": centre[1], "kp": law.kp, "kd": law.kd},
            "scenes": {"count": SCENES, "seconds": SECONDS},
            "rows": rows,
        }

    return measure


def _row(
    recipe: str,
    seed: int,
    folder: Path,
    settings: Mapping[str, Any],
    target: str,
    tuning: Any,
    world: Any,
    centroid: Any,
) -> dict[str, Any]:
    from snnkit.loops import pictures
    from snnkit.loops import tracking as f
    from snnkit.targets import registry
    from snnkit.validation.runs import deploy, opened, validate_run

    run, minutes = train(recipe, seed, folder, settings)
    data = opened(run)
    path = folder / f"seed{seed}.snnx"
    chip, made = deploy(run, registry.get(target), path, data=data)
    result = validate_run(run, path, data=data, chip=chip, limit=200)
    model, emulated = f.Model(run.model, run.readout), f.Emulated(path)
    _, law, _ = f.tune({"model": model}, tuning, f.GRID)
    torch_run = f.follow(f.Model(run.model, run.readout), world, law)
    check = f.Beside(emulated, f.Model(run.model, run.readout))  # the same windows, in the loop that the chip steers
    chip_run = f.follow(check, world, law, keep=True)
    shown = {"network on the chip": chip_run, "centroid, PD": centroid}
    pictures.save(shown, chip_run, folder / f"seed{seed}-path.png", folder / f"seed{seed}-film.gif")
    return {
        "seed": seed,
        "rms_emulator": chip_run.rms,
        "rms_torch": torch_run.rms,
        "rms_by_scene": [float(v) for v in np.sqrt(np.square(chip_run.distance).mean(0))],
        "law": {"kp": law.kp, "kd": law.kd},
        "decisions_changed": check.changed,
        "differing_spikes": result["differing_spikes"]["graph-emulator"]["total"],
        "differing_from_torch": result["differing_spikes"]["torch-emulator"]["total"],
        "test_cells_right": result["accuracy"],
        "train_minutes": minutes,
        "resources": dict(made.manifest.resources.totals),
    }
