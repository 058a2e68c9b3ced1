"""Two sensors alone and together: accuracies on the same pairs, and how often one is right where another is wrong."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnkit.bench.figures.base import Measure, Progress

ALONE = ("vision", "sound")
FOLDERS = {"first": "nmnist_subset", "second": "fsdd_subset"}
"""Where the recordings lie in `root`."""


def mcnemar(first: Any, second: Any) -> dict[str, Any]:
    """McNemar's exact test of two classifiers on the same samples, from who was right [n].

    Returns:
        only_first and only_second (samples that one alone had right), and p, the two-sided probability of counts as
        unequal as these if both were equally good: 2 · P(X ≤ min) for X ~ Binomial(sum, 1/2), at most 1.

    Source: McNemar 1947, doi:10.1007/BF02295996.
    """
    from scipy.stats import binom

    a, b = np.asarray(first, np.bool_), np.asarray(second, np.bool_)
    n, m = int((a & ~b).sum()), int((b & ~a).sum())
    return {"only_first": n, "only_second": m, "p": min(1.0, 2 * float(binom.cdf(min(n, m), n + m, 0.5)))}


def fusion(seeds: tuple[int, ...], target: str = "loihi") -> Measure:
    """Recipes fusion/vision, fusion/sound and fusion/both, the last on a chip too."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        rows = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            rows.append(_row(folder, seed, settings, target))
        progress("seeds", len(seeds), len(seeds))
        out: dict[str, Any] = {
            use: 100 * statistics.mean(r["accuracy"][use] for r in rows) for use in (*ALONE, "both", "both_on_chip")
        }
        return {
            **out,
            "gain_over_better": out["both"] - max(out[use] for use in ALONE),
            "gain_on_chip": out["both_on_chip"] - max(out[use] for use in ALONE),
            "seeds_better_than_either": sum(
                r["accuracy"]["both"] > max(r["accuracy"][use] for use in ALONE) for r in rows
            ),
            **{f"largest_p_against_{use}": max(r["mcnemar"][use]["p"] for r in rows) for use in ALONE},
            "differing_spikes": sum(r["differing_spikes"] for r in rows),
            "minutes_per_seed": max(sum(r["minutes"].values()) for r in rows),
            "rows": rows,
        }

    return measure


def _row(folder: Path, seed: int, settings: Mapping[str, Any], target: str) -> dict[str, Any]:
    from snnkit.targets import registry
    from snnkit.training import fit
    from snnkit.validation.runs import deploy, opened, validate_run

    changes: dict[str, Any] = {"seed_everything": seed}
    for part, name in FOLDERS.items():
        if "root" in settings:
            changes[f"data.{part}.root"] = str(Path(settings["root"]) / name)
    right, accuracy, minutes, runs = {}, {}, {}, {}
    for use in (*ALONE, "both"):
        clock = time.perf_counter()
        runs[use] = fit(f"fusion/{use}", folder / f"seed{seed}" / use, changes, progress=False)
        minutes[use] = (time.perf_counter() - clock) / 60
        found = runs[use].evaluate("test")
        right[use], accuracy[use] = (found.predictions == found.labels).numpy(), found.accuracy
    run, path = runs["both"], folder / f"seed{seed}" / "both.snnx"
    data = opened(run)
    chip, made = deploy(run, registry.get(target), path, data=data)
    result = validate_run(run, path, data=data, chip=chip)
    return {
        "seed": seed,
        "accuracy": {**accuracy, "both_on_chip": result["accuracy"]["emulator"]},
        "validation": {use: r.metrics["validation"]["accuracy"] for use, r in runs.items()},
        "mcnemar": {use: mcnemar(right["both"], right[use]) for use in ALONE},
        "differing_spikes": result["differing_spikes"]["graph-emulator"]["total"],
        "differing_from_torch": result["differing_spikes"]["torch-emulator"]["total"],
        "predictions_changed": result["changed"]["torch-emulator"],
        "samples": result["samples"],
        "minutes": minutes,
        "resources": dict(made.manifest.resources.totals),
    }
