"""What a fine-tuning starts with: the tensors taken over, and the start's weights on the new validation data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit import _io
from snnkit.data.module import FrameDataModule
from snnkit.errors import CheckpointError
from snnkit.training.evaluation import evaluate
from snnkit.training.module import SpikingClassifier
from snnkit.training.transfer import Transfer

FILE = "start.json"


def write_start(
    out: Path, module: SpikingClassifier, data: FrameDataModule, taken: Transfer, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Measure the weights before the first step on the validation part, and write `start.json` into a run's folder.

    Nothing is measured where the head is new: its answers are noise. The test part is not touched.
    """
    value: dict[str, Any] = {"validation": None, "why": "the head is new, so the start's weights have no answer yet"}
    if taken.head == "kept":
        limit = settings["trainer"]["limit_val_batches"]
        found = evaluate(module.net, data, "validation", settings["model"], limit if isinstance(limit, int) else None)
        value = {"validation": {"accuracy": found.accuracy, "loss": found.loss}, "why": ""}
    value |= taken.to_dict()
    _io.write_json(out / FILE, value)
    return value


def read_start(out: Path) -> dict[str, Any] | None:
    """What `start.json` of a run's folder holds; None where the run was no fine-tuning.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        value: dict[str, Any] = json.loads((out / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{out / FILE} is damaged", why=str(error), fix="restore the file") from error
    return value
