"""An example of every public layer, and one model that has them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from snnkit import nn as snn

STEPS, BATCH = 4, 3


@dataclass(frozen=True)
class Example:
    """A layer and the features of an input that fits it."""

    make: Callable[[], nn.Module]
    features: tuple[int, ...]

    def layer(self, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return self.make()

    def x(self, steps: int = STEPS, batch: int = BATCH) -> torch.Tensor:
        g = torch.Generator().manual_seed(1)
        return torch.rand(steps, batch, *self.features, generator=g) * 2 - 0.5


EXAMPLES: dict[str, Example] = {
    "AdaptiveAvgPool2d": Example(lambda: snn.AdaptiveAvgPool2d((3, 2)), (2, 6, 7)),
    "ALIF": Example(lambda: snn.ALIF(refractory=1), (3, 2, 2)),
    "ALIF learned": Example(
        lambda: snn.ALIF(
            reset="subtract", learn_decay=True, learn_threshold=True, learn_adaptation=True, shape=(3,)
        ),
        (3, 2, 2),
    ),
    "Add": Example(lambda: snn.Add(snn.Linear(5, 5), nn.Identity(), snn.OneToOne(5)), (5,)),
    "Attention": Example(lambda: snn.Attention(snn.Conv2d(4, 4, 1), nn.Identity(), nn.Identity(), heads=2), (4, 3, 2)),
    "AvgPool2d": Example(lambda: snn.AvgPool2d(2), (2, 6, 7)),
    "BatchNorm": Example(lambda: snn.BatchNorm(3), (3, 4, 4)),
    "BatchNorm cumulative": Example(lambda: snn.BatchNorm(3, momentum=None), (3, 4, 4)),
    "BatchNorm untracked": Example(lambda: snn.BatchNorm(3, affine=False, track_running_stats=False), (3,)),
    "Concat": Example(lambda: snn.Concat(nn.Identity(), snn.Conv2d(2, 3, 1)), (2, 4, 4)),
    "Conv1d": Example(lambda: snn.Conv1d(2, 4, 3, groups=2), (2, 6)),
    "Conv2d": Example(lambda: snn.Conv2d(2, 4, (3, 5), padding="same", bias=False), (2, 6, 5)),
    "Conv2d depthwise": Example(lambda: snn.Conv2d(3, 6, 3, groups=3), (3, 5, 5)),
    "Conv2d standardised": Example(lambda: snn.Conv2d(2, 4, 3, standardise=True), (2, 5, 5)),
    "Conv2d of few inputs": Example(lambda: snn.Conv2d(4, 6, 3, groups=2, fan_in=7), (4, 5, 5)),
    "Conv3d": Example(lambda: snn.Conv3d(2, 3, (1, 2, 3), stride=(1, 2, 1)), (2, 2, 5, 5)),
    "ConvTranspose2d": Example(lambda: snn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1), (2, 4, 3)),
    "CubaLIF": Example(lambda: snn.CubaLIF(refractory=1), (3, 2, 2)),
    "CubaLIF learned": Example(
        lambda: snn.CubaLIF(reset="subtract", learn_decay=True, learn_threshold=True, shape=(3, 2, 2)), (3, 2, 2)
    ),
    "Delay": Example(lambda: snn.Delay(2), (3, 2)),
    "Delay per channel": Example(lambda: snn.Delay([1, 0, 3]), (3, 2, 2)),
    "Dropout": Example(lambda: snn.Dropout(0.4), (5,)),
    "Flatten": Example(lambda: snn.Flatten(), (2, 3, 4)),
    "LI": Example(lambda: snn.LI(), (4,)),
    "LI learned": Example(lambda: snn.LI(learn_decay=True, shape=(4,)), (4, 2)),
    "LIF": Example(lambda: snn.LIF(), (4,)),
    "LIF learned": Example(
        lambda: snn.LIF(
            reset="subtract", refractory=2, detach_reset=False, learn_decay=True, learn_threshold=True, shape=(4,)
        ),
        (4, 3),
    ),
    "Linear": Example(lambda: snn.Linear(5, 3), (5,)),
    "Linear of few inputs": Example(lambda: snn.Linear(6, 4, groups=2, fan_in=2), (6,)),
    "LinearLeakIF": Example(lambda: snn.LinearLeakIF(leak=-0.1, leak_reversal=True, floor=0.5), (3, 2, 2)),
    "LinearLeakIF learned": Example(
        lambda: snn.LinearLeakIF(
            leak=-0.1, reset="subtract", detach_reset=False, learn_leak=True, learn_threshold=True, shape=(3,)
        ),
        (3, 2),
    ),
    "MaxPool2d": Example(lambda: snn.MaxPool2d(2), (2, 4, 5)),
    "OneToOne": Example(lambda: snn.OneToOne(3, bias=True), (3, 2, 2)),
    "OneToOne per neuron": Example(lambda: snn.OneToOne((3, 2, 2)), (3, 2, 2)),
    "OverTime": Example(
        lambda: snn.over_time(nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.GELU(), nn.Flatten())), (2, 4, 4)
    ),
    "Recurrent": Example(lambda: snn.Recurrent(snn.CubaLIF(), nn.Sequential(snn.Linear(4, 4), nn.Tanh())), (4,)),
    "Recurrent dense": Example(lambda: snn.Recurrent.dense(snn.LIF(refractory=1), 4), (4,)),
    "Recurrent one-to-one": Example(lambda: snn.Recurrent.one_to_one(snn.LIF(), (4, 2)), (4, 2)),
    "Recurrent conv": Example(lambda: snn.Recurrent.conv(snn.LIF(), 2, bias=True), (2, 4, 4)),
    "Residual": Example(
        lambda: snn.Residual(snn.Conv2d(2, 4, 3, padding=1), snn.BatchNorm(4), snn.LIF(), shortcut=snn.Conv2d(2, 4, 1)),
        (2, 4, 4),
    ),
    "Residual of spikes": Example(
        lambda: snn.Residual(snn.Linear(5, 5), snn.LIF(), shortcut=snn.LIF(), join="iand"), (5,)
    ),
    "Sequential": Example(lambda: snn.Sequential(snn.BatchNorm(2), snn.LIF(), snn.AvgPool2d(2)), (2, 4, 6)),
    "SumPool2d": Example(lambda: snn.SumPool2d(3, stride=1, padding=1), (2, 4, 5)),
    "ThresholdBatchNorm": Example(lambda: snn.ThresholdBatchNorm(3, threshold=0.5, alpha=0.7), (3, 4, 4)),
    "Upsample": Example(lambda: snn.Upsample(scale_factor=2), (2, 3, 2)),
    "Votes": Example(lambda: snn.Votes(3), (6,)),
    "Upsample bilinear": Example(lambda: snn.Upsample(size=(5, 4), mode="bilinear"), (2, 3, 2)),
}  # fmt: skip
"""By class name, with a word behind it where a class has several."""


def every_layer() -> nn.Sequential:
    """A model of x [T, B, 2, 8, 8] with every layer, to [T, B, 3]."""
    torch.manual_seed(0)
    return nn.Sequential(
        snn.Conv2d(2, 4, 3, padding=1, standardise=True),
        snn.ThresholdBatchNorm(4),
        snn.LIF(learn_decay=True, learn_threshold=True, shape=(4,), refractory=1),
        snn.Delay([0, 1, 2, 1]),
        snn.Residual(snn.Conv2d(4, 4, 3, padding=1, groups=4), snn.BatchNorm(4), snn.LIF(reset="subtract")),
        snn.Concat(snn.Attention(snn.Conv2d(4, 4, 1), nn.Identity(), nn.Identity(), 2, 1.0), snn.Conv2d(4, 2, 1)),
        snn.AvgPool2d(2),
        snn.Upsample(scale_factor=2),
        snn.MaxPool2d(2),
        snn.ConvTranspose2d(6, 3, 2, stride=2),
        snn.SumPool2d(2),
        snn.over_time(nn.Sequential(nn.Conv2d(3, 3, 1), nn.GELU())),
        snn.AdaptiveAvgPool2d(2),
        snn.Recurrent.conv(snn.LIF(), 3),
        snn.over_time(nn.Unflatten(2, (1, 2))),
        snn.Conv3d(3, 3, 1),
        snn.over_time(nn.Flatten(2)),
        snn.Conv1d(3, 3, 3, padding=1),
        snn.Flatten(),
        snn.Linear(12, 8),
        snn.CubaLIF(),
        snn.Recurrent.dense(snn.LIF(), 8),
        snn.Add(snn.OneToOne(8), snn.Linear(8, 8)),
        snn.Dropout(0.25),
        snn.Recurrent.one_to_one(snn.CubaLIF(), 8),
        snn.LinearLeakIF(floor=1.0),
        snn.ALIF(),
        snn.Linear(8, 6),
        snn.Votes(3),
        snn.LI(),
    )


FEATURES = (2, 8, 8)
"""Features of the input of `every_layer`."""


def public_layers() -> set[str]:
    """Names of all public layers, base classes left out."""
    modules = {n for n in snn.__all__ if isinstance(getattr(snn, n), type) and issubclass(getattr(snn, n), nn.Module)}
    return modules - {"Neuron", "Stateful"}
