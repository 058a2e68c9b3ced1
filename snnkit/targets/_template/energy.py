"""Energy per event, each figure with source and quality, and an estimate from the emulator's counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnkit.targets import costs
from snnkit.targets._template import spec
from snnkit.targets.costs import Figure

_OURS = "invented for this example"
FIGURES: dict[str, Figure] = {
    "axon_reads": Figure(100.0, "pJ", _OURS, "assumed"),
    "neuron_updates": Figure(10.0, "pJ", _OURS, "assumed"),
    "core_packets": Figure(20.0, "pJ", _OURS, "assumed"),
}
"""Cost of each of the emulator's counters that costs energy."""


def estimate(counters: Mapping[str, int], *, samples: int = 1) -> dict[str, Any]:
    """Dynamic energy of a run per sample: sum over events of number * figure.

    Args:
        counters: totals of `EmulationResult.totals()`.
        samples: by which the totals are divided.
    """
    parts = {name: counters[name] * f.value * 1e-6 / max(samples, 1) for name, f in FIGURES.items()}
    return {
        "unit": "uJ per sample, dynamic",
        "toy": {"low": sum(parts.values()), "high": sum(parts.values()), "parts": parts, "quality": "assumed",
                "source": _OURS},
        "not_included": "static power, host",
    }  # fmt: skip


def latency(counters: Mapping[str, int], *, samples: int = 1, ticks: int, cores: int) -> dict[str, Any]:
    """Time of a sample in ms, from its first step to its answer: 1 ms a tick.

    Args:
        counters, samples: as in `estimate`. ticks: of a sample, lag included. cores: that share the work.
    """
    return costs.latency(ticks * 1.0, ticks * 1.0, "assumed", _OURS)


def memory_bytes(totals: Mapping[str, int]) -> int:
    """Synapse memory in bytes, from a descriptor's totals."""
    return totals["cores"] * spec.AXONS_PER_CORE * spec.NEURONS_PER_CORE * spec.WEIGHT_BITS // 8
