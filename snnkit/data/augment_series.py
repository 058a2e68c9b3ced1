"""Augmentation of one-dimensional recordings: sound through a filter bank, touch, anything that is channels × 1.

One draw per sample, on the events:

- speed and start: t′ = t · s + d, with s in [1 − stretch, 1 + stretch] and d in [−shift_us, shift_us];
- band shift: all channels move by one whole number in [−band_shift, band_shift], as another voice moves formants;
- gain g in [1 − gain, 1 + gain]: a send-on-delta code sends events in proportion to a signal's swing, so of N events
  g · N are kept; beyond 1, a share g − 1 of them is sent twice;
- blanked bands: up to `blanks` runs of at most `blank_width` neighbouring channels send nothing, as SpecAugment's
  frequency masks (Park et al. 2019, doi:10.21437/Interspeech.2019-2680);
- gaps: for up to `gaps` stretches of at most `gap_us` nothing is sent, as its time masks; each starts between 0 and the
  recording's last event;
- jitter: each event's time moves by a normally distributed amount.

Before these, a recording whose signal is there may be one of its takes (`snnkit.data.retake`).

Events that leave the recording (t′ < 0, or beyond `window_us`) or the sensor are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnkit.data.augment import Columns
from snnkit.data.retake import Retake
from snnkit.errors import ParameterError


@dataclass(frozen=True)
class SeriesAugment:
    """Ranges of the random changes of a one-dimensional recording; each is drawn uniformly, per sample. All zero: none.

    Args:
        shift_us: shift in time, in [−shift_us, shift_us] µs.
        stretch: factor on all times, in [1 − stretch, 1 + stretch].
        band_shift: shift along the channels, a whole number in [−band_shift, band_shift].
        gain: events sent, as a factor in [1 − gain, 1 + gain].
        blanks: up to so many runs of channels are silenced.
        blank_width: channels of such a run, at most; drawn from 1 on.
        gaps: up to so many stretches of time are silenced.
        gap_us: length of such a stretch, at most, in µs; drawn from 0 on.
        jitter_us: standard deviation of each event's own shift in time.
        window_us: events that a change moves beyond this time are left out; None: kept.
        retake: recordings are taken again, where the data set codes sampled signals; None: not.
    """

    shift_us: float = 0.0
    stretch: float = 0.0
    band_shift: int = 0
    gain: float = 0.0
    blanks: int = 0
    blank_width: int = 4
    gaps: int = 0
    gap_us: float = 50_000.0
    jitter_us: float = 0.0
    window_us: int | None = None
    retake: Retake | None = None

    def __post_init__(self) -> None:
        limits = {"shift_us": 1e9, "stretch": 0.9, "band_shift": 1000, "gain": 1.0, "blanks": 100,
                  "gaps": 100, "gap_us": 1e9, "jitter_us": 1e9}  # fmt: skip
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ParameterError(f"augmentation {name} is {value}", fix=f"give a value from 0 to {limit:g}")
        if self.blank_width < 1:
            raise ParameterError(f"augmentation blank_width is {self.blank_width}", fix="give at least 1")
        if self.window_us is not None and self.window_us < 1:
            raise ParameterError(f"augmentation window_us is {self.window_us}", fix="give a positive time, or null")

    @property
    def active(self) -> bool:
        """Whether anything can change."""
        return any((self.shift_us, self.stretch, self.band_shift, self.gain, self.blanks, self.gaps, self.jitter_us,
                    self.retake))  # fmt: skip

    def apply(self, columns: Columns, sensor_size: tuple[int, int], rng: np.random.Generator) -> Columns:
        """One random draw on the columns (t, x, y, p) [N] of a recording; returns new columns [M], in order of time."""
        t, x, y, p = columns
        width = sensor_size[0]
        factor, start, gain = rng.uniform(-1.0, 1.0, 3)
        bands = int(rng.integers(-self.band_shift, self.band_shift + 1))
        time = t * (1.0 + self.stretch * factor) + self.shift_us * start
        if self.jitter_us:
            time = time + rng.normal(0.0, self.jitter_us, len(t))
        nt = np.floor(time + 0.5).astype(np.int64)
        nx = x.astype(np.int64) + bands
        keep = (nt >= 0) & (nx >= 0) & (nx < width)
        if self.window_us is not None:
            keep &= nt < self.window_us
        for _ in range(int(rng.integers(0, self.blanks + 1))):
            run = int(rng.integers(1, self.blank_width + 1))
            first = int(rng.integers(0, width))
            keep &= (nx < first) | (nx >= first + run)
        if self.gaps:  # no draws without gaps: samples of recipes that have none stay what they were
            end = int(nt.max(initial=0)) + 1
            for _ in range(int(rng.integers(0, self.gaps + 1))):
                begin, length = rng.uniform(0, end), rng.uniform(0, self.gap_us)
                keep &= (nt < begin) | (nt >= begin + length)
        copies = keep.astype(np.int64)
        if self.gain:
            g = 1.0 + self.gain * gain
            lucky = rng.random(len(t)) < (g if g <= 1.0 else g - 1.0)
            copies *= lucky if g <= 1.0 else 1 + lucky
        chosen = np.repeat(np.arange(len(t)), copies)
        chosen = chosen[np.argsort(nt[chosen], kind="stable")]
        return nt[chosen], nx[chosen], y[chosen], p[chosen]
