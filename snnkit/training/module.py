"""The one LightningModule: a spiking classifier with its loss, its optimizer and its measurements."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import lightning as L  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from snnkit import nn as snn  # noqa: E402
from snnkit.data.batch import Batch  # noqa: E402
from snnkit.errors import ParameterError, did_you_mean  # noqa: E402
from snnkit.training.losses import ClassificationLoss, LossName, ReadOut, scores  # noqa: E402
from snnkit.training.metrics import Activity, predict  # noqa: E402

Selection = Literal["val_loss", "val_accuracy"]


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) with linear warm-up and a cosine to zero.

    Args:
        lr: peak learning rate.
        weight_decay: on weights (tensors of two and more dimensions) only; never on biases, norms, decays.
        warmup_epochs: epochs of linear growth from 0 to lr; fractions are allowed.
        betas: decays of the gradient's first and second moment.
        grad_clip: largest norm of the gradient; None for no limit.
    """

    lr: float = 2e-3
    weight_decay: float = 1e-3
    warmup_epochs: float = 3.0
    betas: tuple[float, float] = (0.9, 0.999)
    grad_clip: float | None = None

    def __post_init__(self) -> None:
        if not self.lr > 0.0:
            raise ParameterError(f"optimizer lr is {self.lr}", fix="give a positive learning rate")
        if self.weight_decay < 0.0 or self.warmup_epochs < 0.0:
            raise ParameterError(
                f"optimizer weight_decay is {self.weight_decay}, warmup_epochs {self.warmup_epochs}",
                fix="give 0 or more",
            )


