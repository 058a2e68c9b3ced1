"""Taking a sampled recording again: other events of the same signal, as another pass of the sensor would send.

A send-on-delta code sends at the steps at which a signal crosses its levels. Moving events about (`SeriesAugment`)
moves each by itself; changing the signal and coding it again moves them as the sensor would:

1. x′[t] = x[s · t + d], read between samples by straight lines, s in [1 − stretch, 1 + stretch], d in [−shift, shift];
2. x″ = g · x′ + σ · θ · n, with g in [1 − gain, 1 + gain], σ in [0, noise], n standard normal noise, θ the threshold;
3. the reference of each channel starts up to `phase` thresholds from its first sample, and what that sends at once
   comes at step 0;

then x″ is sent on delta (`snnkit.data.delta`). Each is drawn uniformly, per take.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnkit.data.delta import Columns, send_on_delta
from snnkit.errors import ParameterError


@dataclass(frozen=True)
class Retake:
    """How training recordings are taken again; a training sample is one of its takes or the recording itself.

    Takes are coded once and cached beside the recordings. They differ between recordings and are the same in every
    run; which one a sample is derives from (seed, epoch, index).

    Args:
        count: takes of each recording.
        stretch: factor on time, in [1 − stretch, 1 + stretch].
        shift: shift in time, in [−shift, shift] samples.
        gain: factor on the signal, in [1 − gain, 1 + gain].
        noise: standard deviation of noise, up to so many thresholds.
        phase: start of each channel's reference, in [−phase, phase] thresholds from the first sample.
    """

    count: int = 8
    stretch: float = 0.04
    shift: float = 2.0
    gain: float = 0.05
    noise: float = 0.125
    phase: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ParameterError(f"retake count is {self.count}", fix="give at least 1, or leave retake out")
        limits = {"stretch": 0.9, "shift": 1e9, "gain": 1.0, "noise": 1e3, "phase": 1e3}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ParameterError(f"retake {name} is {value}", fix=f"give a value from 0 to {limit:g}")

    def take(self, series: NDArray[np.number], threshold: float, step_us: int, rng: np.random.Generator) -> Columns:
        """The events (t, x, y, p) of one take of a series [T, C] sampled every `step_us` µs; see `send_on_delta`."""
        x = np.asarray(series, np.float64)
        steps, channels = x.shape
        factor, moved, gain = rng.uniform(-1.0, 1.0, 3)
        at = np.arange(steps) * (1.0 + self.stretch * factor) + self.shift * moved
        x = np.stack([np.interp(at, np.arange(steps), x[:, c]) for c in range(channels)], 1)
        x = x * (1.0 + self.gain * gain) + rng.normal(0.0, threshold, x.shape) * self.noise * rng.uniform()
        first = x[:1] + self.phase * threshold * rng.uniform(-1.0, 1.0, channels)
        t, channel, y, p = send_on_delta(np.concatenate([first, x]), threshold, step_us)
        return np.maximum(t - step_us, 0), channel, y, p
