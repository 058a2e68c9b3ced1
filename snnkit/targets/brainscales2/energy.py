"""Energy of a run: power of the whole chip times the time it runs. No figure per event was published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnkit.targets import costs
from snnkit.targets.brainscales2 import spec
from snnkit.targets.costs import Figure

_C22 = "Cramer et al. 2022, PNAS, doi:10.1073/pnas.2109194119 (abstract): below 200 mW, up to 85 000 frames/s"
FIGURES: dict[str, Figure] = {
    "chip_power": Figure(200.0, "mW", f"{_C22}; an upper bound", "measured"),
    "frame": Figure(2.4, "uJ", f"{_C22}; our division, pauses between frames included", "secondary"),
}
"""Power while running, and energy per frame of the published demonstration."""


def estimate(counters: Mapping[str, int], *, samples: int = 1) -> dict[str, Any]:
    """Energy of a run per sample: chip power * time of all its parts, an upper bound.

    The time is that of the samples on the chip; configuring it, and pauses between samples, are left out.

    Args:
        counters: totals of `EmulationResult.totals()`: chip_ns.
        samples: by which the totals are divided.
    """
    ns = counters.get("chip_ns", 0) / max(samples, 1)
    energy = ns * FIGURES["chip_power"].value * 1e-6  # ns * mW = pJ
    return {
        "unit": "uJ per sample",
        "brainscales2": {
            "low": energy,
            "high": energy,
            "parts": {"chip": [energy, energy]},
            "quality": "secondary",
            "source": _C22,
        },
        "not_included": "configuration between parts, pauses, FPGA, host; energy per event is unknown",
    }


def latency(counters: Mapping[str, int], *, samples: int = 1, ticks: int, cores: int) -> dict[str, Any]:
    """Time of a sample in ms on the chip: its steps, once for each part; writing a part's configuration is left out.

    Args:
        counters, samples: not needed. ticks: of a sample. cores: parts.
    """
    time_ms = ticks * max(cores, 1) * spec.STEP_PS * 1e-9
    return costs.latency(time_ms, time_ms, "assumed", "1 us per step; without the configuration of parts")


def memory_bytes(totals: Mapping[str, int]) -> int:
    """Synapses of all parts at 2 bytes (6-bit weight, 6-bit label), and entries of the FPGA at 4, from a descriptor's
    totals."""
    return 2 * totals["synapses"] + 4 * totals["fpga_entries"]
