"""The event sensor: one threshold per pixel and polarity on the change of log intensity, a dead time, and noise.

The pixel model is that of the event-camera simulators ESIM (Rebecq, Gehrig, Scaramuzza 2018, CoRL, PMLR 87:969) and
v2e (Hu, Liu, Delbruck 2021, doi:10.1109/CVPRW53098.2021.00144): a pixel remembers a log intensity L_ref; when
L − L_ref ≥ θ_on it sends ON and L_ref rises by θ_on, when L_ref − L ≥ θ_off it sends OFF and L_ref falls by θ_off.
Between two scene samples (1 ms) L is taken as linear, which gives an event its time in µs. After an event a pixel is
dead for the refractory time; what it has not sent by then follows. Thresholds differ among pixels (fixed pattern), the
remembered level starts at a random place within half a threshold, and noise events are spread evenly over pixels and
time (background activity; ATIS: Posch, Matolin, Wohlgenannt 2011, doi:10.1109/JSSC.2010.2085952).

The draws are raw Philox words (a fixed bit stream) in integer arithmetic, and each sample has its own stream: a sample
is the same whichever others are simulated with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

from snnkit.data.saccade_digits.motion import (
    DURATION_MS,
    GRID,
    LEVEL_BITS,
    LOG_ONE,
    SENSOR,
    WEIGHT_BITS,
    Scene,
    interpolation_weights,
    log_table,
    path,
)

PIXELS = SENSOR * SENSOR
STEP_US = 1000
_PATTERN, _MEMORY, _NOISE = 0, 1, 2


@dataclass(frozen=True)
class SensorSettings:
    """What the simulated sensor is like; every value is exact (integers, or decimal strings).

    threshold: mean log-intensity threshold; spread_percent: its standard deviation among pixels; refractory_us: dead
    time after an event; noise_hz: noise events per pixel and second; dark: brightness of the
    black screen, white being 1.
    """

    threshold: str = "0.4"
    spread_percent: int = 15
    refractory_us: int = 1000
    noise_hz: str = "0.5"
    dark: str = "0.15"


def raw_words(seed: int, stream: int, sample: int, n: int) -> NDArray[np.uint64]:
    """n 64-bit words of the stream (seed, stream, sample): Philox-4x64-10, Salmon et al. 2011,
    doi:10.1145/2063384.2063405."""
    return np.random.Philox(counter=[0, stream, sample, 0], key=[seed % 2**64, 0]).random_raw(n)


def halfwords(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Each 64-bit word as four integers 0..65535, lowest bits first."""
    return np.stack([(words >> np.uint64(s)) & np.uint64(0xFFFF) for s in (0, 16, 32, 48)], -1).ravel().astype(np.int64)


def poisson_steps(mean: Decimal) -> NDArray[np.uint64]:
    """P(N ≤ k) · 2^32 for k = 0, 1, …: a uniform 32-bit word w stands for N = the number of steps ≤ w."""
    with localcontext() as context:
        context.prec = 60
        p = (-mean).exp()
        total, k, steps = p, 0, []
        while total < 1 - Decimal(2) ** -33:
            steps.append(int(total * 2**32))
            k += 1
            p = p * mean / k
            total += p
    return np.array(steps, np.uint64)


