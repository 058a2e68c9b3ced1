"""Losses of classifiers, each with the read-out rule that goes with it.

A network's output is `[T, B, C]`: spikes, or the membrane of a layer that does not fire. A read-out rule turns it into
scores `[B, C]`; the class is the largest score, ties to the lowest index. The rule of the loss is the rule of every
later stage: accuracy, export, chip. Steps at and beyond a sample's length count nowhere.

| loss | read-out | scores z | value |
| --- | --- | --- | --- |
| `rate_cross_entropy` | count | Σ_t s_t | CE(scale · z/T, y) |
| `count_cross_entropy` | count | Σ_t s_t | CE(scale · z, y) |
| `spike_count_mse` | count | Σ_t s_t | mean (z/T − target rate)² |
| `mean_membrane_cross_entropy` | mean | (1/T) Σ_t v_t | CE(scale · z, y) |
| `max_membrane_cross_entropy` | max | max_t v_t | CE(scale · z, y) |
| `last_membrane_cross_entropy` | last | v_T | CE(scale · z, y) |
| `tet` | mean | (1/T) Σ_t v_t | (1/T) Σ_t [(1 − λ) CE(scale · v_t, y) + λ mean (v_t − φ)²] |
| `first_spike_cross_entropy` | first | T − t₁ | CE(scale · z, y) |
| `first_spike_mse` | first | T − t₁ | mean (t₁/T − target time)² |

t₁ is the number of steps before the first spike, T where there is none (`first_spike_time`). For targets that are no
classes see `snnkit.training.distances`; for penalties on the network itself `snnkit.training.regularizers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.errors import ParameterError, ShapeError, did_you_mean
from snnkit.training.first_spike import first_spike_time

ReadOut = Literal["count", "mean", "max", "last", "first"]
LossName = Literal[
    "rate_cross_entropy",
    "count_cross_entropy",
    "spike_count_mse",
    "mean_membrane_cross_entropy",
    "max_membrane_cross_entropy",
    "last_membrane_cross_entropy",
    "tet",
    "first_spike_cross_entropy",
    "first_spike_mse",
]

READOUTS: dict[str, ReadOut] = {
    "rate_cross_entropy": "count",
    "count_cross_entropy": "count",
    "spike_count_mse": "count",
    "mean_membrane_cross_entropy": "mean",
    "max_membrane_cross_entropy": "max",
    "last_membrane_cross_entropy": "last",
    "tet": "mean",
    "first_spike_cross_entropy": "first",
    "first_spike_mse": "first",
}
"""The read-out rule of each loss."""

_SETTINGS = (
    "label_smoothing",
    "correct_rate",
    "wrong_rate",
    "tet_weight",
    "tet_target",
    "correct_time",
    "wrong_time",
)


def valid_mask(steps: int, lengths: Tensor) -> Tensor:
    """[T, B]: whether step t of sample b is below its length."""
    return torch.arange(steps, device=lengths.device)[:, None] < lengths[None, :]


def scores(out: Tensor, how: ReadOut, lengths: Tensor | None = None) -> Tensor:
    """Scores [B, C] of an output [T, B, C].

    Args:
        out: spikes or membrane.
        how: "count" (sum over time), "mean", "max", "last", or "first" (T − steps before the first spike, so that the
            earliest scores highest and a silent neuron 0).
        lengths: valid steps [B], each at least 1; None where all T are valid.

    Raises:
        ShapeError: the output is not [T, B, C].
    """
    if out.dim() != 3:
        raise ShapeError(
            f"the network's output has shape {tuple(out.shape)}, needed is [T, B, classes]",
            fix="end the network with snn.Flatten and snn.Linear, or leave the time dimension in place",
        )
    steps = out.shape[0]
    if lengths is None:
        if how == "first":
            return steps - first_spike_time(out)
        if how == "last":
            return out[-1]
        if how == "max":
            return out.amax(0)
        return out.sum(0) if how == "count" else out.mean(0)
    lengths = lengths.to(out.device)
    if how == "first":
        return lengths[:, None] - first_spike_time(out, lengths)
    if how == "last":
        index = (lengths - 1).view(1, -1, 1).expand(1, *out.shape[1:])
        return out.gather(0, index)[0]
    valid = valid_mask(steps, lengths)[:, :, None]
    if how == "max":
        return out.masked_fill(~valid, float("-inf")).amax(0)
    total = torch.where(valid, out, out.new_zeros(())).sum(0)
    return total if how == "count" else total / lengths[:, None].to(total.dtype)


class ClassificationLoss:
    """A loss by name, of outputs [T, B, C] and classes [B]; the module's table has all of them with their formulas.

    Cross-entropies (CE) take label smoothing. `spike_count_mse` wants `correct_rate` spikes per step of the true class
    and `wrong_rate` of the others (Shrestha & Orchard 2018, arXiv:1810.08646). `tet` asks for the right answer at every
    step, with λ = `tet_weight` pulling the membrane to φ = `tet_target` (Deng et al. 2022, arXiv:2202.11946).
    `first_spike_mse` wants the true class's first spike at `correct_time` and the others' at `wrong_time`, both as
    shares of T; `first_spike_cross_entropy` is a soft-max over times (Mostafa 2018, doi:10.1109/TNNLS.2017.2726060).

    Args:
        name: see the table.
        label_smoothing: share of the target spread over all classes; cross-entropies only.
        scale: factor on the scores before the softmax.
        correct_rate, wrong_rate: of `spike_count_mse`, 0 ≤ wrong < correct ≤ 1.
        tet_weight, tet_target: λ from 0 to 1, and φ, usually the threshold.
        correct_time, wrong_time: of `first_spike_mse`, 0 ≤ correct < wrong ≤ 1.

    Raises:
        ParameterError: an unknown name or a value out of range.
    """

    def __init__(
        self,
        name: LossName = "last_membrane_cross_entropy",
        label_smoothing: float = 0.0,
        scale: float = 1.0,
        correct_rate: float = 0.8,
        wrong_rate: float = 0.1,
        tet_weight: float = 0.05,
        tet_target: float = 1.0,
        correct_time: float = 0.1,
        wrong_time: float = 1.0,
    ) -> None:
        if name not in READOUTS:
            raise ParameterError(
                f"unknown loss {name!r}{did_you_mean(name, READOUTS)}", fix="one of " + ", ".join(READOUTS)
            )
        if not 0.0 <= label_smoothing < 1.0:
            raise ParameterError(f"label_smoothing is {label_smoothing}", fix="give a value from 0 to below 1")
        if not scale > 0.0:
            raise ParameterError(f"the loss scale is {scale}", fix="give a positive factor")
        if not 0.0 <= wrong_rate < correct_rate <= 1.0:
            raise ParameterError(
                f"correct_rate is {correct_rate}, wrong_rate is {wrong_rate}", fix="0 ≤ wrong_rate < correct_rate ≤ 1"
            )
        if not 0.0 <= tet_weight <= 1.0:
            raise ParameterError(f"tet_weight is {tet_weight}", fix="give a value from 0 to 1")
        if not 0.0 <= correct_time < wrong_time <= 1.0:
            raise ParameterError(
                f"correct_time is {correct_time}, wrong_time is {wrong_time}", fix="0 ≤ correct_time < wrong_time ≤ 1"
            )
        self.name, self.readout = name, READOUTS[name]
        self.label_smoothing, self.scale = label_smoothing, scale
        self.correct_rate, self.wrong_rate = correct_rate, wrong_rate
        self.tet_weight, self.tet_target = tet_weight, tet_target
        self.correct_time, self.wrong_time = correct_time, wrong_time

    @classmethod
    def from_settings(cls, model: Mapping[str, Any], smooth: bool = True) -> ClassificationLoss:
        """The loss of a recipe's `model` settings, which may hold others too; `smooth=False`: no label smoothing."""
        own = {name: model[name] for name in _SETTINGS if name in model}
        if "loss_scale" in model:
            own["scale"] = model["loss_scale"]
        if not smooth:
            own["label_smoothing"] = 0.0
        return cls(model["loss"], **own)

    def __call__(
        self, out: Tensor, y: Tensor, lengths: Tensor | None = None, smooth: bool = True
    ) -> tuple[Tensor, Tensor]:
        """(loss, scores [B, C]) of an output [T, B, C] and classes y [B]; `smooth=False` leaves label smoothing out."""
        z = scores(out, self.readout, lengths).float()
        _check_classes(z, y)
        smoothing = self.label_smoothing if smooth else 0.0
        if self.name == "tet":
            return self._tet(out.float(), y, lengths, smoothing), z
        steps: Tensor | int = out.shape[0] if lengths is None else lengths.to(z.device)[:, None].to(z.dtype)
        if self.name == "spike_count_mse":
            return F.mse_loss(z / steps, _targets(z, y, self.correct_rate, self.wrong_rate)), z
        if self.name == "first_spike_mse":
            return F.mse_loss((steps - z) / steps, _targets(z, y, self.correct_time, self.wrong_time)), z
        if self.name == "rate_cross_entropy":
            return F.cross_entropy(self.scale * (z / steps), y, label_smoothing=smoothing), z
        return F.cross_entropy(self.scale * z, y, label_smoothing=smoothing), z

    def _tet(self, out: Tensor, y: Tensor, lengths: Tensor | None, smoothing: float) -> Tensor:
        steps, batch, classes = out.shape
        logits = (self.scale * out).reshape(-1, classes)
        ce = F.cross_entropy(logits, y.repeat(steps), reduction="none", label_smoothing=smoothing)
        pull = (out - self.tet_target).square().mean(2)
        each = (1 - self.tet_weight) * ce.view(steps, batch) + self.tet_weight * pull
        if lengths is None:
            return each.mean()
        lengths = lengths.to(out.device)
        each = torch.where(valid_mask(steps, lengths), each, each.new_zeros(()))
        return (each.sum(0) / lengths.to(each.dtype)).mean()


def _check_classes(z: Tensor, y: Tensor) -> None:
    # on another device the check would wait for it; there, cross-entropy itself refuses
    if y.device.type == "cpu" and y.numel() and (largest := int(y.detach().numpy().max())) >= z.shape[1]:
        raise ShapeError(
            f"the network has {z.shape[1]} outputs, the data have class {largest}",
            fix="set the network's num_classes to the number of classes",
        )


def _targets(z: Tensor, y: Tensor, right: float, wrong: float) -> Tensor:
    return torch.full_like(z, wrong).scatter_(1, y[:, None], right)
