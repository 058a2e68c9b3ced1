"""Energy of a run, each figure with source and quality, from the emulator's counters.

The stack has no figure per neuron or synapse: energy = idle chips + active cores + packets. One step is 1 ms here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnkit.targets import costs
from snnkit.targets.costs import Figure

_MACHINE = "SpiNNMachine 7.4.1 version/version_spin1.py, version_5.py"
_S13 = "Stromatias et al., IJCNN 2013 (abstract): 1.8e9 synaptic events/s on 48 chips below 1 W per chip"
_R18 = "Rhodes et al. 2018, doi:10.3389/fnins.2018.00816: 10,000 synaptic events per ms and core"

FIGURES: dict[str, Figure] = {
    "packet": Figure(1.0, "nJ", f"{_MACHINE}: 25 pJ per router bit, 40 bits", "secondary"),
    "chip_idle": Figure(350.0, "mW", _MACHINE, "secondary"),
    "core_active": Figure(34.0, "mW", _MACHINE, "secondary"),
    "synaptic_event_all_in": Figure(27.0, "nJ", f"{_S13}; our division, an upper bound", "secondary"),
    "step": Figure(1.0, "ms", "sPyNNaker 7.4.1: the default time step, without slow-down", "assumed"),
    "core_time_per_event": Figure(100.0, "ns", f"{_R18}; our division", "assumed"),
    "core_time_per_update": Figure(1000.0, "ns", "assumption: about 200 cycles of 5 ns per neuron and step", "assumed"),
}
"""Costs by event."""


def estimate(counters: Mapping[str, int], *, samples: int = 1) -> dict[str, Any]:
    """Dynamic energy of a run per sample in microjoules: packets, and cores for the time they compute.

    The lower end counts packets and computing cores; the upper end is the published all-in bound per synaptic event.
    Idle power is left out: it depends on the board and the length of the run.

    Args:
        counters: totals of `EmulationResult.totals()`: synaptic_events, neuron_updates, host_packets, core_packets.
        samples: by which the totals are divided.
    """
    per = {name: counters[name] / max(samples, 1) for name in _USED}
    packets = (per["host_packets"] + per["core_packets"]) * FIGURES["packet"].value * 1e-3
    busy = per["synaptic_events"] * FIGURES["core_time_per_event"].value
    busy += per["neuron_updates"] * FIGURES["core_time_per_update"].value
    cores = busy * FIGURES["core_active"].value * 1e-6  # ns * mW = pJ
    bound = per["synaptic_events"] * FIGURES["synaptic_event_all_in"].value * 1e-3
    low = packets + cores
    return {
        "unit": "uJ per sample, dynamic",
        "spinnaker": {
            "low": low,
            "high": max(low, bound),
            "parts": {"packets": [packets, packets], "cores": [cores, cores], "all_in_bound": [bound, bound]},
            "quality": "assumed",
            "source": f"{_MACHINE}; {_S13}; {_R18}",
        },
        "not_included": "0.35 W of every idle chip, board, host; 34 mW of cores that wait",
    }


def latency(counters: Mapping[str, int], *, samples: int = 1, ticks: int, cores: int) -> dict[str, Any]:
    """Time of a sample in ms: one step is 1 ms of wall-clock time, as long as every core keeps up (see `check`).

    Args:
        counters, samples, cores: not needed. ticks: of a sample, lag included.
    """
    time_ms = ticks * FIGURES["step"].value
    return costs.latency(time_ms, time_ms, FIGURES["step"].quality, FIGURES["step"].source)


def memory_bytes(totals: Mapping[str, int]) -> int:
    """SDRAM in bytes, from a descriptor's totals."""
    return totals["sdram_bytes"]


_USED = ("synaptic_events", "neuron_updates", "host_packets", "core_packets")
