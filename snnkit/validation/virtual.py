"""A network on virtual chips: copies of an analogue chip with the mismatch that calibration leaves, by seed.

The accuracy of such a network is a distribution over chips. A target says in `Capabilities.virtual_chips` how many
seeds it knows; `Emulator.run(draws=SEED)` runs one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.emulator import Emulator
from snnkit.errors import UsageError
from snnkit.targets import registry

Array = np.ndarray[Any, Any]

CHIPS = 20
"""Virtual chips of a report."""


def seeds_of(target: str, count: int = CHIPS, first: int = 0) -> list[int]:
    """Seeds of `count` virtual chips of a target; none for a chip without mismatch.

    Raises:
        UsageError: the target has no virtual chips of these seeds.
    """
    known = registry.get(target).capabilities.virtual_chips
    if not known:
        return []
    if first < 0 or count < 0 or first + count > known:
        raise UsageError(
            f"{target} has no virtual chips {first} to {first + count - 1}", fix=f"seeds go from 0 to {known - 1}"
        )
    return list(range(first, first + count))


@dataclass
class VirtualChips:
    """Accuracy on each of some virtual chips, counted batch by batch."""

    seeds: Sequence[int]
    right: Array = field(init=False)
    total: int = 0

    def __post_init__(self) -> None:
        self.right = np.zeros(len(self.seeds), np.int64)

    def add(self, engine: Emulator, inputs: Mapping[str, Array], labels: Array) -> None:
        """Run a batch of rasters [T, B, n] by input with labels [B] on every chip."""
        for k, seed in enumerate(self.seeds):
            result = engine.run(inputs, draws=int(seed))
            if result.answer is not None:
                self.right[k] += int((result.answer == labels).sum())
        self.total += len(labels)

    def summary(self) -> dict[str, Any]:
        """Chips, recordings, and mean, spread (standard deviation over chips), worst and best of the accuracies."""
        accuracy = self.right / max(self.total, 1)
        return {
            "chips": len(self.seeds),
            "seeds": [int(s) for s in self.seeds],
            "recordings": self.total,
            "mean": float(accuracy.mean()),
            "spread": float(accuracy.std(ddof=1)) if len(accuracy) > 1 else 0.0,
            "worst": float(accuracy.min()),
            "best": float(accuracy.max()),
            "accuracy": [float(a) for a in accuracy],
        }


def describe(summary: Mapping[str, Any]) -> str:
    """One line for people."""
    return (
        f"{summary['chips']} virtual chips: mean {100 * summary['mean']:.2f} %, spread {100 * summary['spread']:.2f} "
        f"points, worst {100 * summary['worst']:.2f} %, best {100 * summary['best']:.2f} %"
    )
