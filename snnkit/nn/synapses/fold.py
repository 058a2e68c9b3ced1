"""Time folded into the batch: a synapse layer without memory runs once over all steps."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def folded(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """function([T·B, …]) for x [T, B, …], as [T, B, …]."""
    return function(x.flatten(0, 1)).unflatten(0, x.shape[:2])
