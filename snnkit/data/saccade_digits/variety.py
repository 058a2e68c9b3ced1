"""Another sensor and another hand for every few recordings: simulated digits to learn from before few real ones.

A network that has seen one sensor knows only that one. Here the threshold, the contrast, the noise, the digit's size,
its place, the thickness of its strokes and the length of the saccades are drawn anew for every `GROUP` recordings.
Means are those of N-MNIST's recordings, as their training part shows them: the picture moves by about (1.2, 4.8),
(3.7, −4.8) and (−4.9, 0) pixels, OFF runs ahead of ON, a digit is about 20 pixels tall, and a recording has about 4000
events.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnkit.data.saccade_digits.motion import LEVEL_BITS, POSITION_ONE, Scene
from snnkit.data.saccade_digits.sensor import SensorSettings, halfwords, raw_words

GROUP = 32
"""Recordings in a row that share a sensor and a scene."""
_VARIETY = 3
MOVES_PX = ((1.2, 4.8), (3.7, -4.8), (-4.9, 0.0))


class _Draw:
    """Whole numbers, even between two limits, from one stream of raw words."""

    def __init__(self, words: NDArray[np.int64]) -> None:
        self._words = iter(words.tolist())

    def between(self, low: int, high: int) -> int:
        return low + next(self._words) * (high - low + 1) // 65536

    def pixels(self, low: float, high: float) -> int:
        return self.between(round(low * POSITION_ONE), round(high * POSITION_ONE))


def varied_settings(seed: int, group: int) -> tuple[SensorSettings, Scene]:
    """The sensor and scene of a group of recordings; the same for equal (seed, group)."""
    draw = _Draw(halfwords(raw_words(seed, _VARIETY, group, 8)))
    settings = SensorSettings(
        threshold=f"0.{draw.between(240, 440)}",
        spread_percent=draw.between(10, 20),
        refractory_us=draw.between(1000, 2000),
        noise_hz=f"0.{draw.between(10, 50)}",
        dark=f"0.{draw.between(10, 25)}",
    )
    moves = tuple((draw.pixels(x - 0.6, x + 0.6), draw.pixels(y - 0.6, y + 0.6)) for x, y in MOVES_PX)
    scene = Scene(
        moves=moves,
        offset=(draw.pixels(-1.5, 1.5), draw.pixels(-1.5, 1.5)),
        pitch_x=draw.pixels(2.5, 3.5),
        pitch_y=draw.pixels(2.1, 2.6),
        floor=draw.between(4 << LEVEL_BITS, 11 << LEVEL_BITS) // 20,
        gain=draw.between(28, 64),
        swap=True,
    )
    return settings, scene
