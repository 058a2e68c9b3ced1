"""Augmentation on events: small affine and elastic changes of the picture and dropped events. Training only.

Each sample gets one affine map about the sensor's centre, x' = A (x − c) + c + d, with A = rotation · shear · scale,
rounded to the nearest pixel; events that it moves off the sensor are left out, and so is a random share of the others.
Before that, an elastic field may shift each pixel by a smooth random amount, as for handwritten digits in Simard et
al. 2003, doi:10.1109/ICDAR.2003.1227801: a cubic B-spline over 6×6 normally distributed knots here.
Times and polarities stay. The ranges that `Augment.nmnist()` gives are those with which published-style convolutional
networks were measured on N-MNIST recordings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from snnkit.errors import ParameterError

Columns = tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]


@dataclass(frozen=True)
class Augment:
    """Ranges of the random changes; each is drawn uniformly, per sample. All zero: no change.

    Args:
        shift_px: shift in x and in y, each in [−shift_px, shift_px] pixels.
        rotate_deg: rotation about the centre, in [−rotate_deg, rotate_deg] degrees.
        scale: scale factor in [1 − scale, 1 + scale].
        shear: horizontal shear in [−shear, shear] pixels per row.
        drop: share of events left out, in [0, drop].
        elastic_px: root mean square of the elastic field's shifts in x and in y, in pixels.
    """

    shift_px: float = 0.0
    rotate_deg: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    drop: float = 0.0
    elastic_px: float = 0.0

    def __post_init__(self) -> None:
        limits = {"shift_px": 1e4, "rotate_deg": 180.0, "scale": 0.9, "shear": 2.0, "drop": 0.9, "elastic_px": 100.0}
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
        return any((self.shift_px, self.rotate_deg, self.scale, self.shear, self.drop, self.elastic_px))

    def apply(self, columns: Columns, sensor_size: tuple[int, int], rng: np.random.Generator) -> Columns:
        """One random draw on the columns (t, x, y, p) of a recording; see `augment_columns`."""
        return augment_columns(*columns, sensor_size, self, rng)


KNOTS = 6


@cache
def _spline(n: int) -> NDArray[np.float64]:
    """Cubic B-spline weights [n, KNOTS] of n pixels, scaled so that the mean square over pixels is 1."""
    u = np.linspace(0.0, KNOTS - 3, n)
    first = np.minimum(u.astype(np.int64), KNOTS - 4)
    f = u - first
    parts = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3)
    weights = np.zeros((n, KNOTS))
    for k, part in enumerate(parts):
        weights[np.arange(n), first + k] = part
    return weights / math.sqrt((weights**2).sum(1).mean())


def elastic_field(sensor_size: tuple[int, int], rms_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth random field [2, H, W] of shifts in x and y, in pixels, with the given expected root mean square."""
    width, height = sensor_size
    knots = rng.standard_normal((2, KNOTS, KNOTS))
    return (rms_px * (_spline(height) @ knots @ _spline(width).T)).astype(np.float32)


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
    if settings.elastic_px:
        field = elastic_field(sensor_size, settings.elastic_px, rng)
        fx, fy = fx + field[0, y, x], fy + field[1, y, x]
    nx = np.floor(a * fx + b * fy + ex).astype(np.int32)
    ny = np.floor(c * fx + d * fy + ey).astype(np.int32)
    keep = (nx >= 0) & (nx < width) & (ny >= 0) & (ny < height)
    if settings.drop:
        keep &= rng.random(len(t), np.float32) >= np.float32(settings.drop * (drop + 1) / 2)
    return t[keep], nx[keep], ny[keep], p[keep]
