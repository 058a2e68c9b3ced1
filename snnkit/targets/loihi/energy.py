"""Energy per event, each figure with source and quality, and an estimate from the emulator's counters.

Two sets of figures exist that do not agree; they are kept apart, and each estimate names its set. Neither was measured
on the network at hand, and static power is left out of the dynamic figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnkit.targets import costs
from snnkit.targets.costs import Figure

_D18 = "Davies et al. 2018, doi:10.1109/MM.2018.112130359, table 2 (0.75 V, pre-silicon simulation)"
_SF = "SANA-FE arch/loihi.yaml, revision 8951ab0 (a separately fitted set)"
_F20 = "Frady et al. 2020, 3.34 W for 32 chips"

FIGURES: dict[str, dict[str, Figure]] = {
    "davies2018": {
        "synaptic_event": Figure(23.6, "pJ", _D18, "simulated"),
        "neuron_update_inactive": Figure(52.0, "pJ", _D18, "simulated"),
        "neuron_update_active": Figure(81.0, "pJ", _D18, "simulated"),
        "spike_within_tile": Figure(1.7, "pJ", _D18, "simulated"),
        "hop_east_west": Figure(3.0, "pJ", _D18, "simulated"),
        "hop_north_south": Figure(4.0, "pJ", _D18, "simulated"),
    },
    "sana_fe": {
        "synaptic_event": Figure(35.5, "pJ", _SF, "secondary"),
        "neuron_access": Figure(51.2, "pJ", _SF, "secondary"),
        "neuron_update": Figure(21.6, "pJ", _SF, "secondary"),
        "spike": Figure(69.3, "pJ", _SF, "secondary"),
        "message_out": Figure(111.0, "pJ", _SF, "secondary"),
        "hop_east_west": Figure(3.0, "pJ", _SF, "secondary"),
        "hop_north_south": Figure(4.2, "pJ", _SF, "secondary"),
    },
    "time": {
        "synaptic_event": Figure(3.5, "ns", _D18, "simulated"),
        "neuron_update_inactive": Figure(5.3, "ns", _D18, "simulated"),
        "neuron_update_active": Figure(8.4, "ns", _D18, "simulated"),
        "barrier_low": Figure(0.6, "us", _SF, "secondary"),
        "barrier_high": Figure(1.8, "us", _SF, "secondary"),
    },
    "static": {"chip": Figure(104.0, "mW", _F20, "secondary")},
}
"""Costs by set and event."""

TILES = (8, 4)
"""Columns and rows of tiles (SANA-FE; Davies et al. only imply 32 tiles): bounds the hops of a packet."""


def estimate(counters: Mapping[str, int], *, samples: int = 1) -> dict[str, Any]:
    """Dynamic energy of a run, per sample in microjoules, as a range for each set of figures.

    The range covers what the counters do not tell: for `davies2018` whether an updated neuron was active and how far a
    packet travelled; for `sana_fe` the distance only. The synaptic figure of `davies2018` is itself a lower bound.

    Args:
        counters: totals of `EmulationResult.totals()`: spikes, synaptic_events, neuron_updates, core_packets.
        samples: by which the totals are divided.
    """
    per = {name: counters[name] / max(samples, 1) for name in _USED}
    d, s = FIGURES["davies2018"], FIGURES["sana_fe"]
    packets = per["core_packets"]
    far = (TILES[0] - 1, TILES[1] - 1)

    def hops(f: dict[str, Figure]) -> float:
        return far[0] * f["hop_east_west"].value + far[1] * f["hop_north_south"].value

    davies = _range(
        synapses=(per["synaptic_events"] * d["synaptic_event"].value,) * 2,
        neurons=(
            per["neuron_updates"] * d["neuron_update_inactive"].value,
            per["neuron_updates"] * d["neuron_update_active"].value,
        ),
        spikes=(
            packets * d["spike_within_tile"].value,
            packets * (d["spike_within_tile"].value + hops(d)),
        ),
    )
    neuron = per["neuron_updates"] * (s["neuron_access"].value + s["neuron_update"].value)
    neuron += per["spikes"] * s["spike"].value
    sana = _range(
        synapses=(per["synaptic_events"] * s["synaptic_event"].value,) * 2,
        neurons=(neuron, neuron),
        spikes=(packets * s["message_out"].value, packets * (s["message_out"].value + hops(s))),
    )
    return {
        "unit": "uJ per sample, dynamic",
        "davies2018": {**davies, "quality": "simulated", "source": _D18},
        "sana_fe": {**sana, "quality": "secondary", "source": _SF},
        "not_included": "static power, host, input spikes over the chip's edge, barrier synchronisation",
    }


def latency(counters: Mapping[str, int], *, samples: int = 1, ticks: int, cores: int) -> dict[str, Any]:
    """Time of a sample in ms: T = sum over ticks of (the busiest core's work + barrier).

    The counters do not say how the work lies on the cores: the low end spreads it evenly, the high end does it one
    after another on a single core.

    Args:
        counters, samples: as in `estimate`. ticks: of a sample, lag included. cores: that share the work.
    """
    f, n = FIGURES["time"], max(samples, 1)
    events, updates = counters["synaptic_events"] / n, counters["neuron_updates"] / n
    low = (events * f["synaptic_event"].value + updates * f["neuron_update_inactive"].value) * 1e-6 / max(cores, 1)
    high = (events * f["synaptic_event"].value + updates * f["neuron_update_active"].value) * 1e-6
    low, high = low + ticks * f["barrier_low"].value * 1e-3, high + ticks * f["barrier_high"].value * 1e-3
    return costs.latency(low, high, "secondary", f"{_D18}; barrier: {_SF}")


def memory_bytes(totals: Mapping[str, int]) -> int:
    """Synapse memory in bytes, from a descriptor's totals."""
    return -(-totals["synapse_bits"] // 8)


_USED = ("spikes", "synaptic_events", "neuron_updates", "core_packets")


def _range(**parts: tuple[float, float]) -> dict[str, Any]:
    low, high = (sum(p[i] for p in parts.values()) * 1e-6 for i in (0, 1))
    return {"low": low, "high": high, "parts": {k: [a * 1e-6, b * 1e-6] for k, (a, b) in parts.items()}}