class Sensor:
    """One sensor with its fixed pattern of thresholds, the `pattern`-th of a seed, looking at the moving digits."""

    def __init__(self, settings: SensorSettings, seed: int, scene: Scene | None = None, pattern: int = 0) -> None:
        self.settings, self.seed, self.scene = settings, seed, scene or Scene()
        base = int(Decimal(settings.threshold) * LOG_ONE)
        # The sum of twelve uniform numbers less its mean: close to normal, standard deviation 1 (here 65536).
        uniform = halfwords(raw_words(seed, _PATTERN, pattern, 2 * PIXELS * 3)).reshape(2, PIXELS, 12)
        normal = uniform.sum(-1) - 6 * 65536
        theta = base + base * settings.spread_percent * normal // (100 * 65536)
        self.theta_off, self.theta_on = np.maximum(theta, base // 8).astype(np.int32)
        centre = path(self.scene)
        self.wx = interpolation_weights(centre[:, 0], self.scene.pitch_x).astype(np.float64)
        self.wy = interpolation_weights(centre[:, 1], self.scene.pitch_y).astype(np.float64)
        self.table = log_table(Decimal(settings.dark))
        self.noise_steps = poisson_steps(Decimal(settings.noise_hz) * PIXELS * DURATION_MS / 1000)

    def log_intensity(self, images: NDArray[np.float64], ms: int) -> NDArray[np.int32]:
        """Log intensity [34 · S · 34] (row, sample, column) at a millisecond, in 1/4096.

        images: [8, S, 8] (row, sample, column), whole numbers 0..16. The products are of whole numbers and their sums
        stay far below 2^53 in magnitude, so float64 gives them exactly, in any order.
        """
        n = images.shape[1]
        rows = (self.wy[ms] @ images.reshape(GRID, n * GRID)).reshape(SENSOR * n, GRID)
        light = (rows @ self.wx[ms].T).ravel()
        # 16 · 2^24 is white: keep the upper 12 bits. Interpolation can go beyond black and white.
        light *= 2.0 ** (LEVEL_BITS - 4 - 2 * WEIGHT_BITS)
        level = light.astype(np.int32)
        if (self.scene.floor, self.scene.gain) != (0, 16):
            level = (level - self.scene.floor) * self.scene.gain >> 4
        return self.table.take(np.clip(level, 0, 1 << LEVEL_BITS))

    def record(self, images: NDArray[np.integer], samples: NDArray[np.integer]) -> list[NDArray[np.int64]]:
        """The recordings of some images.

        Args:
            images: [S, 8, 8], brightness 0..16.
            samples: [S], the numbers that key each sample's random stream.

        Returns:
            For each image its events as sorted keys, ((t · 1156) + pixel) · 2 + p; see `unpack`.
        """
        n = len(images)
        scene = np.ascontiguousarray(np.transpose(images, (1, 0, 2)), dtype=np.float64)
        spread = (SENSOR, n, SENSOR)
        on = np.broadcast_to(self.theta_on.reshape(SENSOR, 1, SENSOR), spread).reshape(-1).copy()
        off = np.broadcast_to(-self.theta_off.reshape(SENSOR, 1, SENSOR), spread).reshape(-1).copy()
        before = self.log_intensity(scene, 0)
        memory = before + self._memory_offsets(samples).reshape(-1)
        free_at = np.zeros(memory.shape, np.int32)  # the first µs at which the pixel can send again
        none = np.zeros(0, np.int64)
        cells, times, signs = [none], [none], [none]
        dead = np.int32(self.settings.refractory_us)
        for ms in range(1, DURATION_MS + 1):
            start, end = (ms - 1) * STEP_US, ms * STEP_US
            now = self.log_intensity(scene, ms)
            change = now - memory
            hit = np.flatnonzero((change >= on) | (change <= off))
            while len(hit):
                rising = change[hit] > 0
                level = memory[hit] + np.where(rising, on[hit], off[hit])
                first, last = before[hit].astype(np.int64), now[hit].astype(np.int64)
                slope = last - first
                # Where the level was passed before this step (the pixel was dead), the event is due at once.
                due = np.where(rising, first >= level, first <= level)
                t = start + np.where(due, 0, STEP_US * (level - first) // np.where(slope == 0, 1, slope))
                t = np.maximum(t, free_at[hit])
                sent = t < end
                hit, t, level = hit[sent], t[sent], level[sent]
                memory[hit] = level
                free_at[hit] = t + dead
                cells.append(hit)
                times.append(t)
                signs.append((rising[sent] != self.scene.swap).astype(np.int64))
                change_there = now[hit] - memory[hit]
                hit = hit[(change_there >= on[hit]) | (change_there <= off[hit])]
            before = now
        cell = np.concatenate(cells)
        row, rest = np.divmod(cell, n * SENSOR)
        sample, column = np.divmod(rest, SENSOR)
        keys = (np.concatenate(times) * PIXELS + row * SENSOR + column) * 2 + np.concatenate(signs)
        order = np.argsort(sample, kind="stable")
        parts = np.split(keys[order], np.searchsorted(sample[order], np.arange(1, n)))
        return [np.sort(np.concatenate([part, self._noise(int(s))])) for part, s in zip(parts, samples)]

    def _memory_offsets(self, samples: NDArray[np.integer]) -> NDArray[np.int32]:
        """Where the remembered level starts, [34, S, 34]: even within half a threshold of the true level."""
        words = [halfwords(raw_words(self.seed, _MEMORY, int(s), PIXELS // 4)) for s in samples]
        centred = np.stack(words).reshape(len(samples), SENSOR, SENSOR).transpose(1, 0, 2) - 32768
        smaller = np.minimum(self.theta_on, self.theta_off).astype(np.int64).reshape(SENSOR, 1, SENSOR)
        return (centred * smaller // 65536).astype(np.int32)

    def _noise(self, sample: int) -> NDArray[np.int64]:
        """Noise events of one sample, as keys: a Poisson number, even over pixels, time and polarity."""
        n = int(np.searchsorted(self.noise_steps, raw_words(self.seed, _NOISE, sample, 1)[0] >> np.uint64(32), "right"))
        words = raw_words(self.seed, _NOISE, sample, n + 1)[1:]
        t = ((words >> np.uint64(32)) * np.uint64(DURATION_MS * STEP_US)) >> np.uint64(32)
        pixel = (((words >> np.uint64(8)) & np.uint64(0xFFFFFF)) * np.uint64(PIXELS)) >> np.uint64(24)
        return ((t * np.uint64(PIXELS) + pixel) * np.uint64(2) + (words & np.uint64(1))).astype(np.int64)


def unpack(
    keys: NDArray[np.int64],
) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Columns (t, x, y, p) [N] from the keys that `Sensor.record` gives."""
    t, rest = np.divmod(keys, 2 * PIXELS)
    pixel, p = rest >> 1, rest & 1
    y, x = np.divmod(pixel, SENSOR)
    return t.astype(np.uint32), x.astype(np.uint8), y.astype(np.uint8), p.astype(np.uint8)
