"""What is in a recording: the facts that `snnkit inspect FILE` prints and draws. Bounded memory, no torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit.data import files
from snnkit.data.files.recording import CHUNK, Recording

RATE_BINS = 200
"""Points of the rate over time, at most; half as many at least, once a recording is that long."""
GAPS = 5
"""Longest pauses that are listed."""
HOT_FACTOR, HOT_EVENTS = 5, 20
"""A pixel is hot if it has so many times the events that 99 % of the active pixels stay below, and at least so many."""
HOT_LISTED = 10
LONGEST_SIDE = 480
"""Pixels per side of the frames that are kept for pictures; larger sensors are shown at half their size, and so on."""

Progress = Callable[[str, int, int], None]


class Seen(NamedTuple):
    """A recording looked at.

    Args:
        facts: JSON values; see `describe_recording`.
        pixels: events per pixel, int64 [H, W].
        frames: counts [F, 2, h, w] uint32 (0 OFF, 1 ON) over equal parts of the time; the smaller side may be scaled.
        rate: events per bin and polarity, int64 [2, K].
        bin_us: length of a bin of `rate`, in µs.
        scale: sensor pixels per side of a pixel of `frames`.
    """

    facts: dict[str, Any]
    pixels: NDArray[np.int64]
    frames: NDArray[np.uint32]
    rate: NDArray[np.int64]
    bin_us: int
    scale: int


def describe_recording(
    path: str | os.PathLike[str], sensor_size: tuple[int, int] | None = None, format: str | None = None
) -> dict[str, Any]:
    """Read a recording of any known format and state its size, duration, polarities, rates, hot pixels and pauses.

    Args:
        path: the file.
        sensor_size: (width, height); None: what the file states, else the smallest that holds all events.
        format: the format's name; None: recognised.

    Returns:
        JSON values: file, bytes, format, sensor [width, height], events, t_first, t_last (µs), x_range, y_range, on,
        off, monotonic (time never runs back), decoded_sha256 (SHA-256 over int64 little-endian t, x, y and p, one
        after the other); duration_us, rate_per_s, peak_rate_per_s, active_pixels, mean_rate_per_pixel_hz,
        busiest_pixel, hot_pixels, gaps, steps_back, notes.

    Raises:
        DataError: the file is missing, damaged, empty or of a format that is not known.
    """
    return look(files.open_recording(path, sensor_size=sensor_size, format=format)).facts


def look(recording: Recording, *, frames: int = 0, partial: bool = False, progress: Progress | None = None) -> Seen:
    """Everything that is shown of a recording, in a few passes over the file.

    Args:
        recording: what to look at.
        frames: how many frames to count, over equal parts of the time; 0 for none.
        partial: of a damaged file, look at what comes before the damage.
        progress: called with (stage, done, of).

    Raises:
        DataError: as in `describe_recording`.
    """

    def chunks(turn: int) -> Iterator[NDArray[np.void]]:
        for events in recording.chunks(CHUNK, order="keep", partial=partial):
            yield events
            if progress:
                progress("reading", turn * recording.bytes + recording.bytes_read, 4 * recording.bytes)
        if progress:
            progress("reading", (turn + 1) * recording.bytes, 4 * recording.bytes)

    digest = hashlib.sha256()
    pixels, rate, gaps = _Pixels(), _Rate(), _Gaps()
    first: int | None = None
    for events in chunks(0):
        first = int(events["t"][0]) if first is None else first
        digest.update(events["t"].astype("<i8").tobytes())
        pixels.add(events)
        rate.add(events)
        gaps.add(events)
    scan, size = recording.scan, recording.sensor_size
    assert size is not None
    notes = recording.notes
    width, height = size
    scale = -(-max(width, height) // LONGEST_SIDE)
    counts = np.zeros((frames, 2, -(-height // scale), -(-width // scale)), np.uint32)
    start, end = scan.t_range
    for turn, column in enumerate("xyp", 1):  # the digest takes one column after the other, and nothing is kept
        for events in chunks(turn):
            digest.update(events[column].astype("<i8").tobytes())
            if frames and column == "x":
                k = np.minimum((events["t"] - start) * frames // max(end - start + 1, 1), frames - 1)
                row = (k * 2 + events["p"]) * counts.shape[2] + events["y"] // scale
                np.add.at(counts.reshape(-1), row * counts.shape[3] + events["x"] // scale, np.uint32(1))
    total = pixels.table(width, height)
    per_bin, bin_us = rate.result()
    seconds = max(end - start, 1) / 1e6
    busiest = int(total.argmax())
    assert first is not None
    facts = {
        "file": str(recording.path),
        "bytes": recording.bytes,
        "format": recording.label,
        "sensor": [width, height],
        "events": scan.events,
        "t_first": first,
        "t_last": scan.last,
        "x_range": list(scan.x_range),
        "y_range": list(scan.y_range),
        "on": scan.on,
        "off": scan.events - scan.on,
        "monotonic": scan.steps_back == 0,
        "decoded_sha256": digest.hexdigest(),
        "duration_us": end - start,
        "rate_per_s": round(scan.events / seconds, 3),
        "peak_rate_per_s": round(int(per_bin.sum(0).max()) / bin_us * 1e6, 3),
        "active_pixels": int(np.count_nonzero(total)),
        "mean_rate_per_pixel_hz": round(scan.events / seconds / (width * height), 3),
        "busiest_pixel": {"x": busiest % width, "y": busiest // width, "events": int(total.max())},
        "hot_pixels": _hot(total),
        "gaps": gaps.longest(),
        "steps_back": scan.steps_back,
        "notes": notes,
    }
    return Seen(facts, total, counts, per_bin, bin_us, scale)


class _Pixels:
    """Events per pixel, of a sensor that grows as needed."""

    def __init__(self) -> None:
        self._counts = np.zeros((1, 1), np.int64)

    def add(self, events: NDArray[np.void]) -> None:
        height, width = self._counts.shape
        needed = max(height, int(events["y"].max()) + 1), max(width, int(events["x"].max()) + 1)
        if needed != (height, width):
            self._counts = np.pad(self._counts, ((0, needed[0] - height), (0, needed[1] - width)))
        flat = events["y"].astype(np.int64) * needed[1] + events["x"]
        self._counts += np.bincount(flat, minlength=needed[0] * needed[1]).reshape(needed)

    def table(self, width: int, height: int) -> NDArray[np.int64]:
        rows, columns = self._counts.shape
        return np.pad(self._counts, ((0, max(height - rows, 0)), (0, max(width - columns, 0))))


class _Rate:
    """Events per bin of time and polarity; the bins double in length whenever there are too many."""

    def __init__(self) -> None:
        self.bin_us = 1000
        self._first = 0
        self._counts = np.zeros((2, 0), np.int64)

    def add(self, events: NDArray[np.void]) -> None:
        t = events["t"]
        low, high = int(t.min()), int(t.max())
        if not self._counts.size:
            self._first = low // self.bin_us
        while True:
            first = min(self._first, low // self.bin_us)
            bins = max(self._first + self._counts.shape[1], high // self.bin_us + 1) - first
            if bins <= RATE_BINS:
                break
            self._double()
        grown = np.zeros((2, bins), np.int64)
        grown[:, self._first - first : self._first - first + self._counts.shape[1]] = self._counts
        self._first = first
        flat = events["p"].astype(np.int64) * bins + (t // self.bin_us - first)
        self._counts = grown + np.bincount(flat, minlength=2 * bins).reshape(2, bins)

    def _double(self) -> None:
        odd = self._first & 1
        counts = np.pad(self._counts, ((0, 0), (odd, (odd + self._counts.shape[1]) & 1)))
        self._counts = counts[:, 0::2] + counts[:, 1::2]
        self._first >>= 1
        self.bin_us *= 2

    def result(self) -> tuple[NDArray[np.int64], int]:
        return self._counts, self.bin_us


class _Gaps:
    """The longest pauses between one event and the next."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._found: list[tuple[int, int]] = []

    def add(self, events: NDArray[np.void]) -> None:
        t = events["t"]
        step = np.diff(t, prepend=t[0] if self._last is None else self._last)
        top = np.argsort(-step, kind="stable")[:GAPS]
        self._found += [(int(step[i]), int(t[i]) - int(step[i])) for i in top if step[i] > 0]
        self._found = sorted(self._found, key=lambda g: (-g[0], g[1]))[:GAPS]
        self._last = int(t[-1])

    def longest(self) -> list[dict[str, int]]:
        return [{"from_us": start, "us": length} for length, start in self._found]


def _hot(total: NDArray[np.int64]) -> list[dict[str, int]]:
    active = total[total > 0]
    limit = max(HOT_EVENTS, HOT_FACTOR * float(np.quantile(active, 0.99)))
    ys, xs = np.nonzero(total > limit)
    order = np.argsort(-total[ys, xs], kind="stable")[:HOT_LISTED]
    return [{"x": int(xs[i]), "y": int(ys[i]), "events": int(total[ys[i], xs[i]])} for i in order]
