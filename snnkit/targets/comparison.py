"""Equal or not, and where first: the verdict on one array of reference vectors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Difference:
    """The first value that differs: step, neuron (flat position after the first axis), expected and found value."""

    step: int
    neuron: int
    expected: int
    got: int
    count: int

    def __str__(self) -> str:
        return f"step {self.step}, neuron {self.neuron}: expected {self.expected}, got {self.got} ({self.count} differ)"


@dataclass(frozen=True)
class ArrayVerdict:
    """One array: `by` names what computed it."""

    array: str
    by: str
    equal: bool
    difference: Difference | None = None
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.array} ({self.by}): " + ("equal" if self.equal else self.problem or str(self.difference))


def judge(array: str, by: str, expected: Array, got: Array | None) -> ArrayVerdict:
    """Compare value by value; any difference of shape is a difference."""
    if got is None:
        return ArrayVerdict(array, by, False, problem="was not computed")
    if expected.shape != got.shape:
        return ArrayVerdict(array, by, False, problem=f"shape {list(got.shape)}, expected {list(expected.shape)}")
    if not expected.size:
        return ArrayVerdict(array, by, True)
    wrong = np.asarray(expected != got).reshape(len(expected), -1)
    if not wrong.any():
        return ArrayVerdict(array, by, True)
    step = int(np.flatnonzero(wrong.any(1))[0])
    neuron = int(np.flatnonzero(wrong[step])[0])
    want, found = (int(a.reshape(wrong.shape)[step, neuron]) for a in (expected, got))
    return ArrayVerdict(array, by, False, Difference(step, neuron, want, found, int(wrong.sum())))
