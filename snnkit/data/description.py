"""How samples became a network's input, read back from a run's record or a descriptor's provenance."""

from __future__ import annotations

from typing import Any

from snnkit.data.frame_settings import FrameSettings
from snnkit.errors import ParameterError, UsageError


def read_description(data: Any, where: str = "the descriptor") -> tuple[dict[str, Any], FrameSettings]:
    """What `FrameDataModule.describe` gave, and the settings of its frames.

    Args:
        data: the description, or what stands in its place.
        where: whose it is, for the message.

    Raises:
        UsageError: it does not say how events are binned, or in a way that is not known.
    """
    frames = data.get("frames") if isinstance(data, dict) else None
    known: dict[str, Any] = {"T": int, "by": str, "binary": bool, "window_us": int | None}
    if isinstance(frames, dict) and frames.get("grid") is not None:
        known["grid"] = int
    if isinstance(frames, dict) and frames.get("encoding") is not None:
        known |= {"encoding": dict, "full_count": int, "seed": int}
    size = data.get("sensor_size") if isinstance(data, dict) else None
    if (
        not isinstance(data, dict)
        or not isinstance(frames, dict)
        or not all(k in frames and isinstance(frames[k], kind) for k, kind in known.items())
        or not (isinstance(size, list) and len(size) == 2 and all(isinstance(s, int) for s in size))
    ):
        raise UsageError(f"{where} does not say how events are binned", fix="use `snnkit verify` for its own vectors")
    try:
        return data, FrameSettings.from_description(frames)
    except ParameterError as error:
        raise UsageError(
            f"the frames of {where} cannot be made: {error.what}", fix="use `snnkit verify` for its own vectors"
        ) from error
