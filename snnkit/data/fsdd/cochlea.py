"""A cochlea-like encoder: sound to events of a filter bank, by log-mel levels and send on delta.

Equations, for a signal s sampled at f_s and scaled to [−1, 1]:

1. pre-emphasis u[n] = s[n] − 0.97 · s[n − 1];
2. power P_k of frames of 25 ms (Hann window, zero-padded to a power of two), one every 10 ms;
3. M_b = Σ_k W_bk · P_k with triangular filters W at equal distances on the mel scale,
   mel(f) = 2595 · log10(1 + f / 700), from 60 Hz to f_s / 2, each of sum 1;
4. level L_b = ln(M_b + floor · max M): silence does not chatter, however loud the recording;
5. L_b is sent on delta (`snnkit.data.delta`): one event per change by `threshold`.

Sources: mel filter banks, Davis & Mermelstein 1980, doi:10.1109/TASSP.1980.1163420; the mel scale in this form,
O'Shaughnessy 1987, Speech Communication (Addison-Wesley), p. 150; events of a silicon cochlea, Liu et al. 2014,
doi:10.1109/TBCAS.2013.2281834; send on delta, Miśkowicz 2006, doi:10.3390/s6010049.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from snnkit.data.delta import Columns, send_on_delta
from snnkit.errors import ParameterError

PRE_EMPHASIS = 0.97
LOWEST_HZ = 60.0


@dataclass(frozen=True)
class Cochlea:
    """The settings of the encoder.

    Args:
        bands: channels.
        hop_us: one level every so many µs.
        frame_us: length of a frame.
        threshold: change of a level (natural logarithm of power) per event.
        floor: power added to each band, as a share of the loudest band of the recording.
    """

    bands: int = 40
    hop_us: int = 10_000
    frame_us: int = 25_000
    threshold: float = 0.6
    floor: float = 1e-4

    def __post_init__(self) -> None:
        if self.bands < 1 or self.hop_us < 1 or self.frame_us < self.hop_us:
            raise ParameterError(
                f"bands is {self.bands}, hop_us {self.hop_us}, frame_us {self.frame_us}",
                fix="give at least one band, and frames at least as long as the hop",
            )
        if not (self.threshold > 0 and 0 < self.floor < 1):
            raise ParameterError(
                f"threshold is {self.threshold}, floor {self.floor}", fix="give a positive threshold and 0 < floor < 1"
            )

    def levels(self, sound: NDArray[np.floating], rate: int) -> NDArray[np.float64]:
        """The levels L [T, bands] of a sound [N], −1 … 1, sampled at `rate` Hz."""
        frame, hop = round(self.frame_us * rate / 1e6), round(self.hop_us * rate / 1e6)
        if frame < 2 or hop < 1:
            raise ParameterError(f"the sampling rate is {rate} Hz", fix="give sound with more samples per frame")
        s = np.asarray(sound, np.float64)
        u = np.append(s[:1], s[1:] - PRE_EMPHASIS * s[:-1])
        u = np.pad(u, (frame // 2, frame - frame // 2))
        frames = np.lib.stride_tricks.sliding_window_view(u, frame)[::hop]
        n = 1 << (frame - 1).bit_length()
        power = np.abs(np.fft.rfft(frames * np.hanning(frame), n)) ** 2
        mel = power @ mel_filters(self.bands, n, rate).T
        return np.log(mel + self.floor * max(float(mel.max()), 1e-12))

    def encode(self, sound: NDArray[np.floating], rate: int) -> Columns:
        """Events (t, x, y, p) of a sound [N] sampled at `rate` Hz: x is the band, low to high; y is 0."""
        return send_on_delta(self.levels(sound, rate), self.threshold, self.hop_us)


@cache
def mel_filters(bands: int, n: int, rate: int) -> NDArray[np.float64]:
    """Triangular filters [bands, n / 2 + 1] on the mel scale for a transform of n points, each of sum 1."""

    def mel(f: float) -> float:
        return 2595.0 * np.log10(1.0 + f / 700.0)

    edges = 700.0 * (10.0 ** (np.linspace(mel(LOWEST_HZ), mel(rate / 2), bands + 2) / 2595.0) - 1.0)
    f = np.fft.rfftfreq(n, 1.0 / rate)[None]
    low, centre, high = (edges[k : k + bands, None] for k in range(3))
    w = np.clip(np.minimum((f - low) / (centre - low), (high - f) / (high - centre)), 0.0, None)
    # A narrow low band may lie between two frequencies of the transform: it takes the nearest one.
    empty = np.flatnonzero(w.sum(1) == 0)
    w[empty, np.abs(f - centre[empty]).argmin(1)] = 1.0
    return w / w.sum(1, keepdims=True)
