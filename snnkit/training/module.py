"""The one LightningModule: a spiking classifier with its loss, its optimizer and its measurements."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import lightning as L  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from snnkit import nn as snn  # noqa: E402
from snnkit.data.batch import Batch, Input, as_inputs  # noqa: E402
from snnkit.data.part import Part, WholeBatches  # noqa: E402
from snnkit.errors import ParameterError, UsageError  # noqa: E402
from snnkit.training.graphs import Graphs  # noqa: E402
from snnkit.training.losses import ClassificationLoss, LossName, ReadOut, scores  # noqa: E402
from snnkit.training.metrics import Activity, predict  # noqa: E402
from snnkit.training.optimization import OptimizerSettings, make_optimizer, make_schedule  # noqa: E402
from snnkit.training.patterns import factors, matching  # noqa: E402
from snnkit.training.precision import in_format  # noqa: E402
from snnkit.training.regularizers import Regularizer, watch  # noqa: E402
from snnkit.training.sums import Sums  # noqa: E402

Selection = Literal["val_loss", "val_accuracy"]


class SpikingClassifier(L.LightningModule):
    """A network [T, B, …] → [T, B, C], trained on `Batch`es; one of several inputs gets each as an argument.

    Args:
        net: the network.
        loss: its name decides the read-out rule (`snnkit.training.losses`).
        label_smoothing: for cross-entropy losses, in training only.
        loss_scale: factor on the scores before the softmax.
        correct_rate, wrong_rate: target rates of `spike_count_mse`.
        tet_weight, tet_target: λ and φ of `tet`.
        correct_time, wrong_time: target times of `first_spike_mse`, as shares of T.
        regularizers: penalties added to the loss (`snnkit.training.regularizers`).
        optimizer: its kind, learning rate and schedule.
        ema: decay per step of an exponential moving average of the weights, which is then what is evaluated, selected
            and saved; None: the weights themselves. The average of n steps uses min(ema, (1 + n)/(10 + n)).
        select: which epoch's weights are kept: "val_accuracy" (highest) or "val_loss" (lowest); ties go to the later.
        seed: randomness inside the network (dropout) at a step derives from (seed, epoch, step) alone.
        memory_format: order of frames [T, B, C, H, W] in memory in training, "channels_first" or "channels_last"; with
            "auto" `fit` picks the faster one (`snnkit.training.precision`), and it is the first without it. Values
            differ by rounding.

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
        tet_weight: float = 0.05,
        tet_target: float = 1.0,
        correct_time: float = 0.1,
        wrong_time: float = 1.0,
        regularizers: Sequence[Regularizer] = (),
        optimizer: OptimizerSettings | None = None,
        ema: float | None = None,
        select: Selection = "val_accuracy",
        seed: int = 0,
        memory_format: Literal["channels_first", "channels_last", "auto"] = "auto",
    ) -> None:
        super().__init__()
        if ema is not None and not 0.0 < ema < 1.0:
            raise ParameterError(f"ema is {ema}", fix="give a decay between 0 and 1 such as 0.99, or null")
        self.net = net
        self.loss = ClassificationLoss(
            loss,
            label_smoothing,
            loss_scale,
            correct_rate,
            wrong_rate,
            tet_weight,
            tet_target,
            correct_time,
            wrong_time,
        )
        self.regularizers = tuple(regularizers)
        self.optimizer_settings = optimizer or OptimizerSettings()
        self.ema = ema
        self.average = copy.deepcopy(net).requires_grad_(False).eval() if ema is not None else None
        self.select = select
        self.seed = seed
        self.memory_format = memory_format
        self.in_graphs = False
        self._graphs: Graphs | None = None
        self.frozen: tuple[str, ...] = ()
        self.slow: dict[str, float] = {}
        self.train_metrics: dict[str, float] = {}
        self.val_metrics: dict[str, float] = {}
        self.val_activity = Activity()
        self.train_part: Part | None = None
        self.val_part: WholeBatches | None = None
        self._sums = self._val = Sums(torch.device("cpu"))

    @property
    def readout(self) -> ReadOut:
        """The rule from the output [T, B, C] to scores [B, C]: "count", "mean", "max" or "last"."""
        return self.loss.readout

    @property
    def evaluated(self) -> torch.nn.Module:
        """The network whose answers count: the averaged one if there is one."""
        return self.net if self.average is None else self.average

    def divide(self, train: Part | None, val: WholeBatches | None) -> None:
        """Train as one of several processes, whose loaders give these parts of the data; None: as the only one.

        The loss of a process counts as much as its samples in the batch, so that the mean of the processes' gradients,
        which DistributedDataParallel takes, is that of the batch.
        """
        self.train_part, self.val_part = train, val

    def check_divisible(self) -> None:
        """Raise UsageError if the network has a norm whose statistics would be those of one process of several."""
        kinds = (snn.BatchNorm, torch.nn.SyncBatchNorm)
        for name, m in self.net.named_modules():
            if isinstance(m, torch.nn.modules.batchnorm._BatchNorm) and not isinstance(m, kinds):
                raise UsageError(
                    f"layer {name!r} is a {type(m).__name__}, and several processes train",
                    why="its statistics would be those of one process's samples, and differ between the processes",
                    fix="use snn.BatchNorm",
                )

    def freeze_layers(self, patterns: Iterable[str]) -> None:
        """Keep layers as they are: their weights are not trained and their norm statistics do not move.

        Args:
            patterns: paths in the network, with `*` and `?`, such as `conv1` or `conv*`; a path freezes all below it.

        Raises:
            ParameterError: a pattern that matches no layer.
        """
        self.frozen = tuple(patterns)
        for pattern in self.frozen:
            for name in matching(self.net, pattern, "freeze"):
                self.net.get_submodule(name).requires_grad_(False)

    def slow_layers(self, slow: Mapping[str, float]) -> None:
        """Train layers at a share of the learning rate.

        Args:
            slow: paths or patterns, as in `freeze_layers` → factor; where several fit a layer, the last counts.

        Raises:
            ParameterError: a pattern that matches no layer, or layers without anything to learn.
        """
        factors(self.net, slow)
        self.slow = dict(slow)

    def _rest_frozen(self) -> None:
        for name, module in self.net.named_modules():
            if any(fnmatchcase(name, pattern) for pattern in self.frozen):
                module.eval()

    def _frames(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the network trains on, in the format chosen for this run."""
        return as_inputs(in_format(batch.x, self.memory_format))

    def forward(self, x: Input, lengths: Tensor | None = None) -> Tensor:
        """Output [T, B, C] of the evaluated network."""
        with snn.valid_lengths(self.evaluated, lengths):
            return self.evaluated(*as_inputs(x))

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Classes [B]."""
        return predict(scores(self(batch.x, batch.lengths), self.readout, batch.lengths))

    def on_train_epoch_start(self) -> None:
        self._sums = Sums(self.device, self.train_part is not None)
        if self.average is not None:
            self.average.eval()
        self._rest_frozen()

    def on_train_start(self) -> None:
        self._graphs = Graphs(self.net) if self.in_graphs else None

    def on_train_end(self) -> None:
        if self._graphs is not None:
            self._graphs = None
            gc.collect()  # else their memory stays for the evaluation: they are cycles of references

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Seeding every step makes a resumed epoch draw what an unbroken one draws, whatever ran in between.
        key = (self.seed * 1_000_003 + self.current_epoch) * 1_000_003 + batch_idx
        torch.manual_seed(key if self.train_part is None else key + (self.train_part.rank << 44))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if self.train_part is not None:
            return self._step_of_part(batch, batch_idx, self.train_part)
        if not self.regularizers:
            if self._graphs is not None:
                out = self._graphs(self._frames(batch), batch.lengths)
            else:
                with snn.valid_lengths(self.net, batch.lengths):
                    out = self.net(*self._frames(batch))
            loss, z = self.loss(out, batch.y, batch.lengths)
            self._sums.add(loss, z, batch.y)
            return loss
        with watch(self.net, batch.lengths) as seen, snn.valid_lengths(self.net, batch.lengths):
            out = self.net(*self._frames(batch))
        loss, z = self.loss(out, batch.y, batch.lengths)
        penalty = torch.stack([r.penalty(seen) for r in self.regularizers]).sum()
        self._sums.add(loss, z, batch.y, penalty)
        return loss + penalty

    def _step_of_part(self, batch: Batch, batch_idx: int, part: Part) -> Tensor:
        mine, every = part.counts(batch_idx)
        # A sample that is there twice has no valid step: it reaches neither norms nor rates.
        lengths = batch.lengths if mine else torch.zeros_like(batch.y)
        penalty: Tensor | None = None
        if self.regularizers:
            with watch(self.net, lengths) as seen, snn.valid_lengths(self.net, lengths):
                out = self.net(*self._frames(batch))
            penalty = torch.stack([r.penalty(seen) for r in self.regularizers]).sum()
        else:
            with snn.valid_lengths(self.net, lengths):
                out = self.net(*self._frames(batch))
        if mine:
            loss, z = self.loss(out, batch.y, lengths)
            self._sums.add(loss, z, batch.y, penalty, number=batch_idx)
            loss = loss * (mine * part.world / every)
        else:
            loss = (out * 0.0).sum()
        return loss if penalty is None else loss + penalty

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
        if self.train_part is not None:
            self._sums.add_up()
        loss, accuracy, penalty = self._sums.means()
        self.train_metrics = {"train_loss": loss, "train_accuracy": accuracy}
        if self.regularizers:
            self.train_metrics["train_penalty"] = penalty
        self.log_dict(self.train_metrics, batch_size=max(self._sums.samples, 1))

    def on_validation_epoch_start(self) -> None:
        self.val_activity = Activity()
        self._val = Sums(self.device, self.val_part is not None)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        number = batch_idx
        if self.val_part is not None:
            if not self.val_part.counts(batch_idx):
                return
            number = self.val_part.number(batch_idx)
        # in float32, whatever the training's precision, as the accuracies of a finished run
        with self.val_activity.watch(self.evaluated, batch.lengths), torch.autocast(self.device.type, enabled=False):
            out = self(batch.x, batch.lengths)
        loss, z = self.loss(out, batch.y, batch.lengths, smooth=False)
        self._val.add(loss, z, batch.y, number=number)

    def on_validation_epoch_end(self) -> None:
        if self.val_part is not None:
            self._val.add_up()
            self.val_activity.add_up()
        n = max(self._val.samples, 1)
        loss, accuracy, _ = self._val.means()
        self.val_metrics = {"val_loss": loss, "val_accuracy": accuracy}
        self.log_dict(self.val_metrics, batch_size=n)
        for path, layer in self.val_activity.summary().items():
            self.log_dict({f"{name}/{path}": value for name, value in layer.items()}, batch_size=n)

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.net, self.optimizer_settings, self.slow)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = make_schedule(optimizer, self.optimizer_settings, total, max(self.trainer.max_epochs or 1, 1))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
