"""A training run: its settings, data and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit.cli.show.common import get, page, words
from snnkit.errors import CheckpointError


def describe(folder: Path) -> dict[str, Any]:
    """Settings, data and figures of a run, read from its JSON files.

    Raises:
        CheckpointError: a file is damaged.
    """
    record = _read(folder / "run.json")
    settings = record.get("settings")
    if not isinstance(settings, Mapping):
        raise CheckpointError(f"{folder / 'run.json'} is no record of a run", fix="name the folder of a training run")
    metrics = _read(folder / "metrics.json") if (folder / "metrics.json").is_file() else None
    history = folder / "history.csv"
    epochs = max(len(history.read_text(encoding="utf-8").splitlines()) - 1, 0) if history.is_file() else 0
    of = get(settings, "trainer", "max_epochs")
    state = "finished" if metrics else ("interrupted" if epochs else "no complete epoch")
    return {
        "folder": str(folder),
        "recipe": record.get("recipe"),
        "state": state,
        "epochs": {"done": epochs, "of": of},
        "seed": record.get("seed"),
        "precision": record.get("precision"),
        "memory_format": record.get("memory_format"),
        "versions": record.get("versions", {}),
        "data": record.get("data", {}),
        "model": get(settings, "model") or {},
        "trainer": get(settings, "trainer") or {},
        "validation": get(metrics, "validation"),
        "test": {k: v for k, v in (get(metrics, "test") or {}).items() if k != "confusion"} if metrics else None,
        "weights": get(metrics, "weights"),
        "files": {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.is_file()},
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is damaged", why=str(error), fix="restore the file, or train again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} holds no record", fix="restore the file, or train again")
    return content


def show(facts: Mapping[str, Any]) -> None:
    """A run, for people."""
    data, model, epochs = facts["data"], facts["model"], facts["epochs"]
    accuracy = {k: get(facts, k, "accuracy") for k in ("validation", "test")}
    samples = get(data, "samples") or {}
    page(
        f"run {facts['folder']}",
        [
            ("recipe", facts["recipe"]),
            ("state", f"{facts['state']}, {epochs['done']} of {words(epochs['of'] or '?')} epochs"),
            *((f"{k} accuracy", f"{100 * v:.2f} %") for k, v in accuracy.items() if isinstance(v, (int, float))),
            ("data", f"{get(data, 'name')}, digest {str(get(data, 'digest'))[:12]}"),
            ("samples", samples),
            ("frames", get(data, "frames")),
            ("network", get(model, "net", "class_path")),
            ("its settings", get(model, "net", "init_args")),
            ("loss", get(model, "loss")),
            ("optimizer", get(model, "optimizer")),
            ("seed, precision", f"{facts['seed']}, {facts['precision']}"),
            ("versions", facts["versions"]),
            ("weights", str(facts["weights"])[:12] if facts["weights"] else None),
            ("files", ", ".join(facts["files"])),
        ],
    )
    layers = get(facts, "test", "layers")
    if isinstance(layers, Mapping) and layers:
        from snnkit.cli.common import print_table

        names = ("rate", "silent", "saturated")
        rows = [[path, *(get(layer, n) for n in names)] for path, layer in layers.items()]
        print_table("layers on the test data", ["layer", "spikes per neuron and step", "silent", "saturated"], rows)
