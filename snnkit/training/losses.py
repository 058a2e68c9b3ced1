"""Losses of classifiers, each with the read-out rule that goes with it.

A network's output is `[T, B, C]`: spikes, or the membrane of a layer that does not fire. A read-out rule turns it into
scores `[B, C]`; the class is the largest score, ties to the lowest index. The rule of the loss is the rule of every
later stage: accuracy, export, chip. Steps at and beyond a sample's length count nowhere.

| loss | read-out | scores z |
| --- | --- | --- |
| `rate_cross_entropy` | count | Σ_t s_t (the loss divides by T) |
| `mean_membrane_cross_entropy` | mean | (1/T) Σ_t v_t |
| `max_membrane_cross_entropy` | max | max_t v_t |
| `last_membrane_cross_entropy` | last | v_T |
| `spike_count_mse` | count | Σ_t s_t |
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.errors import ParameterError, ShapeError, did_you_mean

ReadOut = Literal["count", "mean", "max", "last"]
LossName = Literal[
    "rate_cross_entropy",
    "mean_membrane_cross_entropy",
    "max_membrane_cross_entropy",
    "last_membrane_cross_entropy",
    "spike_count_mse",
]

READOUTS: dict[str, ReadOut] = {
    "rate_cross_entropy": "count",
    "mean_membrane_cross_entropy": "mean",
    "max_membrane_cross_entropy": "max",
    "last_membrane_cross_entropy": "last",
    "spike_count_mse": "count",
}
"""The read-out rule of each loss."""


def scores(out: Tensor, how: ReadOut, lengths: Tensor | None = None) -> Tensor:
    """Scores [B, C] of an output [T, B, C].

    Args:
        out: spikes or membrane.
        how: "count" (sum over time), "mean", "max" or "last".
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
        if how == "last":
            return out[-1]
        if how == "max":
            return out.amax(0)
        return out.sum(0) if how == "count" else out.mean(0)
    lengths = lengths.to(out.device)
    if how == "last":
        index = (lengths - 1).view(1, -1, 1).expand(1, *out.shape[1:])
        return out.gather(0, index)[0]
    valid = (torch.arange(steps, device=out.device)[:, None] < lengths[None, :])[:, :, None]
    if how == "max":
        return out.masked_fill(~valid, float("-inf")).amax(0)
    total = torch.where(valid, out, out.new_zeros(())).sum(0)
    return total if how == "count" else total / lengths[:, None].to(total.dtype)


class ClassificationLoss:
    """A loss by name.

    With z the scores: cross-entropy losses are CE(scale · z, y) with label smoothing, where the rate's z is divided by
    the number of steps. The count error is mean over B and C of (z/T − target)², with `correct_rate` as the target of
    the true class and `wrong_rate` of the others (Shrestha & Orchard 2018, arXiv:1810.08646).

    Args:
        name: see the table of this module.
        label_smoothing: share of the target spread over all classes; cross-entropy only.
        scale: factor on the scores before the softmax.
        correct_rate, wrong_rate: spikes per step wanted of the true and of the other classes; count error only.

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
        self.name, self.readout = name, READOUTS[name]
        self.label_smoothing, self.scale = label_smoothing, scale
        self.correct_rate, self.wrong_rate = correct_rate, wrong_rate

    def __call__(
        self, out: Tensor, y: Tensor, lengths: Tensor | None = None, smooth: bool = True
    ) -> tuple[Tensor, Tensor]:
        """(loss, scores [B, C]) of an output [T, B, C] and classes y [B]; `smooth=False` leaves label smoothing out."""
        z = scores(out, self.readout, lengths).float()
        if z.shape[1] <= int(y.max()):
            raise ShapeError(
                f"the network has {z.shape[1]} outputs, the data have class {int(y.max())}",
                fix="set the network's num_classes to the number of classes",
            )
        per_step = z
        if self.readout == "count":
            steps = out.shape[0] if lengths is None else lengths.to(z.device)[:, None].to(z.dtype)
            per_step = z / steps
        if self.name == "spike_count_mse":
            target = torch.full_like(per_step, self.wrong_rate).scatter_(1, y[:, None], self.correct_rate)
            return F.mse_loss(per_step, target), z
        smoothing = self.label_smoothing if smooth else 0.0
        return F.cross_entropy(self.scale * per_step, y, label_smoothing=smoothing), z
