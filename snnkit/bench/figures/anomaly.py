"""A network watches simulated streams for hours: how late its alarms are and how many are false, model and chip."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnkit.bench.figures.base import Measure, Progress, train

HOURS, GAP_S = 1.0, 60.0
"""Length of a recording, and the mean time between its anomalies."""
VALIDATION, TEST = (100, 101), (200, 201, 202)
"""Numbers of the recordings that the rule is chosen on, and of those that it is measured on."""
MOST_FALSE = 0.5
"""False alarms per hour that are allowed on validation recordings."""


def anomaly(recipe: str, seeds: tuple[int, ...], target: str = "loihi") -> Measure:
    """Detection delay and false alarms per hour; rule and threshold come from validation recordings."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        from snnkit.data.pulse.waveform import record
        from snnkit.loops import watching as watch

        heard = [record(3600 * HOURS, key, gap_s=GAP_S) for key in VALIDATION]
        unheard = [record(3600 * HOURS, key, gap_s=GAP_S) for key in TEST]
        coded = (watch.streams(heard), watch.streams(unheard))
        rows = []
        for k, seed in enumerate(seeds):
            progress("seeds", k, len(seeds))
            rows.append(_row(recipe, seed, folder, settings, target, (heard, unheard), coded))
        progress("seeds", len(seeds), len(seeds))
        chip = [r["chip"] for r in rows]
        keys = ("detected", "delay_median_s", "delay_p90_s", "false_alarms_per_hour")
        return {
            **{key: statistics.mean(c[key] for c in chip) for key in keys},
            **{f"torch_{key}": statistics.mean(r["torch"][key] for r in rows) for key in keys},
            "alarms": sum(r["alarms"]["chip"] for r in rows),
            "alarms_that_differ_from_graph": sum(r["alarms"]["graph_differs"] for r in rows),
            "alarms_that_differ_from_torch": sum(r["alarms"]["torch_differs"] for r in rows),
            "differing_spikes": sum(r["differing_spikes"] for r in rows),
            "minutes_per_seed": max(r["train_minutes"] for r in rows),
            "episodes": rows[0]["chip"]["episodes"],
            "hours": rows[0]["chip"]["hours"],
            "rows": rows,
        }

    return measure


def _row(
    recipe: str,
    seed: int,
    folder: Path,
    settings: Mapping[str, Any],
    target: str,
    recordings: tuple[Any, Any],
    coded: tuple[Any, Any],
) -> dict[str, Any]:
    from snnkit.loops import watching as watch
    from snnkit.targets import registry
    from snnkit.validation.runs import deploy, opened, validate_run

    run, minutes = train(recipe, seed, folder, settings)
    data = opened(run)
    path = folder / f"seed{seed}.snnx"
    chip, made = deploy(run, registry.get(target), path, data=data)
    result = validate_run(run, path, data=data, chip=chip, limit=200)
    raised, found, rules, margins = {}, {}, {}, {}
    for name, network in (("torch", watch.of_model(run.model)), ("chip", watch.of_descriptor(path))):
        # Each chooses its threshold in its own units, by the same rule, on the validation recordings.
        rules[name] = watch.choose([watch.margins(s, network) for s in coded[0]], recordings[0], MOST_FALSE)
        margins[name] = [watch.margins(s, network) for s in coded[1]]
        raised[name] = [watch.alarms(m, rules[name]) for m in margins[name]]
        found[name] = watch.judge(raised[name], recordings[1]).summary()
    # The integer graph is slow: the second opinion hears the first ten minutes.
    part = coded[1][0][: 60 * 1000]
    second = watch.alarms(watch.margins(part, watch.of_graph(chip)), rules["chip"])
    first = watch.alarms(watch.margins(part, watch.of_descriptor(path)), rules["chip"])
    return {
        "seed": seed,
        **found,
        "rules": {name: {"threshold": r.threshold, "hold": r.hold} for name, r in rules.items()},
        "alarms": {
            **{name: sum(len(a) for a in r) for name, r in raised.items()},
            "torch_differs": sum(len(np.setxor1d(a, b)) for a, b in zip(raised["torch"], raised["chip"])),
            "graph_differs": len(np.setxor1d(first, second)),
        },
        "differing_spikes": result["differing_spikes"]["graph-emulator"]["total"],
        "differing_from_torch": result["differing_spikes"]["torch-emulator"]["total"],
        "windows_right": result["accuracy"],
        "train_minutes": minutes,
        "resources": dict(made.manifest.resources.totals),
    }
