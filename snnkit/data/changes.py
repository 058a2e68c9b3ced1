"""What augmentation does to one recording: the random draws, and the plain numpy form of applying them.

Draws and application are apart, so that the draws can be made in a loader and applied on another device
(`snnkit.data.device`), with the same result.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from snnkit.data.augment import Augment

Columns = tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]
KNOTS = 6
TIME_BITS = 16
"""A factor on times is a whole number of 2^-16."""


class Changes(NamedTuple):
    """The draws for one recording of N events on a sensor of W × H pixels.

    stretch: the factor on times in 2^-16; jitter: int64 [N] µs that are added then, or None.
    flip: whether x and y are mirrored (0/1 each); field: then shifts in x and y, float32 [2, H, W], or None; affine:
    then (a, b, c, d, ex, ey) float32 of x' = ⌊a·x + b·y + ex⌋, y' = ⌊c·x + d·y + ey⌋.
    window: x from, x to, y from, y to of what is kept; share: float32, events whose `lot` is below it are left out;
    lot: float32 [N], or None; hole: times from, to (µs), and box: x from, x to, y from, y to, both left out.
    swap: whether polarities change (0/1); noise: columns [K] of events to add, or None; refractory: µs.
    """

    affine: NDArray[np.float32]
    field: NDArray[np.float32] | None
    flip: tuple[int, int]
    window: tuple[int, int, int, int]
    stretch: int
    jitter: NDArray[np.int64] | None
    share: np.float32
    lot: NDArray[np.float32] | None
    hole: tuple[int, int]
    box: tuple[int, int, int, int]
    swap: int
    noise: Columns | None
    refractory: int


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


def draw_changes(
    settings: Augment, t: NDArray[np.integer], sensor_size: tuple[int, int], rng: np.random.Generator
) -> Changes:
    """One random draw of `settings` for a recording with the times t [N]; what is off draws nothing."""
    width, height = sensor_size
    dx, dy, turn, size, shear, drop = rng.uniform(-1.0, 1.0, 6)
    angle = math.radians(settings.rotate_deg) * turn
    factor, k = 1.0 + settings.scale * size, settings.shear * shear
    cos, sin = math.cos(angle) * factor, math.sin(angle) * factor
    cx, cy = (width - 1) / 2, (height - 1) / 2
    a, b = np.float32(cos), np.float32(k * cos - sin)
    c, d = np.float32(sin), np.float32(k * sin + cos)
    # + 0.5 and floor is rounding to the nearest pixel; the centre is folded into the constant.
    ex = cx + settings.shift_px * dx + 0.5 - float(a) * cx - float(b) * cy
    ey = cy + settings.shift_px * dy + 0.5 - float(c) * cx - float(d) * cy
    field = elastic_field(sensor_size, settings.elastic_px, rng) if settings.elastic_px else None
    lot = rng.random(len(t), np.float32) if settings.drop else None
    share = np.float32(settings.drop * (drop + 1) / 2)
    flip = (int(_hit(settings.flip_x, rng)), int(_hit(settings.flip_y, rng)))
    window = (0, width, 0, height)
    if settings.crop:
        window = _rectangle(1 - settings.crop * rng.random(), sensor_size, rng)
    stretch = 1 << TIME_BITS
    if settings.time_scale:
        stretch = round((1 + settings.time_scale * rng.uniform(-1.0, 1.0)) * stretch)
    jitter = None
    if settings.jitter_us:
        jitter = np.rint(rng.standard_normal(len(t)) * settings.jitter_us).astype(np.int64)
    first, last = ((int(v) * stretch) >> TIME_BITS for v in (t[0], t[-1])) if len(t) else (0, 0)
    hole = (0, 0)
    if settings.drop_time:
        length = settings.drop_time * rng.random() * (last - first)
        start = first + int(rng.random() * (last - first - length))
        hole = (start, start + int(length))
    box = (0, 0, 0, 0)
    if settings.drop_area:
        box = _rectangle(settings.drop_area * rng.random(), sensor_size, rng)
    if settings.drop_one:
        on = [n for n in ("drop", "drop_time", "drop_area") if getattr(settings, n)]
        choice = ([*on, ""])[int(rng.integers(len(on) + 1))]
        share = share if choice == "drop" else np.float32(0)
        hole, box = (hole if choice == "drop_time" else (0, 0)), (box if choice == "drop_area" else (0, 0, 0, 0))
    swap = int(_hit(settings.swap_polarity, rng))
    noise: Columns | None = None
    if settings.noise_hz:
        mean = settings.noise_hz * rng.random() * width * height * (last - first) * 1e-6
        n = int(rng.poisson(mean))
        noise = (
            rng.integers(first, last + 1, n),
            rng.integers(0, width, n),
            rng.integers(0, height, n),
            rng.integers(0, 2, n),
        )
    return Changes(
        np.array([a, b, c, d, ex, ey], np.float32), field, flip, window, stretch, jitter, share, lot, hole, box, swap,
        noise, int(settings.refractory_us),
    )  # fmt: skip


def _hit(probability: float, rng: np.random.Generator) -> bool:
    return bool(probability) and bool(rng.random() < probability)


def _rectangle(share: float, sensor_size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """x from, x to, y from, y to of a rectangle of this share of the sensor's sides, at a random place on it."""
    out: list[int] = []
    for side in sensor_size:
        length = round(share * side)
        start = int(rng.integers(side - length + 1))
        out += [start, start + length]
    return out[0], out[1], out[2], out[3]


