"""A run: the folder that training leaves, and how to come back to it.

| file | what |
| --- | --- |
| `run.json` | resolved settings, data (with digest), seed, versions, precision, threads |
| `recipe.yaml` | the resolved settings as a recipe |
| `model.ckpt` | weights of the selected epoch |
| `last.ckpt` | everything needed to go on after the last complete epoch |
| `history.csv` | one line per epoch; equal for equal runs |
| `timing.csv` | seconds and samples per second of each epoch |
| `start.json` | of a fine-tuning: what was taken over, and the validation accuracy before the first step |
| `metrics.json` | the selected epoch, validation and test figures |
| `tensorboard/` | the same for TensorBoard |
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from snnkit.errors import CheckpointError, UsageError, did_you_mean
from snnkit.training import checkpoint
from snnkit.training.losses import READOUTS, ReadOut
from snnkit.training.settings import Reader, build

if TYPE_CHECKING:
    from snnkit.data.module import FrameDataModule
    from snnkit.training.metrics import Evaluation

FORMAT = 1
Split = Literal["train", "validation", "test"]
SPLITS: dict[str, Split] = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


@dataclass
class Run:
    """A trained network with everything that made it.

    Attributes:
        path: the run's folder.
        record: what `run.json` holds.
        model: the network of the selected epoch, in evaluation mode.
        metrics: what `metrics.json` holds; empty while the run is not finished.
    """

    path: Path
    record: dict[str, Any]
    model: torch.nn.Module
    metrics: dict[str, Any] = field(default_factory=dict)
    allow_code: tuple[str, ...] = ()

    @property
    def config(self) -> dict[str, Any]:
        """The resolved settings: seed_everything, model, data, trainer."""
        return self.record["settings"]

    @property
    def name(self) -> str:
        """The recipe's name."""
        return str(self.record.get("recipe", self.path.name))

    @property
    def readout(self) -> ReadOut:
        """The rule from the output [T, B, C] to scores [B, C]: "count", "mean", "max" or "last"."""
        return READOUTS[self.config["model"]["loss"]]

    @property
    def data(self) -> dict[str, Any]:
        """What the training data were (`FrameDataModule.describe()`)."""
        return self.record["data"]

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return checkpoint.weights_digest(self.model.state_dict())

    def history(self, column: str = "val_accuracy") -> list[float]:
        """A column of `history.csv`, one value per epoch; empty where there is none."""
        try:
            with open(self.path / "history.csv", encoding="utf-8", newline="") as file:
                return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]
        except FileNotFoundError:
            return []

    def datamodule(self, changes: Mapping[str, Any] | None = None) -> FrameDataModule:
        """The data, as the run saw them; `changes` replaces settings, such as {"root": PATH}."""
        spec = self.config["data"]
        if changes:
            from snnkit.data.module import FrameDataModule as Base

            spec = {**spec, "init_args": {**spec["init_args"], **changes}}
            spec = Reader(self.allow_code).spec(spec, Base, "data")
        return build(spec, None, Reader(self.allow_code))

    def evaluate(self, split: str = "test", data: FrameDataModule | None = None) -> Evaluation:
        """Accuracy, loss, confusion and firing rates on "train", "val" or "test"."""
        from snnkit.training.evaluation import evaluate

        if split not in SPLITS:
            raise UsageError(f"there is no split {split!r}{did_you_mean(split, SPLITS)}", fix="train, val or test")
        return evaluate(self.model, data or self.datamodule(), SPLITS[split], self.config["model"])


def read_record(path: str | Path) -> dict[str, Any]:
    """What a run's `run.json` holds.

    Raises:
        CheckpointError: no run folder, or a damaged or unknown record.
    """
    file = Path(path) / "run.json"
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        fix = "give the folder that `snnkit train` wrote"
        if Path(path).suffix == ".nir":
            fix += "; a NIR file goes to `snnkit check`, `export`, `validate`, `inspect` or `nir`"
        raise CheckpointError(f"{path} is no run folder (no {file.name} in it)", fix=fix) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file} is damaged", why=str(error), fix="restore the file, or train again") from error
    if not isinstance(record, dict) or not isinstance(record.get("settings"), dict):
        raise CheckpointError(f"{file} is no record of a run", fix="give the folder that `snnkit train` wrote")
    if record.get("format") != FORMAT:
        raise CheckpointError(
            f"{file} has format {record.get('format')!r}, this version reads {FORMAT}",
            fix="use the snnkit that wrote it",
        )
    return record


def load_run(path: str | Path, allow_code: Iterable[str] = ()) -> Run:
    """Open a run. Nothing in the folder is executed: the network is built from its settings, and weights are read as
    plain tensors; classes outside snnkit need `allow_code`, as in training.

    Raises:
        CheckpointError: the folder is no run, is damaged, or has no complete epoch yet.
        CodeNotAllowedError: the settings name a class outside snnkit.
    """
    path = Path(path)
    record = read_record(path)
    allow = tuple(allow_code)
    if not (path / "model.ckpt").exists():
        raise CheckpointError(f"{path} has no complete epoch yet", fix=f"snnkit train --resume --out {path}")
    try:
        spec = record["settings"]["model"]["net"]
    except KeyError as error:
        raise CheckpointError(
            f"{path}/run.json lacks the key {error}", fix="restore the file, or train again"
        ) from error
    model = build(spec, None, Reader(allow))
    saved = checkpoint.load_tensors(path / "model.ckpt")
    checkpoint.load_into(model, saved.get("state_dict") if isinstance(saved, dict) else None, path / "model.ckpt")
    metrics = {}
    if (path / "metrics.json").exists():
        try:
            metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path}/metrics.json is damaged", why=str(error)) from error
    return Run(path, record, model.eval(), metrics, allow)
