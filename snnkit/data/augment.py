"""Augmentation on events: small affine changes of the picture and dropped events. Training only.

Each sample gets one affine map about the sensor's centre, x' = A (x − c) + c + d, with A = rotation · shear · scale,
rounded to the nearest pixel; events that it moves off the sensor are left out, and so is a random share of the others.
Times and polarities stay. The ranges that `Augment.nmnist()` gives are those with which published-style convolutional
networks were measured on N-MNIST recordings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnkit.errors import ParameterError


@dataclass(frozen=True)
class Augment:
    """Ranges of the random changes; each is drawn uniformly, per sample. All zero: no change.

    Args:
        shift_px: shift in x and in y, each in [−shift_px, shift_px] pixels.
        rotate_deg: rotation about the centre, in [−rotate_deg, rotate_deg] degrees.
        scale: scale factor in [1 − scale, 1 + scale].
        shear: horizontal shear in [−shear, shear] pixels per row.
        drop: share of events left out, in [0, drop].
    """

    shift_px: float = 0.0
    rotate_deg: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    drop: float = 0.0

    def __post_init__(self) -> None:
        limits = {"shift_px": 1e4, "rotate_deg": 180.0, "scale": 0.9, "shear": 2.0, "drop": 0.9}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0.0 <= value <= limit:
                raise ParameterError(f"augmentation {name} is {value}", fix=f"give a value from 0 to {limit}")

    @classmethod
    def nmnist(cls) -> Augment:
        """Shift ± 2.5 px, rotation ± 12°, scale ± 10 %, shear ± 0.15, 0–30 % of events dropped."""
        return cls(shift_px=2.5, rotate_deg=12.0, scale=0.10, shear=0.15, drop=0.3)

    @property
    def active(self) -> bool:
        """Whether anything can change."""
        return any((self.shift_px, self.rotate_deg, self.scale, self.shear, self.drop))


def augment_columns(
    t: NDArray[np.integer],
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    p: NDArray[np.integer],
    sensor_size: tuple[int, int],
    settings: Augment,
    rng: np.random.Generator,
) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]:
    """Apply one random draw of `settings` to the columns [N] of a recording; returns new columns [M], M ≤ N.

    The draws of a sample depend on `rng` alone, and always in the same order.
    """
    width, height = sensor_size
    dx, dy, turn, size, shear, drop = rng.uniform(-1.0, 1.0, 6)
    angle = math.radians(settings.rotate_deg) * turn
    factor, k = 1.0 + settings.scale * size, settings.shear * shear
    cos, sin = math.cos(angle) * factor, math.sin(angle) * factor
    cx, cy = (width - 1) / 2, (height - 1) / 2
    a, b = np.float32(cos), np.float32(k * cos - sin)
    c, d = np.float32(sin), np.float32(k * sin + cos)
    # + 0.5 and floor is rounding to the nearest pixel; the centre is folded into the constant.
    ex = np.float32(cx + settings.shift_px * dx + 0.5 - float(a) * cx - float(b) * cy)
    ey = np.float32(cy + settings.shift_px * dy + 0.5 - float(c) * cx - float(d) * cy)
    fx, fy = x.astype(np.float32), y.astype(np.float32)
    nx = np.floor(a * fx + b * fy + ex).astype(np.int32)
    ny = np.floor(c * fx + d * fy + ey).astype(np.int32)
    keep = (nx >= 0) & (nx < width) & (ny >= 0) & (ny < height)
    if settings.drop:
        keep &= rng.random(len(t), np.float32) >= np.float32(settings.drop * (drop + 1) / 2)
    return t[keep], nx[keep], ny[keep], p[keep]
