"""Comparing spike trains of one network run three ways, aligned by lag; pure numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Answers:
    """What one of the three said about a batch: spikes [T, B, n] by layer, aligned; v likewise, where known; class [B].

    `threshold`: the level of v at which each layer's neurons fire, in that model's own units, or None.
    """

    spikes: Mapping[str, Array]
    answer: Array
    v: Mapping[str, Array] = field(default_factory=dict)
    threshold: Mapping[str, Array] = field(default_factory=dict)


@dataclass
class PairCounts:
    """Differences between two of the three, summed over batches."""

    layers: dict[str, int] = field(default_factory=dict)
    of: int = 0
    first: dict[str, Any] | None = None
    changed: int = 0
    right_to_wrong: int = 0
    wrong_to_right: int = 0

    @property
    def total(self) -> int:
        return sum(self.layers.values())

    def add(self, a: Answers, b: Answers, labels: Array, order: Sequence[str], first_sample: int) -> None:
        """Count one batch; `order` gives the layers from input to output, for the first divergence."""
        for layer in order:
            x, y = a.spikes[layer], b.spikes[layer]
            self.layers[layer] = self.layers.get(layer, 0) + int(np.count_nonzero(x != y))
            self.of += x.size
        if self.first is None:
            self.first = first_divergence(a, b, order, first_sample)
        changed = a.answer != b.answer
        self.changed += int(changed.sum())
        self.right_to_wrong += int((changed & (a.answer == labels)).sum())
        self.wrong_to_right += int((changed & (b.answer == labels)).sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"total": self.total, "of": self.of, "layers": dict(self.layers)}

    def changes(self) -> dict[str, int]:
        """Predictions that differ."""
        return {
            "changed": self.changed,
            "right_to_wrong": self.right_to_wrong,
            "wrong_to_right": self.wrong_to_right,
        }


def first_divergence(a: Answers, b: Answers, order: Sequence[str], first_sample: int = 0) -> dict[str, Any] | None:
    """The earliest step, and in it the first layer and neuron, where two spike trains differ; None if they are equal.

    All later differences of a sample may only follow from this one. v is given before the reset is undone: as the
    models report it after the step, in their own units and, where the level is known, as a share of the threshold.
    """
    best: tuple[int, int, int, int] | None = None
    for depth, layer in enumerate(order):
        where = np.argwhere(a.spikes[layer] != b.spikes[layer])
        if len(where):
            step, sample, neuron = (int(k) for k in where[0])
            if best is None or (step, depth) < best[:2]:
                best = (step, depth, sample, neuron)
    if best is None:
        return None
    step, depth, sample, neuron = best
    layer = order[depth]
    found: dict[str, Any] = {
        "layer": layer,
        "sample": first_sample + sample,
        "step": step,
        "neuron": neuron,
        "spike": [int(m.spikes[layer][step, sample, neuron]) for m in (a, b)],
    }
    if layer in a.v and layer in b.v:
        v = [float(m.v[layer][step, sample, neuron]) for m in (a, b)]
        before = [float(m.v[layer][step - 1, sample, neuron]) if step else 0.0 for m in (a, b)]
        found |= {"v": v, "v_before": before}
        if layer in a.threshold and layer in b.threshold:
            level = [float(m.threshold[layer][neuron]) for m in (a, b)]
            found["v_over_threshold"] = [x / t for x, t in zip(v, level)]
            found["v_before_over_threshold"] = [x / t for x, t in zip(before, level)]
    return found
