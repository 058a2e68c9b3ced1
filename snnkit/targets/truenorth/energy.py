"""Energy of a run: two figures that bracket it, each with source and quality.

The published 26 pJ per synaptic event is the whole chip's power divided by its events at one operating point, static
power included; adding a static term counts it twice, and at low activity the figure understates. So the estimate also
gives the chip's power over the powered time, which holds at any activity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnkit.targets import costs
from snnkit.targets.costs import Figure
from snnkit.targets.truenorth import spec

_M14 = "Merolla et al. 2014, doi:10.1126/science.1254642 (quoted, full text not at hand): 46 GSOPS/W"
_A15 = "Akopyan et al. 2015, doi:10.1109/TCAD.2015.2474396: 65 mW for a chip of 4096 cores in real time"
_U = "Merolla et al. 2014: 70 mW typical"

FIGURES: dict[str, Figure] = {
    "synaptic_event": Figure(26.0, "pJ", _M14, "secondary"),
    "chip_low": Figure(65.0, "mW", _A15, "measured"),
    "chip_high": Figure(72.0, "mW", _U, "secondary"),
    "tick": Figure(1.0, "ms", _A15, "measured"),
}
"""Costs by event; there are no separate figures for a neuron update, a hop or a message: unknown, not zero."""


def estimate(counters: Mapping[str, int], *, samples: int = 1, chips: int = 1) -> dict[str, Any]:
    """Energy of a run per sample in microjoules.

    Args:
        counters: totals of `EmulationResult.totals()`: synaptic_events and ticks are used.
        samples: by which the totals are divided.
        chips: powered.
    """
    events = counters["synaptic_events"] / max(samples, 1) * FIGURES["synaptic_event"].value * 1e-6
    time_ms = counters["ticks"] / max(samples, 1) * FIGURES["tick"].value
    low, high = (FIGURES[f"chip_{end}"].value * time_ms * chips for end in ("low", "high"))
    return {
        "unit": "uJ per sample",
        "by_events": {
            "low": events, "high": events, "parts": {"synapses": [events, events]}, "quality": "secondary",
            "source": _M14,
        },
        "by_time": {
            "low": low, "high": high, "parts": {"chip": [low, high]}, "quality": "measured", "source": f"{_A15}; {_U}",
        },
        "unknown": "cost of a neuron update, a hop, a packet",
        "not_included": "host, board and links; both sets hold the static power, so they are not to be added",
    }  # fmt: skip


def latency(counters: Mapping[str, int], *, samples: int = 1, ticks: int, cores: int) -> dict[str, Any]:
    """Time of a sample in ms: one tick is 1 ms, whatever happens in it.

    Args:
        counters, samples, cores: not needed. ticks: of a sample, lag included.
    """
    time_ms = ticks * FIGURES["tick"].value
    return costs.latency(time_ms, time_ms, FIGURES["tick"].quality, FIGURES["tick"].source)


def memory_bytes(totals: Mapping[str, int]) -> int:
    """Core memory in bytes, from a descriptor's totals: 256 rows of 410 bits on every core that is used."""
    return totals["cores"] * spec.NEURONS_PER_CORE * spec.ROW_BITS // 8
