"""What a cell of a frame holds: counts, 0/1, a voxel grid or a time surface; the definitions, on numpy columns.

Frames are `[T, 2, H, W]`, channel 0 = OFF, 1 = ON, whatever their cells hold. The T bins are those of
`snnkit.data.binning.bin_index`.

- counts, binary: how many events fell into a cell, or whether any did.
- voxel: an event at the place u between the first and the last bin, u = (T − 1)·(t − t₀)/w, adds 1 − |u − k| to each
  of the two bins k beside it: the bilinear grid of Zhu, Yuan, Chaney, Daniilidis 2019, doi:10.1109/CVPR.2019.00108,
  with the polarities kept apart. The sum over all cells is the number of events.
- time_surface: exp(−(e_k − t)/τ) of the last event at t up to the end e_k of bin k, 0 where there was none: Lagorce,
  Orchard, Galluppi, Shi, Benosman 2017, doi:10.1109/TPAMI.2016.2574707, read at the ends of the bins.

Shares of a voxel grid are integers in 1/65536 of an event, so that sums do not depend on an order and are the same on
every device; a share is off by less than 1/65536.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from snnkit.data.binning import By, bin_index, frames_from_columns
from snnkit.errors import ParameterError, did_you_mean

Representation = Literal["binary", "counts", "voxel", "time_surface"]
REPRESENTATIONS: tuple[Representation, ...] = get_args(Representation)
SHARE_BITS = 16
TAU_US = 50_000


def choose(representation: Representation | None, binary: bool | None) -> Representation:
    """The representation that two settings name; `binary` is short for "binary" (true) or "counts" (false).

    Raises:
        ParameterError: an unknown name, or two settings that contradict each other.
    """
    if representation is None:
        return "counts" if binary is False else "binary"
    if representation not in REPRESENTATIONS:
        raise ParameterError(
            f"representation is {representation!r}{did_you_mean(str(representation), REPRESENTATIONS)}",
            fix="one of " + ", ".join(REPRESENTATIONS),
        )
    if binary is not None and binary != (representation == "binary"):
        raise ParameterError(
            f"binary is {binary} and representation is {representation!r}", fix="leave one of the two out"
        )
    return representation


def check_tau(tau_us: int) -> None:
    """Raise `ParameterError` for a time constant that is none."""
    if tau_us < 1:
        raise ParameterError(f"tau_us is {tau_us}", fix="give the time surface's time constant in µs, at least 1")


def cells_from_columns(
    t: NDArray[np.integer],
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    p: NDArray[np.integer],
    sensor_size: tuple[int, int],
    T: int,
    by: By = "time",
    representation: Representation = "counts",
    window_us: int | None = None,
    tau_us: int = TAU_US,
) -> NDArray[np.float32]:
    """Frames `[T, 2, H, W]` float32 of columns [N] that are known to lie on the sensor and in order of time."""
    if representation == "voxel":
        return voxel_grid(t, x, y, p, sensor_size, T, by, window_us)
    if representation == "time_surface":
        return time_surface(t, x, y, p, sensor_size, T, by, window_us, tau_us)
    return frames_from_columns(t, x, y, p, sensor_size, T, by, representation == "binary", window_us)


def _pixel(
    x: NDArray[np.integer], y: NDArray[np.integer], p: NDArray[np.integer], sensor_size: tuple[int, int]
) -> NDArray[np.int64]:
    """The place [N] of each event in one frame `[2, H, W]`."""
    width, height = sensor_size
    return (p.astype(np.int64) * height + y) * width + x


def voxel_grid(
    t: NDArray[np.integer],
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    p: NDArray[np.integer],
    sensor_size: tuple[int, int],
    T: int,
    by: By = "time",
    window_us: int | None = None,
) -> NDArray[np.float32]:
    """The voxel grid `[T, 2, H, W]`.

    by="time": t₀ = 0 and w = window_us, or t₀ and t₀ + w the first and the last event's time; events outside count as
    at the nearer end. by="count": an event's number in the recording stands for its time.
    """
    width, height = sensor_size
    n = len(t)
    if by == "count":
        place, span = np.arange(n, dtype=np.int64), n - 1
    elif window_us is not None:
        place, span = t.astype(np.int64), window_us
    else:
        place = t.astype(np.int64) - (int(t[0]) if n else 0)
        span = int(place[-1]) if n else 0
    span = max(span, 1)
    scaled = np.clip(place, 0, span) * (T - 1)
    first = scaled // span
    later = ((scaled - first * span) << SHARE_BITS) // span
    size = 2 * height * width
    cell = first * size + _pixel(x, y, p, sensor_size)
    shares = np.zeros((T + 1) * size, np.int64)  # the bin after the last one gets shares of 0 only
    np.add.at(shares, cell, (1 << SHARE_BITS) - later)
    np.add.at(shares, cell + size, later)
    grid = shares[: T * size].astype(np.float32) * np.float32(2.0**-SHARE_BITS)
    return grid.reshape(T, 2, height, width)


def time_surface(
    t: NDArray[np.integer],
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    p: NDArray[np.integer],
    sensor_size: tuple[int, int],
    T: int,
    by: By = "time",
    window_us: int | None = None,
    tau_us: int = TAU_US,
) -> NDArray[np.float32]:
    """The time surface `[T, 2, H, W]` at the ends of the bins; values 0 … 1.

    A bin of a fixed window ends where the next one starts; an event after the last end has the value 1. by="count": a
    bin ends with its last event.
    """
    width, height = sensor_size
    size = 2 * height * width
    time = t.astype(np.int64)
    bins = bin_index(t, T, by, window_us)
    last = np.full(T * size, -1, np.int64)
    last[bins * size + _pixel(x, y, p, sensor_size)] = time  # in order of time: the last event stays
    seen = np.maximum.accumulate(last.reshape(T, size), axis=0)
    k = np.arange(1, T + 1, dtype=np.int64)
    if by == "count":
        end = seen.max(1)
    elif window_us is not None:
        end = -(-k * window_us // T)
    else:
        first, span = (int(time[0]), int(time[-1]) - int(time[0]) + 1) if len(t) else (0, 1)
        end = first - (-k * span // T)
    age = np.maximum(end[:, None] - seen, 0).astype(np.float32)
    surface = np.where(seen >= 0, np.exp(-(age / np.float32(tau_us))), np.float32(0))
    return surface.reshape(T, 2, height, width)
