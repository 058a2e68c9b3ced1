"""What a run of the emulator gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.descriptor.schema import Readout

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class EmulationResult:
    """Traces on the chip's timeline: tick t of a layer with lag k is step t - k of the model; the host's layers have no
    lag, and their ticks behind the sample's steps are silent.

    Attributes:
        spikes: uint8 [ticks, B, n] by layer. u, v: int32 [ticks, B, n] of the probed layers (float32 on the host).
        counters: int64 [B] by name, summed over the run of each sample: spikes, synaptic_events, neuron_updates,
            host_packets, core_packets, q_wraps, u_wraps, drive_wraps, v_clips (names are the target's).
        answer: int64 [B] class of each sample, scores: int64 (float64 from the host) [B, classes]; None without a
            readout.
        steps: T of the input. ticks: length of the run. lags: by layer.
    """

    spikes: Mapping[str, Array]
    u: Mapping[str, Array]
    v: Mapping[str, Array]
    counters: Mapping[str, Array]
    answer: Array | None
    scores: Array | None
    steps: int
    ticks: int
    lags: Mapping[str, int]

    def totals(self) -> dict[str, int]:
        """Counters summed over the batch."""
        return {name: int(values.sum()) for name, values in self.counters.items()}

    def aligned(self, layer: str) -> Array:
        """The layer's spikes [T, B, n] on the model's timeline: ticks lag to lag + T - 1."""
        lag = self.lags[layer]
        return self.spikes[layer][lag : lag + self.steps]


def read_out(readout: Readout, lag: int, spikes: Array, v: Array | None, steps: int) -> tuple[Array, Array]:
    """(answer [B], scores [B, classes]) from spikes and v [ticks, B, n] of the readout layer, over ticks lag..lag+T-1.

    `count` sums spikes, over the votes of a class too; `first` counts the ticks from the first spike on, so the
    earliest has most; `mean` sums v (the same order as the mean, exact in integers), `max` and `last` take v.
    Ties go to the lowest index.
    """
    trace = spikes if readout.of_spikes else v
    assert trace is not None
    window = trace[lag : lag + steps].astype(np.float64 if trace.dtype.kind == "f" else np.int64)
    lowest = -np.inf if trace.dtype.kind == "f" else np.iinfo(np.int64).min
    if readout.rule in ("count", "mean"):
        scores = window.sum(0)
        scores = scores.reshape(len(scores), scores.shape[1] // readout.votes, readout.votes).sum(2)
    elif readout.rule == "first":
        first = (window != 0).argmax(0) if len(window) else np.zeros(window.shape[1:], np.int64)
        scores = np.where((window != 0).any(0), len(window) - first, 0).astype(np.int64)
    elif readout.rule == "max":
        scores = window.max(0, initial=lowest)
    else:
        scores = window[-1] if len(window) else np.zeros(window.shape[1:], window.dtype)
    return scores.argmax(1).astype(np.int64), scores
