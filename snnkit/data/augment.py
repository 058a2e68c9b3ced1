"""Augmentation on events: small changes of picture, time and polarity, events left out or added. Training only.

What happens to a recording, in this order (every range is drawn uniformly, per sample; see `snnkit.data.changes` for
the definition of each step):

1. mix: a share of another training recording's events is added; the class stays.
2. time: scaled about 0, then each event shifted by a normally distributed time.
3. place: flipped, shifted by an elastic field, mapped by one affine map about the sensor's centre, rounded to the
   nearest pixel; events that leave the sensor or a cropped window are left out.
4. events left out at random, in a stretch of time, or in a rectangle: EventDrop, Gu, Sng, Hu, Yu 2021,
   doi:10.24963/ijcai.2021/97.
5. polarities swapped, noise events added, events within a pixel's refractory time left out.

The elastic field is that of Simard et al. 2003, doi:10.1109/ICDAR.2003.1227801, for handwritten digits: a cubic
B-spline over 6×6 normally distributed knots here. The ranges that `Augment.nmnist()` gives are those with which
published-style convolutional networks were measured on N-MNIST recordings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from snnkit.data.changes import Columns, apply_changes, draw_changes, elastic_field
from snnkit.errors import ParameterError

_LIMITS = {
    "shift_px": 1e4,
    "rotate_deg": 180.0,
    "scale": 0.9,
    "shear": 2.0,
    "drop": 0.9,
    "elastic_px": 100.0,
    "crop": 0.9,
    "flip_x": 1.0,
    "flip_y": 1.0,
    "jitter_us": 1e6,
    "time_scale": 0.9,
    "drop_time": 0.9,
    "drop_area": 0.9,
    "swap_polarity": 1.0,
    "noise_hz": 1e4,
    "refractory_us": 1e7,
    "mix": 0.5,
}


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
        crop: only a window of the sensor's sides times [1 − crop, 1] is kept, at a random place.
        flip_x, flip_y: probability that left and right, or top and bottom, change places.
        jitter_us: standard deviation of each event's shift in time, in µs.
        time_scale: times are multiplied by a factor in [1 − time_scale, 1 + time_scale].
        drop_time: all events of one stretch of time are left out, of a share of the recording in [0, drop_time].
        drop_area: all events of one rectangle are left out, its sides the sensor's times [0, drop_area].
        drop_one: of drop, drop_time and drop_area only one, or none of them, happens to a sample (equally likely).
        swap_polarity: probability that ON and OFF change places.
        noise_hz: noise events per pixel and second, in [0, noise_hz], even over pixels, time and polarity.
        refractory_us: an event is left out within this time after its pixel's last event that was kept.
        mix: share of another training recording's events that are added, in [0, mix]; the class stays.
    """

    shift_px: float = 0.0
    rotate_deg: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    drop: float = 0.0
    elastic_px: float = 0.0
    crop: float = 0.0
    flip_x: float = 0.0
    flip_y: float = 0.0
    jitter_us: float = 0.0
    time_scale: float = 0.0
    drop_time: float = 0.0
    drop_area: float = 0.0
    drop_one: bool = False
    swap_polarity: float = 0.0
    noise_hz: float = 0.0
    refractory_us: int = 0
    mix: float = 0.0

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            value = getattr(self, name)
            if not 0.0 <= value <= limit:
                raise ParameterError(f"augmentation {name} is {value}", fix=f"give a value from 0 to {limit:g}")

    @classmethod
    def nmnist(cls) -> Augment:
        """Shift ± 2.5 px, rotation ± 12°, scale ± 10 %, shear ± 0.15, 0–30 % of events dropped."""
        return cls(shift_px=2.5, rotate_deg=12.0, scale=0.10, shear=0.15, drop=0.3)

    @property
    def active(self) -> bool:
        """Whether anything can change."""
        return any(getattr(self, f.name) for f in fields(self) if f.name != "drop_one")

    def apply(self, columns: Columns, sensor_size: tuple[int, int], rng: np.random.Generator) -> Columns:
        """One random draw on the columns (t, x, y, p) of a recording; see `augment_columns`."""
        return augment_columns(*columns, sensor_size, self, rng)


def augment_columns(
    t: NDArray[np.integer],
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    p: NDArray[np.integer],
    sensor_size: tuple[int, int],
    settings: Augment,
    rng: np.random.Generator,
) -> Columns:
    """Apply one random draw of `settings` (all but `mix`) to the columns [N] of a recording; returns new columns [M].

    The draws of a sample depend on `rng` alone, and always in the same order.
    """
    return apply_changes((t, x, y, p), draw_changes(settings, t, sensor_size, rng), sensor_size)


__all__ = ["Augment", "augment_columns", "elastic_field"]
