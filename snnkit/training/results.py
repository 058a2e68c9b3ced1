"""What a finished run says of itself: the selected and the last epoch on validation and test data."""

from __future__ import annotations

import copy
import csv
from typing import Any

from snnkit.data.module import FrameDataModule
from snnkit.training import checkpoint
from snnkit.training.before import read_start
from snnkit.training.evaluation import evaluate
from snnkit.training.metrics import Evaluation
from snnkit.training.run import Run


def final_metrics(run: Run, data: FrameDataModule) -> dict[str, Any]:
    with open(run.path / "history.csv", encoding="utf-8", newline="") as file:
        history = list(csv.DictReader(file))
    selected = int(checkpoint.load_tensors(run.path / "model.ckpt")["epoch"])
    test = evaluate(run.model, data, "test", run.config["model"])
    row = history[selected]
    last = test if selected == len(history) - 1 else _evaluate_last(run, data)
    start = read_start(run.path)
    before = {} if start is None else {"start": {"validation": start["validation"], "why": start["why"]}}
    return {
        **before,
        "epochs": len(history),
        "selected_epoch": selected,
        "selected_by": run.config["model"]["select"],
        "validation": {"accuracy": float(row["val_accuracy"]), "loss": float(row["val_loss"])},
        "test": test.to_dict(),
        "last_epoch": {
            "validation": {name: float(history[-1][f"val_{name}"]) for name in ("accuracy", "loss")},
            "test": {"accuracy": last.accuracy, "loss": last.loss},
        },
        "weights": run.digest,
    }


def _evaluate_last(run: Run, data: FrameDataModule) -> Evaluation:
    """The last epoch's weights on the test data, to be shown beside the selected epoch's."""
    saved = checkpoint.load_tensors(run.path / "last.ckpt")["state_dict"]
    prefix = "net." if run.config["model"]["ema"] is None else "average."
    model = copy.deepcopy(run.model)
    state = {name.removeprefix(prefix): t for name, t in saved.items() if name.startswith(prefix)}
    checkpoint.load_into(model, state, run.path / "last.ckpt")
    return evaluate(model, data, "test", run.config["model"])
