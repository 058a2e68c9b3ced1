"""One training with lightning: its settings, its checkpoints, its end."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import lightning as L  # noqa: E402
import torch  # noqa: E402

from snnkit.data.module import FrameDataModule  # noqa: E402
from snnkit.errors import ParameterError  # noqa: E402
from snnkit.training import checkpoint  # noqa: E402
from snnkit.training.callbacks import ProgressCallback, RunFolder, quiet  # noqa: E402
from snnkit.training.module import SpikingClassifier  # noqa: E402
from snnkit.training.precision import MemoryFormat, Precision  # noqa: E402
from snnkit.training.processes import Processes  # noqa: E402


@dataclass(frozen=True)
class TrainerSettings:
    """The part of `lightning.Trainer`'s arguments that a recipe sets.

    Args:
        max_epochs: epochs to train.
        accelerator: "auto", "cpu" or "gpu".
        precision: "32-true", "bf16-mixed", or on a GPU "16-mixed"; "auto" picks bf16-mixed where it is faster for this
            network here (`snnkit.training.precision`). Neuron states stay float32, and so do validation and evaluation.
        accumulate_grad_batches: batches whose gradients are added up before a step of the optimizer.
        patience: stop early after so many epochs without a better validation figure (the one of model.select; a tie is
            none, and the earliest of equals is kept); None: train all epochs. Schedules still run over max_epochs.
        devices: processes on each node, with one device each (`snnkit.training.processes`); data.batch_size is that of
            all of them together.
        num_nodes: nodes.
        limit_train_batches, limit_val_batches: at most so many batches (a whole number) or this share (0..1].
        logger: write TensorBoard logs beside the CSV.
        cuda_graphs: put the network's passes in training into CUDA graphs (`snnkit.training.graphs`), which takes away
            what its calls cost the host; on a GPU, for one process, without penalties and accumulated batches.
    """

    max_epochs: int = 40
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "auto"] = "auto"
    limit_train_batches: int | float = 1.0
    limit_val_batches: int | float = 1.0
    logger: bool = True
    accumulate_grad_batches: int = 1
    patience: int | None = None
    devices: int = 1
    num_nodes: int = 1
    cuda_graphs: bool = False

    @property
    def device(self) -> str:
        """Where it trains: "cpu" or "cuda"."""
        return "cuda" if self.accelerator != "cpu" and torch.cuda.is_available() else "cpu"

    def __post_init__(self) -> None:
        for name in ("max_epochs", "accumulate_grad_batches", "patience", "devices", "num_nodes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"trainer.{name} is {value}", fix="give at least 1")
        if self.precision == "16-mixed" and (self.accelerator == "cpu" or not torch.cuda.is_available()):
            raise ParameterError(
                "trainer.precision is '16-mixed', and training runs on the CPU", fix="use bf16-mixed or 32-true"
            )
        if self.cuda_graphs:
            self._check_graphs()

    def check_module(self, module: SpikingClassifier) -> None:
        """Raise ParameterError for a module that cannot be trained so."""
        if self.cuda_graphs and module.regularizers:
            raise ParameterError(
                "trainer.cuda_graphs is true, and model.regularizers look at the layers while they run",
                fix="leave one of them out",
            )

    def _check_graphs(self) -> None:
        """Raise ParameterError where passes cannot go into graphs."""
        reasons = {
            "training runs on the CPU": self.device == "cpu",
            "several processes train": self.devices * self.num_nodes > 1,
            "gradients of several batches are added up": self.accumulate_grad_batches > 1,
        }
        for reason, holds in reasons.items():
            if holds:
                raise ParameterError(f"trainer.cuda_graphs is true, and {reason}", fix="leave trainer.cuda_graphs out")


def train(
    module: SpikingClassifier,
    data: FrameDataModule,
    settings: TrainerSettings,
    out: Path,
    report: ProgressCallback,
    resume: bool,
    again: str,
    processes: Processes,
    precision: Precision,
    memory_format: MemoryFormat,
) -> None:
    """Train, or go on, as one of `processes`; `again` is the command with which an interrupted training goes on, and
    `precision` and `memory_format` what the settings' ones have come to."""
    folder = RunFolder(out, report, settings.patience)
    data.divide(processes.rank, processes.world, settings.limit_val_batches)
    module.divide(data.train_part, data.val_part)
    module.memory_format = memory_format
    module.in_graphs = settings.cuda_graphs
    resume = resume and folder.last.exists()
    if resume:
        # Lightning starts the loaders, whose workers fetch ahead, before it tells the sampler the epoch.
        data.set_epoch(int(checkpoint.load_tensors(folder.last)["epoch"]) + 1)
    with quiet():
        logger: Any = False
        if settings.logger:
            from lightning.pytorch.loggers import TensorBoardLogger

            logger = TensorBoardLogger(out, name="", version="tensorboard")
        trainer = L.Trainer(
            max_epochs=settings.max_epochs,
            **_devices(settings, processes),
            precision=precision,
            limit_train_batches=settings.limit_train_batches,
            limit_val_batches=settings.limit_val_batches if processes.world == 1 else 1.0,  # else its part knows
            gradient_clip_val=module.optimizer_settings.grad_clip,
            accumulate_grad_batches=settings.accumulate_grad_batches,
            logger=logger,
            callbacks=[folder],
            enable_checkpointing=True,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        try:
            trainer.fit(
                module,
                datamodule=data,
                ckpt_path=str(folder.last) if resume else None,
                weights_only=resume or None,
            )
        except SystemExit:
            if not trainer.interrupted:
                raise
        finally:
            data.divide(0, 1)
    if trainer.interrupted and not processes.is_first:
        raise KeyboardInterrupt
    if trainer.interrupted:
        done = len(folder.history)
        print(
            f"\nstopped; {done} of {settings.max_epochs} epochs are complete and kept. Go on with:\n  {again}",
            file=sys.stderr,
        )
        raise KeyboardInterrupt


def _devices(settings: TrainerSettings, processes: Processes) -> dict[str, Any]:
    """Where lightning trains, and with whom."""
    if processes.world == 1:
        return {"accelerator": settings.accelerator, "devices": 1}
    from lightning.pytorch.strategies import DDPStrategy

    gpu = settings.accelerator == "gpu" or settings.device == "cuda"
    return {
        "accelerator": "gpu" if gpu else "cpu",
        "devices": settings.devices,
        "num_nodes": settings.num_nodes,
        # Norm statistics are the same everywhere already; and not all processes measure equally many batches.
        "strategy": DDPStrategy(cluster_environment=processes.environment, broadcast_buffers=False),
        "use_distributed_sampler": False,
    }
