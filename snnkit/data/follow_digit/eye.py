"""The eye: an event sensor before which a digit moves, or which moves before a digit; simulated millisecond by
millisecond, as long as one likes.

Optics and pixels are those of `SaccadeDigits` (`snnkit.data.saccade_digits.motion` and `.sensor`, with their sources):
an interpolated 8×8 digit, about 22 pixels tall, and pixels with a remembered log intensity that send ON or OFF for each
threshold by which it changes. Here an event has the time of its millisecond, a pixel sends at most one event of a
polarity in it (the remembered level still follows by every whole threshold), and there is no dead time beside that.

All numbers are integers in fixed point, and every draw has its key, so the events are the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import numpy as np
from numpy.typing import NDArray

from snnkit.data.saccade_digits.motion import (
    GRID,
    LEVEL_BITS,
    LOG_ONE,
    POSITION_ONE,
    SENSOR,
    WEIGHT_BITS,
    interpolation_weights,
    log_table,
)
from snnkit.data.saccade_digits.sensor import halfwords

PIXELS = SENSOR * SENSOR
CENTRE = (SENSOR - 1) * POSITION_ONE // 2
_PATTERN, _MEMORY, _NOISE = 0, 1, 2


@dataclass(frozen=True)
class EyeSettings:
    """What the simulated sensor is like; every value is exact.

    threshold: mean log-intensity threshold; spread_percent: its standard deviation among pixels; noise_hz: noise events
    per pixel, polarity and second; dark: brightness of the background, the digit's white being 1.
    """

    threshold: str = "0.4"
    spread_percent: int = 15
    noise_hz: int = 2
    dark: str = "0.15"


def to_position(pixels: NDArray[np.floating] | float) -> NDArray[np.int64]:
    """Pixels as positions in 1/4096 pixel."""
    return np.rint(np.asarray(pixels, np.float64) * POSITION_ONE).astype(np.int64)


@cache
def _table(dark: str) -> NDArray[np.int32]:
    return log_table(Decimal(dark))


class Eye:
    """Some sensors at once, each looking at its own digit.

    Args:
        images: [B, 8, 8], brightness 0..16.
        samples: [B], the numbers that key each one's random draws.
        offset: [B, 2] (x, y), where the digit's centre is at first, relative to the sensor's, in 1/4096 pixel.
        seed: of the sensors' fixed pattern (the same sensor for all) and of all draws.
        settings: what the sensor is like.
    """

    def __init__(
        self,
        images: NDArray[np.integer],
        samples: NDArray[np.integer],
        offset: NDArray[np.int64],
        seed: int = 0,
        settings: EyeSettings | None = None,
    ) -> None:
        self.settings, self.seed, self.ms = settings or EyeSettings(), seed, 0
        self.samples = np.asarray(samples, np.int64)
        self._images = np.asarray(images, np.float64)
        base = int(Decimal(self.settings.threshold) * LOG_ONE)
        uniform = halfwords(self._words(_PATTERN, 0, 0, 2 * PIXELS * 3)).reshape(2, SENSOR, SENSOR, 12)
        normal = uniform.sum(-1) - 6 * 65536  # standard deviation 1 is 65536
        theta = base + base * self.settings.spread_percent * normal // (100 * 65536)
        self.theta = np.maximum(theta, base // 8).astype(np.int32)  # [OFF, ON]
        self._table = _table(self.settings.dark)
        smaller = self.theta.min(0).astype(np.int64)
        start = [halfwords(self._words(_MEMORY, int(s), 0, PIXELS // 4)).reshape(SENSOR, SENSOR) for s in self.samples]
        self._memory = self._log_intensity(offset) + ((np.stack(start) - 32768) * smaller // 65536).astype(np.int32)

    def look(self, offset: NDArray[np.int64]) -> NDArray[np.bool_]:
        """The events of the next milliseconds.

        Args:
            offset: [ms, B, 2] (x, y) of the digit's centre at the end of each millisecond, in 1/4096 pixel.

        Returns:
            [ms, B, 2, 34, 34]: channel 0 = OFF, 1 = ON.
        """
        out = np.empty((len(offset), len(self._images), 2, SENSOR, SENSOR), np.bool_)
        for k, at in enumerate(offset):
            out[k, :, 0], out[k, :, 1] = self._follow(at)
        self._add_noise(out)
        self.ms += len(offset)
        return out

    def adapt(self, offset: NDArray[np.int64]) -> None:
        """Let the pixels follow the digit along offset [n, B, 2] without sending anything; takes no time."""
        for at in offset:
            self._follow(at)

    def _follow(self, offset: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which pixels send OFF and which ON [B, 34, 34]; their memory follows by every whole threshold."""
        off, on = self.theta
        change = self._log_intensity(offset) - self._memory
        steps = np.where(change > 0, change // on, -(-change // off))
        self._memory += steps * np.where(steps > 0, on, off)
        return steps < 0, steps > 0

    def _log_intensity(self, offset: NDArray[np.int64]) -> NDArray[np.int32]:
        """Log intensity [B, 34, 34] for digits at offset [B, 2]; sums of whole numbers far below 2^53 are exact."""
        wx, wy = (interpolation_weights(CENTRE + offset[:, k]).astype(np.float64) for k in (0, 1))
        light = wy @ self._images @ wx.transpose(0, 2, 1)
        light *= 2.0 ** (LEVEL_BITS - 4 - 2 * WEIGHT_BITS)
        np.clip(light, 0, 1 << LEVEL_BITS, out=light)
        return self._table.take(light.astype(np.int32))

    def _add_noise(self, events: NDArray[np.bool_]) -> None:
        chance = self.settings.noise_hz * 65536 // 1000
        if chance:
            for b, sample in enumerate(self.samples):
                words = self._words(_NOISE, int(sample), self.ms, len(events) * 2 * PIXELS // 4)
                events[:, b] |= halfwords(words).reshape(len(events), 2, SENSOR, SENSOR) < chance

    def _words(self, stream: int, sample: int, ms: int, n: int) -> NDArray[np.uint64]:
        """n words of the stream (seed, stream, sample, first millisecond): Philox, as in `SaccadeDigits`."""
        key = [self.seed % 2**64, 1]
        return np.random.Philox(counter=[0, stream, sample, ms], key=key).random_raw(n)


__all__ = ["CENTRE", "GRID", "PIXELS", "Eye", "EyeSettings", "to_position"]
