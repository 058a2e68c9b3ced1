"""What a target's `emulate.py` gives the engine: neurons with global indices, and a function that runs ticks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Stimulus:
    """What the host does in one run.

    Attributes:
        raster: uint8 [T, B, L], all data ports side by side in the manifest's order; silent from tick T on.
        max_count: no entry of the raster is larger.
        gate_from, gate_to: int64 [G], ticks in which each gate line (all gate ports, in order) carries a 1.
        ticks: length of the run.
        noise: injected draws, int32 [ticks, B or 1, N] by global neuron, or None.
        record: int64 [K] global neurons whose u and v are recorded.
        draws: random draws of the run by name, a seed of the target's own generator, or None for its default.
    """

    raster: Array
    max_count: int
    gate_from: Array
    gate_to: Array
    ticks: int
    noise: Array | None
    record: Array
    draws: Mapping[str, Array] | int | None = None


@dataclass(frozen=True)
class Traces:
    """spikes uint8 [ticks, B, N]; u, v integers [ticks, B, K] of the recorded neurons; counters by name, int64 [B]."""

    spikes: Array
    u: Array
    v: Array
    counters: Mapping[str, Array]


class Chip(Protocol):
    """A decoded descriptor, ready to run."""

    n_neurons: int
    placement: Mapping[str, Array]
    """Global neuron index [n] of every layer's neurons."""

    def run(self, stimulus: Stimulus) -> Traces:
        """Run a batch from the initial state."""
        ...


class Stepwise(Chip, Protocol):
    """A chip that can stop after any tick and go on later: what `Emulator.stream` needs."""

    def start(self, batch: int, max_count: int = 1) -> Any:
        """The state of a batch before its first tick; no input will be larger than `max_count`."""
        ...

    def go_on(self, stimulus: Stimulus, state: Any) -> Traces:
        """Run `stimulus.ticks` more ticks from `state`, which goes along.

        The rows of the raster are those of these ticks; the times of gate lines count from the first tick of all.
        """
        ...
