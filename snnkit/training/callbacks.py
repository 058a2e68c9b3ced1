"""What happens at the end of every epoch: history, selection, atomic checkpoints, progress."""

from __future__ import annotations

import csv
import io
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import lightning as L  # noqa: E402
from lightning.pytorch.callbacks import Checkpoint  # noqa: E402

from snnkit._io import atomic_path, write_text  # noqa: E402
from snnkit.errors import CheckpointError  # noqa: E402
from snnkit.training.checkpoint import save_tensors  # noqa: E402
from snnkit.training.metrics import warnings_about  # noqa: E402
from snnkit.training.module import SpikingClassifier  # noqa: E402

EARLY_EPOCHS = 3
"""Silent layers are warned of after so many epochs, early enough to stop, and at the end."""

ProgressCallback = Callable[[dict[str, Any]], None]
"""Called with {"compiling": kernel, "done", "total"} before training, {"epoch", "epochs", "batch", "batches"} after
each batch, {"row": figures} after each epoch, and {"warnings": [texts]} early on and at the end."""


def no_report(event: dict[str, Any]) -> None:
    """Tell nobody."""


def warn(event: dict[str, Any]) -> None:
    """Print warnings and nothing else."""
    for text in event.get("warnings", ()):
        print(f"warning: {text}", file=sys.stderr)


@contextmanager
def quiet() -> Iterator[None]:
    """Within it, lightning keeps its advertisements and its hints about loaders to itself."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        warnings.filterwarnings("ignore", message=r".*lightning.*|.*LeafSpec.*|.*pkg_resources.*|.*num_workers.*")
        warnings.filterwarnings("ignore", message=r".*lr_scheduler\.step\(\).*", category=UserWarning)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


def to_csv(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV text; columns in the order of their first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class RunFolder(Checkpoint):
    """Writes a run's folder. After every epoch: the weights if they are the best so far, the history, and last.

    The last checkpoint is written after everything else and replaces its predecessor in one step. So whenever the
    process dies, going on from the last checkpoint repeats at most one epoch and writes the same files again. Where
    several processes train together, all know the figures and the first one writes.

    Args:
        folder: the run's folder.
        report: told of every batch and epoch.
        patience: stop after so many epochs in a row that were no better than the best; None: never.
    """

    def __init__(self, folder: Path, report: ProgressCallback = no_report, patience: int | None = None) -> None:
        self.folder, self.report, self.patience = folder, report, patience
        self.history: list[dict[str, Any]] = []
        self.timing: list[dict[str, Any]] = []
        self.best: dict[str, float] | None = None
        self._start = 0.0

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.folder / "last.ckpt"

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {"history": self.history, "timing": self.timing, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.history, self.timing = list(state_dict["history"]), list(state_dict["timing"])
        self.best = state_dict["best"]

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        if self.patience is None or self.best is None or not self.history:
            return False
        return int(self.history[-1]["epoch"]) - int(self.best["epoch"]) >= self.patience

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.exhausted:  # resumed after its last epoch was written and before the run was closed
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, SpikingClassifier)
        seconds = time.perf_counter() - self._start
        epoch = trainer.current_epoch
        row: dict[str, Any] = {"epoch": epoch, **pl_module.train_metrics, **pl_module.val_metrics}
        for path, layer in pl_module.val_activity.summary().items():
            row |= {f"{name}/{path}": value for name, value in layer.items()}
        if not all(abs(row[k]) < float("inf") for k in ("train_loss", "val_loss")):
            raise CheckpointError(
                f"the loss is {row['train_loss']} in epoch {epoch}",
                why="training diverged",
                fix="use a lower optimizer lr, a longer warm-up or grad_clip",
            )
        self.history.append(row)
        samples = pl_module._sums.samples
        self.timing.append(
            {"epoch": epoch, "seconds": round(seconds, 3), "samples_per_s": round(samples / max(seconds, 1e-9), 1)}
        )
        if self._is_best(row, pl_module.select):
            self.best = {key: row[key] for key in ("epoch", "val_loss", "val_accuracy")}
            if trainer.is_global_zero:
                self._write_best(epoch, pl_module)
        for logger in trainer.loggers:
            logger.log_metrics({"samples_per_s": self.timing[-1]["samples_per_s"]}, trainer.global_step)
        if trainer.is_global_zero:
            write_text(self.folder / "history.csv", to_csv(self.history))
            write_text(self.folder / "timing.csv", to_csv(self.timing))
            with atomic_path(self.last) as temp:
                trainer.save_checkpoint(temp)
        else:
            trainer.save_checkpoint(self.last)  # takes part, and writes nothing
        self.report({"row": row, "epochs": trainer.max_epochs})
        if self.exhausted:
            trainer.should_stop = True
        if len(self.history) == EARLY_EPOCHS:
            self.report({"warnings": warnings_about(pl_module.val_activity)})

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        batches = int(trainer.num_training_batches)
        at = {"epoch": trainer.current_epoch, "epochs": trainer.max_epochs}
        self.report({**at, "batch": batch_idx + 1, "batches": batches})

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, SpikingClassifier)
        self.report({"warnings": warnings_about(pl_module.val_activity)})

    def _write_best(self, epoch: int, module: SpikingClassifier) -> None:
        state = {name: t.detach().cpu().clone() for name, t in module.evaluated.state_dict().items()}
        save_tensors(self.folder / "model.ckpt", {"epoch": epoch, "state_dict": state})

    def _is_best(self, row: dict[str, Any], select: str) -> bool:
        if self.best is None:
            return True

        def rank(r: dict[str, Any]) -> tuple[float, ...]:
            if select == "val_loss":
                return (-r["val_loss"],)
            return (r["val_accuracy"],)

        if self.patience is not None:  # a tie is no progress
            return rank(row) > rank(self.best)
        return rank(row) >= rank(self.best)


@contextmanager
def training_progress(enabled: bool) -> Iterator[ProgressCallback]:
    """A rich progress bar on standard error as a `ProgressCallback`; only warnings where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not enabled or not console.is_terminal:
        yield warn if enabled else no_report
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("training")

        def report(event: dict[str, Any]) -> None:
            if event.get("done", 1) < event.get("total", 0):
                bar.update(task, description=f"compiling {event['compiling']}", total=None)
            elif "batches" in event:
                per = event["batches"]
                bar.update(task, total=event["epochs"] * per, completed=event["epoch"] * per + event["batch"])
            if "row" in event:
                row = event["row"]
                text = f"epoch {row['epoch'] + 1}  loss {row['train_loss']:.3f}  val {row['val_accuracy']:.1%}"
                bar.update(task, description=text)
            for text in event.get("warnings", ()):
                bar.console.print(f"[yellow]warning[/yellow] {text}")

        yield report
