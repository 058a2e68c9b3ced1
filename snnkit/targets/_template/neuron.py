"""The toy neuron in a graph, with its rule in plain numpy: the second opinion beside `arithmetic.py`.

Written from the chip's description alone. It must not use `arithmetic.py`: two programs that share their arithmetic
agree even where both are wrong. (Chips of snnkit itself keep this in `graph/rules/<chip>.py`.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.graph.neurons import ChipNeuron
from snnkit.targets._template import spec

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class ToyNeuron(ChipNeuron):
    """Registers, each int32 [n]: leak 0..15, threshold 1..65535, reset 0 (to zero) or 1 (subtract)."""

    leak: Array
    threshold: Array
    reset: Array

    def rule(self, batch: int, n: int) -> Any:
        """Neurons at v = 0."""
        return ToyRule(self, batch, n)


class ToyRule:
    """v loses floor(v / 2^k), takes its input, saturates at 24 bits, fires at the threshold."""

    u: Array | None = None

    def __init__(self, neuron: ToyNeuron, batch: int, n: int) -> None:
        self.neuron = neuron
        self.v = np.zeros((batch, n), np.int64)

    def step(self, x: Array, noise: Array | None) -> Array:
        k = self.neuron.leak.astype(np.int64)
        lost = np.where(k == spec.LEAK_NONE, 0, np.floor_divide(self.v, 2 ** np.minimum(k, spec.LEAK_MAX)))
        v = np.clip(self.v - lost + x, spec.POTENTIAL_MIN, spec.POTENTIAL_MAX)
        spikes = np.asarray(v >= self.neuron.threshold)
        rest = np.where(self.neuron.reset == spec.RESET_SUBTRACT, v - self.neuron.threshold, 0)
        self.v = np.where(spikes, rest, v)
        return spikes
