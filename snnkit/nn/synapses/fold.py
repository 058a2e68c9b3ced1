"""Time folded into the batch: a synapse layer without memory runs once over all steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snnkit.nn.context import learner_of


def folded(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """function([T·B, …]) for x [T, B, …], as [T, B, …]."""
    return function(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def plastic(layer: torch.nn.Module, run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """run(x), the output of a synapse layer that may be learning by a local rule."""
    learner = learner_of(layer)
    return run(x) if learner is None else learner.through(layer, run, x)
