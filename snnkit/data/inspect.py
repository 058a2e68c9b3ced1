"""What is in a recording: the facts that `snnkit inspect FILE` prints. No torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from snnkit.data.files.atis import read_atis
from snnkit.errors import DataError


def describe_recording(path: str | os.PathLike[str], sensor_size: tuple[int, int] | None = None) -> dict[str, Any]:
    """Read a recording and state its size, duration, polarities and rates.

    Args:
        path: an ATIS `.bin` file.
        sensor_size: (width, height); None: N-MNIST's 34×34 where all events fit it, else the smallest that holds them.

    Returns:
        JSON values: file, format, bytes, sensor_size, events, on, off, t_first_us, t_last_us, duration_us,
        rate_per_s (events per second), active_pixels, mean_rate_per_pixel_hz, busiest_pixel.

    Raises:
        DataError: the file is missing, damaged or of a format that is not known.
    """
    file = Path(path)
    if file.suffix.lower() != ".bin":
        raise DataError(
            f"{file}: recordings with the ending {file.suffix or '(none)'!s} are not known",
            fix="known recordings: ATIS .bin (N-MNIST, N-Caltech101)",
        )
    stream = read_atis(file, sensor_size or (256, 240))
    if sensor_size is None:
        width = int(stream.x.max()) + 1 if len(stream) else 1
        height = int(stream.y.max()) + 1 if len(stream) else 1
        sensor_size = (34, 34) if max(width, height) <= 34 else (width, height)
    width, height = sensor_size
    pixel = np.bincount(stream.y.astype(np.int64) * width + stream.x, minlength=width * height)
    on = int(np.count_nonzero(stream.p))
    seconds = max(stream.duration_us, 1) / 1e6
    busiest = int(pixel.argmax())
    return {
        "file": str(file),
        "format": "ATIS .bin",
        "bytes": file.stat().st_size,
        "sensor_size": [width, height],
        "events": len(stream),
        "on": on,
        "off": len(stream) - on,
        "t_first_us": int(stream.t[0]) if len(stream) else 0,
        "t_last_us": int(stream.t[-1]) if len(stream) else 0,
        "duration_us": stream.duration_us,
        "rate_per_s": round(len(stream) / seconds, 3) if len(stream) else 0.0,
        "active_pixels": int(np.count_nonzero(pixel)),
        "mean_rate_per_pixel_hz": round(len(stream) / seconds / (width * height), 3) if len(stream) else 0.0,
        "busiest_pixel": {"x": busiest % width, "y": busiest // width, "events": int(pixel[busiest])},
    }