def apply_changes(columns: Columns, draw: Changes, sensor_size: tuple[int, int]) -> Columns:
    """The columns [M] that a recording's columns [N] become; in order of time."""
    t, x, y, p = columns
    width, height = sensor_size
    if draw.stretch != 1 << TIME_BITS:
        t = (t.astype(np.int64) * draw.stretch) >> TIME_BITS
    if draw.jitter is not None:
        t = np.maximum(t.astype(np.int64) + draw.jitter, 0)
    a, b, c, d, ex, ey = draw.affine
    if draw.flip[0]:
        x = width - 1 - x.astype(np.int32)
    if draw.flip[1]:
        y = height - 1 - y.astype(np.int32)
    fx, fy = x.astype(np.float32), y.astype(np.float32)
    if draw.field is not None:
        fx, fy = fx + draw.field[0, y, x], fy + draw.field[1, y, x]
    nx = np.floor(a * fx + b * fy + ex).astype(np.int32)
    ny = np.floor(c * fx + d * fy + ey).astype(np.int32)
    x0, x1, y0, y1 = draw.window
    keep = (nx >= x0) & (nx < x1) & (ny >= y0) & (ny < y1)
    if draw.lot is not None:
        keep &= draw.lot >= draw.share
    if draw.hole[0] < draw.hole[1]:
        keep &= (t < draw.hole[0]) | (t >= draw.hole[1])
    x0, x1, y0, y1 = draw.box
    if x0 < x1 and y0 < y1:
        keep &= (nx < x0) | (nx >= x1) | (ny < y0) | (ny >= y1)
    if draw.swap:
        p = 1 - p.astype(np.int8)
    out: Columns = (t[keep], nx[keep], ny[keep], p[keep])
    if draw.noise is not None:
        out = tuple(np.concatenate([c, extra]) for c, extra in zip(out, draw.noise))  # type: ignore[assignment]
    if draw.noise is not None or draw.jitter is not None:
        order = np.argsort(out[0], kind="stable")
        out = tuple(c[order] for c in out)  # type: ignore[assignment]
    if draw.refractory:
        rested = refractory(*out[:3], width, draw.refractory)
        out = tuple(c[rested] for c in out)  # type: ignore[assignment]
    return out


def refractory(
    t: NDArray[np.integer], x: NDArray[np.integer], y: NDArray[np.integer], width: int, us: int
) -> NDArray[np.bool_]:
    """Which events [N], in order of time, come at least `us` after their pixel's last event that was kept.

    Pixel by pixel, the next event kept is the first one that is late enough: all pixels take that step together.
    """
    keep = np.zeros(len(t), np.bool_)
    if len(t) == 0:
        return keep
    time = t.astype(np.int64)
    pixel = y.astype(np.int64) * width + x
    order = np.argsort(pixel, kind="stable")
    clock = int(time.max()) + us + 1  # more than any time that is looked for: pixels do not overlap
    key = pixel[order] * clock + time[order]
    here = np.flatnonzero(np.diff(pixel[order], prepend=-1))
    while len(here):
        keep[order[here]] = True
        there = np.searchsorted(key, key[here] + us)
        inside = there < len(key)
        inside[inside] = pixel[order[there[inside]]] == pixel[order[here[inside]]]
        here = there[inside]
    return keep


def mixed(columns: Columns, other: Columns, share: float, rng: np.random.Generator) -> Columns:
    """A recording with a random share of another one's events, in order of time."""
    chosen = rng.random(len(other[0]), np.float32) < np.float32(share)
    both = [np.concatenate([mine, theirs[chosen]]) for mine, theirs in zip(columns, other)]
    order = np.argsort(both[0], kind="stable")
    t, x, y, p = (c[order] for c in both)
    return t, x, y, p