def cosine_with_warmup(step: int, warmup: int, total: int) -> float:
    """Factor on the learning rate at a step: (step + 1)/warmup, then ½(1 + cos π(step − warmup)/(total − warmup))."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * min((step - warmup) / max(total - warmup, 1), 1.0)))


class SpikingClassifier(L.LightningModule):
    """A network [T, B, …] → [T, B, C], trained on `Batch`es.

    Args:
        net: the network.
        loss: its name decides the read-out rule (`snnkit.training.losses`).
        label_smoothing: for cross-entropy losses, in training only.
        loss_scale: factor on the scores before the softmax.
        correct_rate, wrong_rate: target rates of `spike_count_mse`.
        optimizer: learning rate and schedule.
        ema: decay per step of an exponential moving average of the weights, which is then what is evaluated, selected
            and saved; None: the weights themselves. The average of n steps uses min(ema, (1 + n)/(10 + n)).
        select: which epoch's weights are kept: "val_accuracy" (highest) or "val_loss" (lowest); ties go to the later.
        seed: randomness inside the network (dropout) at a step derives from (seed, epoch, step) alone.

    Shapes: x [T, B, …] → [T, B, C].
    """

    def __init__(
        self,
        net: torch.nn.Module,
        loss: LossName = "last_membrane_cross_entropy",
        label_smoothing: float = 0.0,
        loss_scale: float = 1.0,
        correct_rate: float = 0.8,
        wrong_rate: float = 0.1,
        optimizer: OptimizerSettings | None = None,
        ema: float | None = None,
        select: Selection = "val_accuracy",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if ema is not None and not 0.0 < ema < 1.0:
            raise ParameterError(f"ema is {ema}", fix="give a decay between 0 and 1 such as 0.99, or null")
        self.net = net
        self.loss = ClassificationLoss(loss, label_smoothing, loss_scale, correct_rate, wrong_rate)
        self.optimizer_settings = optimizer or OptimizerSettings()
        self.ema = ema
        self.average = copy.deepcopy(net).requires_grad_(False).eval() if ema is not None else None
        self.select = select
        self.seed = seed
        self.frozen: tuple[str, ...] = ()
        self.train_metrics: dict[str, float] = {}
        self.val_metrics: dict[str, float] = {}
        self.val_activity = Activity()
        self._sums: dict[str, Any] = {}
        self._val: dict[str, Any] = {}

    @property
    def readout(self) -> ReadOut:
        """The rule from the output [T, B, C] to scores [B, C]: "count", "mean", "max" or "last"."""
        return self.loss.readout

    @property
    def evaluated(self) -> torch.nn.Module:
        """The network whose answers count: the averaged one if there is one."""
        return self.net if self.average is None else self.average

    def freeze_layers(self, patterns: Iterable[str]) -> None:
        """Keep layers as they are: their weights are not trained and their norm statistics do not move.

        Args:
            patterns: paths in the network, with `*` and `?`, such as `conv1` or `conv*`; a path freezes all below it.

        Raises:
            ParameterError: a pattern that matches no layer.
        """
        paths = [name for name, _ in self.net.named_modules() if name]
        self.frozen = tuple(patterns)
        for pattern in self.frozen:
            hits = [name for name in paths if fnmatchcase(name, pattern)]
            if not hits:
                raise ParameterError(
                    f"no layer matches {pattern!r} to freeze{did_you_mean(pattern, paths)}",
                    fix="the layers are " + ", ".join(paths),
                )
            for name in hits:
                self.net.get_submodule(name).requires_grad_(False)

    def _rest_frozen(self) -> None:
        for name, module in self.net.named_modules():
            if any(fnmatchcase(name, pattern) for pattern in self.frozen):
                module.eval()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Output [T, B, C] of the evaluated network."""
        with snn.valid_lengths(self.evaluated, lengths):
            return self.evaluated(x)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Classes [B]."""
        return predict(scores(self(batch.x, batch.lengths), self.readout, batch.lengths))

    def on_train_epoch_start(self) -> None:
        self._sums = {"loss": torch.zeros((), dtype=torch.float64), "correct": 0, "samples": 0}
        if self.average is not None:
            self.average.eval()
        self._rest_frozen()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Seeding every step makes a resumed epoch draw what an unbroken one draws, whatever ran in between.
        torch.manual_seed((self.seed * 1_000_003 + self.current_epoch) * 1_000_003 + batch_idx)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        with snn.valid_lengths(self.net, batch.lengths):
            out = self.net(batch.x)
        loss, z = self.loss(out, batch.y, batch.lengths)
        n = len(batch.y)
        self._sums["loss"] += loss.detach().double().cpu() * n
        self._sums["correct"] += int((predict(z.detach()) == batch.y).sum())
        self._sums["samples"] += n
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self.average is None or self.ema is None:
            return
        n = self.global_step
        rate = 1.0 - min(self.ema, (1.0 + n) / (10.0 + n))
        with torch.no_grad():
            for mean, now in zip(self.average.state_dict().values(), self.net.state_dict().values()):
                if mean.dtype.is_floating_point:
                    mean.lerp_(now, rate)
                else:
                    mean.copy_(now)

    def on_train_epoch_end(self) -> None:
        s = self._sums
        self.train_metrics = {
            "train_loss": float(s["loss"]) / max(s["samples"], 1),
            "train_accuracy": s["correct"] / max(s["samples"], 1),
        }
        self.log_dict(self.train_metrics, batch_size=max(s["samples"], 1))

    def on_validation_epoch_start(self) -> None:
        self.val_activity = Activity()
        self._val = {"loss": torch.zeros((), dtype=torch.float64), "correct": 0, "samples": 0}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        with self.val_activity.watch(self.evaluated, batch.lengths):
            out = self(batch.x, batch.lengths)
        loss, z = self.loss(out, batch.y, batch.lengths, smooth=False)
        n = len(batch.y)
        self._val["loss"] += loss.double().cpu() * n
        self._val["correct"] += int((predict(z) == batch.y).sum())
        self._val["samples"] += n

    def on_validation_epoch_end(self) -> None:
        s = self._val
        n = max(s["samples"], 1)
        self.val_metrics = {"val_loss": float(s["loss"]) / n, "val_accuracy": s["correct"] / n}
        self.log_dict(self.val_metrics, batch_size=n)
        for path, layer in self.val_activity.summary().items():
            self.log_dict({f"{name}/{path}": value for name, value in layer.items()}, batch_size=n)

    def configure_optimizers(self) -> Any:
        s = self.optimizer_settings
        trained = [p for p in self.net.parameters() if p.requires_grad]
        if not trained:
            raise ParameterError("nothing is left to train", fix="freeze fewer layers")
        groups = [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": s.weight_decay},
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=s.lr, betas=s.betas)
        total = int(self.trainer.estimated_stepping_batches)
        epochs = max(self.trainer.max_epochs or 1, 1)
        warmup = round(s.warmup_epochs * total / epochs)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: cosine_with_warmup(step, min(warmup, total), total)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
