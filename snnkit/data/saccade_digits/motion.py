"""The scene: a digit's brightness, moved along N-MNIST's three saccades. Integers only.

Orchard et al. 2015 (doi:10.3389/fnins.2015.00437) turned MNIST into events by moving the sensor on a pan-tilt unit
through three saccades that close a triangle. In pixels, for each saccade of 105 ms: (+3.5, +7), (+3.5, −7), (−7, 0).
Most of each move is a burst of 70 ms with a parabolic velocity, as the event rate over time of the real recordings
shows it; the rest of the saccade is a slow settling.

The 8×8 images are interpolated by cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711) with a pitch of 2.75
pixels, so a digit is about 22 pixels tall; brightness is clipped to black and white. All values are integers in fixed
point, so that a digest of the result does not depend on a processor, a maths library or a number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

SENSOR = 34
GRID = 8
SACCADE_MS = 105
DURATION_MS = 3 * SACCADE_MS
SACCADES_HALF_PX = ((7, 14), (7, -14), (-14, 0))
"""Displacement (x, y) of each saccade, in half pixels."""
BURST_START_MS, BURST_MS = 10, 70
BURST_SHARE_PERCENT = 96
"""Share of a saccade's way that the burst covers; the rest follows until the saccade ends."""

POSITION_ONE = 4096
"""One pixel, in the units of positions."""
PITCH = 11 * POSITION_ONE // 4
MOVES = tuple((x * POSITION_ONE // 2, y * POSITION_ONE // 2) for x, y in SACCADES_HALF_PX)
"""The same in 1/4096 pixels."""
WEIGHT_BITS = 12
LEVEL_BITS = 12
LOG_ONE = 4096
"""ln = 1, in the units of log intensities."""


@dataclass(frozen=True)
class Scene:
    """How a digit is shown and moved; the defaults are those of SaccadeDigits.

    moves: displacement (x, y) of each saccade; offset: of the triangle from the sensor's centre; pitch_x, pitch_y:
    distance of the image's columns and rows on the sensor; all in 1/4096 pixels. floor, gain: brightness b becomes
    (b − floor)·gain / 16, with b from 0 to 4096, before it is clipped: thinner and sharper strokes. swap: OFF and ON
    change places.
    """

    moves: tuple[tuple[int, int], ...] = tuple(
        (x * POSITION_ONE // 2, y * POSITION_ONE // 2) for x, y in SACCADES_HALF_PX
    )
    offset: tuple[int, int] = (0, 0)
    pitch_x: int = PITCH
    pitch_y: int = PITCH
    floor: int = 0
    gain: int = 16
    swap: bool = False


def path(scene: Scene | None = None) -> NDArray[np.int64]:
    """Position [DURATION_MS + 1, 2] (x, y) of the digit's centre at each millisecond, in 1/4096 pixels.

    The triangle of the three saccades is centred on the sensor, but for the scene's offset.
    """
    scene = scene or Scene()
    corners = np.cumsum([(0, 0), *scene.moves], axis=0)
    middle = (SENSOR - 1) * POSITION_ONE // 2
    x, y = (int(middle + o - (c.min() + c.max()) // 2) for o, c in zip(scene.offset, corners.T))
    out = [(x, y)]
    for move in scene.moves:
        for ms in range(1, SACCADE_MS + 1):
            # Way covered in 1/(100·70³): the burst's is s²(3 − 2s) of its share, the settling's is linear.
            k = min(max(ms - BURST_START_MS, 0), BURST_MS)
            burst = BURST_SHARE_PERCENT * k * k * (3 * BURST_MS - 2 * k)
            tail_ms = SACCADE_MS - BURST_START_MS - BURST_MS
            j = min(max(ms - BURST_START_MS - BURST_MS, 0), tail_ms)
            settle = (100 - BURST_SHARE_PERCENT) * BURST_MS**3 * j // tail_ms
            done, whole = burst + settle, 100 * BURST_MS**3
            out.append(tuple(p + (d * done) // whole for p, d in zip((x, y), move)))  # type: ignore[arg-type]
        x, y = x + move[0], y + move[1]
    return np.array(out, np.int64)


def interpolation_weights(centre: NDArray[np.int64], pitch: int = PITCH) -> NDArray[np.int64]:
    """Weights [n, 34, 8] of the 8 image rows (or columns) at the 34 pixels, for a digit centred at `centre` [n].

    Cubic convolution in d = |distance| / pitch: (3d³ − 5d² + 2)/2 below 1, (−d³ + 5d² − 8d + 4)/2 below 2, else 0;
    rounded to 2^-12.
    """
    pixel = np.arange(SENSOR, dtype=np.int64)[None, :, None] * POSITION_ONE
    knot = (2 * np.arange(GRID, dtype=np.int64) - (GRID - 1))[None, None, :] * (pitch // 2)
    d = np.minimum(np.abs(pixel - knot - centre[:, None, None]), 2 * pitch)
    near = 3 * d**3 - 5 * d**2 * pitch + 2 * pitch**3
    far = -(d**3) + 5 * d**2 * pitch - 8 * d * pitch**2 + 4 * pitch**3
    weight = np.where(d < pitch, near, far)
    return ((weight << WEIGHT_BITS) + pitch**3) // (2 * pitch**3)


def log_table(dark: Decimal) -> NDArray[np.int32]:
    """ln((i/4096 + dark)/dark) for i = 0..4096, in 1/4096, correctly rounded.

    `dark` is the brightness of the black screen relative to white; decimal arithmetic gives the same digits everywhere.
    """
    with localcontext() as context:
        context.prec = 30
        one = Decimal(1 << LEVEL_BITS)
        values = [int(((i / one + dark) / dark).ln() * LOG_ONE + Decimal("0.5")) for i in range((1 << LEVEL_BITS) + 1)]
    return np.array(values, np.int32)
