"""Event streams to frames, losing no event.

A frame stack is `[T, 2, H, W]`; channel 0 counts OFF events, channel 1 ON events. For every stream the counts sum to
the number of events (tonic 1.7's `ToFrame` leaves the last event out). Bins are formed with integer arithmetic only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EventStream, check_columns
from snnkit.errors import DataError, ParameterError

if TYPE_CHECKING:
    from snnkit.data.representation import Representation

By = Literal["time", "count"]


def bin_index(t: NDArray[np.integer], T: int, by: By, window_us: int | None) -> NDArray[np.int64]:
    """The bin 0..T-1 of each event.

    - by="count": event i of N falls into bin ⌊i·T / N⌋, so bins hold equally many events (± 1).
    - by="time", a window of w µs: bin ⌊t·T / w⌋ counted from t = 0; earlier events go to the first bin, later ones to
      the last.
    - by="time", no window: the same with time from the first event and w = t_last − t_first + 1.
    """
    n = len(t)
    if by == "count":
        return np.arange(n, dtype=np.int64) * T // max(n, 1)
    if n == 0:
        return np.zeros(0, np.int64)
    time = t.astype(np.int64)
    if window_us is None:
        first = int(time[0])
        return (time - first) * T // (int(time[-1]) - first + 1)
    # t never falls, so each bin is a run of events: find its start instead of dividing every time.
    edges = np.searchsorted(time, -(-np.arange(1, T, dtype=np.int64) * window_us // T))
    return np.repeat(np.arange(T), np.diff(edges, prepend=0, append=n))


def to_cells(
    x: NDArray[np.integer], y: NDArray[np.integer], sensor_size: tuple[int, int], grid: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Columns [N] of pixels as cells of a coarser sensor: ⌊x · grid / width⌋, ⌊y · grid / height⌋."""
    width, height = sensor_size
    return x.astype(np.int64) * grid // width, y.astype(np.int64) * grid // height


def frames_from_columns(
    t: NDArray[np.integer],
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    p: NDArray[np.integer],
    sensor_size: tuple[int, int],
    T: int,
    by: By = "time",
    binary: bool = False,
    window_us: int | None = None,
) -> NDArray[np.float32]:
    """`to_frames` on columns [N] that are known to lie on the sensor and in order of time (not checked again)."""
    width, height = sensor_size
    cell = bin_index(t, T, by, window_us)
    cell *= 2
    cell += p
    cell *= height
    cell += y
    cell *= width
    cell += x
    counts = np.bincount(cell, minlength=T * 2 * height * width)
    cells = (counts > 0 if binary else counts).astype(np.float32)
    return cells.reshape(T, 2, height, width)


def check_bin_settings(T: int, by: str, window_us: int | None) -> None:
    """Raise `ParameterError` for settings that define no binning."""
    if T < 1:
        raise ParameterError(f"T is {T}", fix="T, the number of bins (steps), must be at least 1")
    if by not in ("time", "count"):
        raise ParameterError(f"by is {by!r}", fix="bin by 'time' or by 'count' (equal numbers of events)")
    if window_us is not None and window_us < 1:
        raise ParameterError(f"the window is {window_us} us", fix="give a positive time in microseconds, or None")


def to_frames(
    events: EventStream | NDArray[np.void],
    sensor_size: tuple[int, int] | None = None,
    T: int = 10,
    by: By = "time",
    binary: bool | None = None,
    duration_us: int | None = None,
    grid: int | None = None,
    representation: Representation | None = None,
    tau_us: int | None = None,
) -> NDArray[np.float32]:
    """Bin a stream into frames `[T, 2, H, W]`, float32; channel 0 = OFF, 1 = ON. No event is lost.

    A cell holds the number of its events, and the sum over all cells is the number of events; with `binary=True` it
    holds 1 where there was at least one; see `snnkit.data.representation` for voxel grids and time surfaces.

    Args:
        events: an `EventStream`, or a structured array [N] with fields t (µs), x, y, p.
        sensor_size: (width, height); taken from the stream if that is given.
        T: number of bins.
        by: "time" for bins of equal time, "count" for bins of equal event number.
        binary: whether cells are 0/1 instead of counts; short for representation "binary" or "counts".
        duration_us: by time only: a fixed window [0, duration_us) of the recording's clock, cut into T equal bins;
            events after it go to the last bin. None: from the recording's first to its last event.
        grid: count in grid × grid cells instead of pixels, `[T, 2, grid, grid]`; None: pixels.
        representation: "counts" (the default), "binary", "voxel" or "time_surface".
        tau_us: the time surface's time constant in µs; None: 50 000.

    Raises:
        DataError: an event outside the sensor, time that runs back, or no sensor size.
        ParameterError: T < 1, an unknown `by` or representation, or a window that is not positive.
    """
    # Imported here: the representations are defined over the bins of this module.
    from snnkit.data.representation import TAU_US, cells_from_columns, check_tau, choose

    check_bin_settings(T, by, duration_us)
    kind = choose(representation, False if representation is None and binary is None else binary)
    tau = TAU_US if tau_us is None else tau_us
    check_tau(tau)
    if isinstance(events, EventStream):
        size, array = events.sensor_size, events.events
        if sensor_size is not None and tuple(sensor_size) != size:
            raise DataError(
                f"{events.source}: recorded on a {size[0]}x{size[1]} sensor, not on {sensor_size[0]}x{sensor_size[1]}",
                fix="leave sensor_size out; resize or crop the events first if another size is wanted",
            )
    elif sensor_size is None:
        raise DataError("to_frames was given a plain array without sensor_size", fix="give sensor_size=(width, height)")
    else:
        size, array = (int(sensor_size[0]), int(sensor_size[1])), events
        check_columns(array["t"], array["x"], array["y"], array["p"], size)
    x, y = array["x"], array["y"]
    if grid is not None:
        if grid < 1:
            raise ParameterError(f"grid is {grid}", fix="give at least 1 cell, or None for pixels")
        (x, y), size = to_cells(x, y, size, grid), (grid, grid)
    return cells_from_columns(array["t"], x, y, array["p"], size, T, by, kind, duration_us, tau)
