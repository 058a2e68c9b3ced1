"""What is measured beside the loss: accuracy, confusion, firing rates, silent and saturated neurons."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.nn.context import enter_recorder
from snnkit.nn.processes import gathered

SATURATED = 0.95
"""A neuron that fires in at least this share of all steps counts as saturated."""


@dataclass
class LayerActivity:
    """Spikes of one layer over many samples."""

    spikes: Tensor
    """Spikes of each neuron, float64."""
    steps: int
    """Valid steps of all samples together."""

    @property
    def rate(self) -> float:
        """Spikes per neuron and step."""
        return float(self.spikes.sum()) / max(self.spikes.numel() * self.steps, 1)

    @property
    def silent(self) -> float:
        """Share of neurons that never fired."""
        return float((self.spikes == 0).double().mean())

    @property
    def saturated(self) -> float:
        """Share of neurons that fired in at least 95 % of the steps."""
        return float((self.spikes >= SATURATED * self.steps).double().mean())

    def summary(self) -> dict[str, float]:
        """Rate, silent and saturated share."""
        return {"rate": self.rate, "silent": self.silent, "saturated": self.saturated}


@dataclass
class Activity:
    """Collects the spikes of every spiking layer of a model while it runs."""

    layers: dict[str, LayerActivity] = field(default_factory=dict)

    @contextlib.contextmanager
    def watch(self, model: torch.nn.Module, lengths: Tensor | None = None) -> Iterator[None]:
        """Within it, forward passes of `model` are counted; steps beyond `lengths` [B] are not."""

        paths = {id(m): p for p, m in model.named_modules() if isinstance(m, snn.Stateful) and m.spiking}
        with enter_recorder(_Counter(self, paths, lengths)):
            yield

    def add(self, path: str, spikes: Tensor, lengths: Tensor | None) -> None:
        """Count the spikes [T, B, …] of one layer in one pass."""
        s = spikes.detach()
        if lengths is None:
            steps, total = s.shape[0] * s.shape[1], s.sum(0).sum(0, dtype=torch.float64)
        else:
            n = lengths.to(s.device)
            valid = torch.arange(s.shape[0], device=s.device)[:, None] < n[None, :]
            steps = int(n.sum())
            total = torch.einsum("tb...,tb->...", s.double(), valid.double())
        seen = self.layers.get(path)
        if seen is None:
            self.layers[path] = LayerActivity(total, steps)
        else:
            seen.spikes += total
            seen.steps += steps

    def add_up(self) -> None:
        """Make these the spikes of all processes that train together. Spikes are counted, so nothing is rounded."""
        own = {path: (layer.spikes.cpu(), layer.steps) for path, layer in self.layers.items()}
        layers: dict[str, LayerActivity] = {}
        for part in gathered(own):
            for path, (spikes, steps) in part.items():
                seen = layers.setdefault(path, LayerActivity(torch.zeros_like(spikes), 0))
                seen.spikes += spikes
                seen.steps += steps
        self.layers = layers

    def summary(self) -> dict[str, dict[str, float]]:
        """Path → rate, silent and saturated share."""
        return {path: layer.summary() for path, layer in self.layers.items()}


class _Counter:
    """The recorder behind `Activity.watch`."""

    def __init__(self, activity: Activity, paths: dict[int, str], lengths: Tensor | None) -> None:
        self._activity, self._paths, self._lengths = activity, paths, lengths

    def see(self, module: snn.Stateful, x: Tensor, state: Any, out: Tensor) -> None:
        """Called by each stateful layer after its sequence."""
        path = self._paths.get(id(module))
        if path is not None:
            self._activity.add(path, out, self._lengths)


@dataclass
class Evaluation:
    """What a model answers on a set of samples."""

    loss: float
    predictions: Tensor
    """Classes [n] answered."""
    labels: Tensor
    """True classes [n]."""
    num_classes: int
    activity: Activity
    seconds: float

    @property
    def correct(self) -> int:
        """Number of right answers."""
        return int((self.predictions == self.labels).sum())

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.labels)

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0..1."""
        return self.correct / max(self.samples, 1)

    @property
    def confusion(self) -> list[list[int]]:
        """Counts: rows are true classes, columns answers."""
        n = self.num_classes
        counts = torch.bincount(self.labels * n + self.predictions, minlength=n * n)
        return [[int(v) for v in row] for row in counts.view(n, n)]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the time, as JSON values; equal for equal answers."""
        return {
            "accuracy": self.accuracy,
            "correct": self.correct,
            "samples": self.samples,
            "loss": self.loss,
            "confusion": self.confusion,
            "layers": self.activity.summary(),
        }


def predict(z: Tensor) -> Tensor:
    """Classes [B] of scores [B, C]: the largest, ties to the lowest index."""
    best = z == z.amax(1, keepdim=True)
    return best.to(torch.int8).argmax(1)  # argmax itself promises nothing about ties


def warnings_about(activity: Activity) -> list[str]:
    """Sentences about layers that cannot learn or say little."""
    out = []
    for path, layer in activity.layers.items():
        if layer.silent == 1.0:
            out.append(f"layer {path} never fires: raise its input (weights, batch norm) or lower its threshold")
        elif layer.silent > 0.5:
            out.append(f"layer {path}: {layer.silent:.0%} of its neurons never fire")
        if layer.saturated > 0.1:
            out.append(f"layer {path}: {layer.saturated:.0%} of its neurons fire at nearly every step")
    return out
