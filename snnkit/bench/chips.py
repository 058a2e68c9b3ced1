"""One trained network on every registered chip: who takes it, with which accuracy, and what differs from the model."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnkit.errors import FindingsError
from snnkit.targets import registry

if TYPE_CHECKING:
    from snnkit.training.run import Run


def on_every_chip(run: Run, folder: Path, targets: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Export a run to each target and validate it on the run's test data; one row per target.

    A row has `target`, `fits`, and if it fits accuracies of model and emulator (0 to 1), spikes that differ between
    integer graph and emulator and between model and emulator with their share of the model's, and `resources`; else
    `why`, the findings.

    Args:
        run: a finished run.
        folder: for the descriptors, TARGET.snnx.
        targets: names; None for all.
    """
    from snnkit.validation.runs import deploy, opened, validate_run

    data = opened(run)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in registry.names() if targets is None else targets:
        target = registry.get(name)
        path = folder / f"{name}.snnx"
        try:
            chip, made = deploy(run, target, path, data=data)
        except FindingsError as error:
            rows.append({"target": name, "fits": False, "why": [str(f) for f in error.findings]})
            continue
        result = validate_run(run, path, data=data, chip=chip)
        differing = result["differing_spikes"]
        rows.append(
            {
                "target": name,
                "fits": True,
                "exactness": target.capabilities.exactness,
                "torch_accuracy": result["accuracy"]["torch"],
                "emulator_accuracy": result["accuracy"]["emulator"],
                "predictions_changed": result["changed"]["torch-emulator"]["changed"],
                "differing_spikes": differing["graph-emulator"]["total"],
                "differing_from_torch": differing["torch-emulator"]["total"],
                "spikes": differing["torch-emulator"]["of"],
                "virtual_chips": result.get("virtual_chips"),
                "lag": max(layer.lag for layer in made.manifest.layers),
                "resources": dict(made.manifest.resources.totals),
            }
        )
    return rows


def summary(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds: `TARGET_accuracy` in percent, `TARGET_differing_from_torch`, the spread of the exact chips."""
    rows = list(rows)
    fitting = [r for r in rows if r["fits"]]
    names = sorted({str(r["target"]) for r in fitting})
    exact = {r["target"] for r in fitting if r["exactness"] == "integer"}
    mine = {name: [r for r in fitting if r["target"] == name] for name in names}
    accuracy = {name: 100 * statistics.mean(r["emulator_accuracy"] for r in mine[name]) for name in names}
    digital = [accuracy[name] for name in names if name in exact]
    table = [
        {
            "target": name,
            "accuracy": round(accuracy[name], 2),
            "of the model": round(100 * statistics.mean(r["torch_accuracy"] for r in mine[name]), 2),
            "spikes that differ from the model's": sum(r["differing_from_torch"] for r in mine[name]),
            "of": sum(r["spikes"] for r in mine[name]),
            "virtual chips": _virtual(mine[name]),
            "predictions changed": sum(r["predictions_changed"] for r in mine[name]),
            "cores": max(r["resources"].get("cores", 0) for r in mine[name]),
            "lag": max(r["lag"] for r in mine[name]),
        }
        for name in names
    ]
    return {
        "table": table,
        "torch_accuracy": 100 * statistics.mean(r["torch_accuracy"] for r in fitting) if fitting else 0.0,
        **{f"{name}_accuracy": value for name, value in accuracy.items()},
        **{f"{name}_differing_from_torch": sum(r["differing_from_torch"] for r in mine[name]) for name in names},
        "differing_spikes": sum(r["differing_spikes"] for r in fitting if r["target"] in exact),
        "digital_spread": max(digital) - min(digital) if digital else 0.0,
        "not_fitting": sorted({str(r["target"]) for r in rows if not r["fits"]}),
    }


def _virtual(rows: Sequence[Mapping[str, Any]]) -> str:
    """Mean and worst accuracy of the virtual chips over the seeds, where a target has such."""
    found = [r["virtual_chips"] for r in rows if r.get("virtual_chips")]
    if not found:
        return ""
    mean, worst = statistics.mean(v["mean"] for v in found), min(v["worst"] for v in found)
    return f"{100 * mean:.2f}, worst {100 * worst:.2f}"
