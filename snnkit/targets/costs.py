"""What the chips' `energy.py` files share: a published figure with its source, and how well it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Quality = Literal["measured", "simulated", "secondary", "assumed"]
"""measured: on silicon, by its makers; simulated: by them, before silicon; secondary: quoted or fitted by others;
assumed: nobody published it."""


@dataclass(frozen=True)
class Figure:
    """One cost: `value` in `unit`."""

    value: float
    unit: str
    source: str
    quality: Quality


def latency(low_ms: float, high_ms: float, quality: Quality, source: str) -> dict[str, Any]:
    """What a chip's `energy.latency` returns: from the first step of a sample to its answer, in milliseconds.

    Args:
        low_ms, high_ms: between these; equal where the time is fixed.
        quality, source: of the worst figure that it rests on.
    """
    return {"unit": "ms", "low": low_ms, "high": high_ms, "quality": quality, "source": source}
