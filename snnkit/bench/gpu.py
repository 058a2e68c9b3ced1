"""The table of one GPU: LIF in three sizes and both resets beside the peers, our other neurons, a recurrent layer.

The sizes are those of the CPU's bars. A row's first call compiles what is not compiled yet; the others are timed with
the device waited for before and after, so that a launch's cost is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.bench import recurrent
from snnkit.bench.defaults import DEFAULTS
from snnkit.bench.neurons import CONTENDERS, QUICK_SHAPE, SHAPES
from snnkit.bench.rounds import Contender, Layer, compete
from snnkit.kernels import reference_only

NEURONS = ("CubaLIF", "ALIF", "LinearLeakIF", "LI")
"""Neurons beside LIF, which peers have in other forms or not at all: ours against our own loop."""


def _make(neuron: str, reset: str) -> Layer:
    options = {} if neuron == "LI" else {"reset": reset}
    layer: Layer = getattr(snn, neuron)(**options)
    return layer


def _eager(neuron: str, reset: str) -> Layer:
    layer: Any = _make(neuron, reset)

    def run(x: Tensor) -> Tensor:
        with reference_only():
            return layer.to(x.device)(x)  # type: ignore[no-any-return]

    return run


def table(
    device: torch.device, quick: bool = False, rounds: int = 5, shapes: Sequence[tuple[int, ...]] | None = None
) -> list[dict[str, Any]]:
    """Rows as of `snnkit.bench.neurons.run`, for every shape, reset and neuron, and of `snnkit.bench.recurrent`.

    Args:
        device: where to measure.
        quick: one small shape.
        rounds: interleaved rounds of each.
        shapes: [T, B, N] instead of the usual ones.
    """
    shapes = tuple(shapes or ((QUICK_SHAPE,) if quick else SHAPES))
    rows = []
    for shape in shapes:
        for reset in ("zero", "subtract"):
            rows += compete((*CONTENDERS, *DEFAULTS), shape, reset, rounds, device)
    for neuron in NEURONS:
        pair = (
            Contender("snnkit fused", partial(_make, neuron), fused=True),
            Contender("snnkit eager loop", partial(_eager, neuron), memory=24.0),
        )
        found = compete(pair, shapes[-1], "zero", rounds, device, f"{neuron} forward + backward")
        if neuron == "LI":  # has none
            found = [row | {"differing_spikes": None} for row in found]
        rows += found
    return rows + recurrent.run(quick, rounds, device=device)
