"""Small networks in quantised form, and the descriptor that the chip would get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnkit.descriptor import Descriptor
from snnkit.emulator import Emulator
from snnkit.emulator.chip import Stimulus
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import BrainScales2Neuron
from snnkit.graph.synapses import Dense, IntegerFormat
from snnkit.targets.brainscales2 import TARGET
from snnkit.targets.brainscales2.registers import nearest_refractory
from snnkit.targets.manifest import build_manifest

Array = np.ndarray[Any, Any]


def neuron(n: int, **changes: Any) -> BrainScales2Neuron:
    """tau_mem 10 us, tau_syn 5 us, rest and reset 90, threshold 170 codes, gain 1; changes in us and codes."""
    values: dict[str, Any] = {
        "tau_mem": 10.0, "tau_syn_e": 5.0, "tau_syn_i": 5.0, "v_leak": 90.0, "v_reset": 90.0, "v_thresh": 170.0,
        "gain": 1.0, "t_hold": 0.5,
    }  # fmt: skip
    fires = changes.pop("fires", True)
    values |= changes
    values["t_hold"] = nearest_refractory(values["t_hold"] * 1e6) * 1e-6
    full = {k: np.broadcast_to(np.rint(np.asarray(x) * 1e6).astype(np.int64), (n,)).copy() for k, x in values.items()}
    return BrainScales2Neuron(**full, fires=fires)


def layer(weight: Any, name: str = "out", steps: int = 10, **changes: Any) -> Graph:
    """Lines `in` to neurons through integer weights [n, lines]."""
    w = np.asarray(weight, np.int32)
    cell = neuron(len(w), **changes)
    rule = "count" if cell.fires else "last"
    return Graph(
        name, (Input("in", (w.shape[1],)),), (Population("out", (len(w),), cell),),
        (Connection("w", "in", "out", Dense(w), 0, IntegerFormat(7)),), Readout("out", rule), steps=steps,
        timeline="chip",
    )  # fmt: skip


def chain(weights: list[Array], steps: int = 12, loop: Array | None = None, **changes: Any) -> Graph:
    """Layers one after the other, and weights from the first one back to itself."""
    populations, connections, before = [], [], "in"
    for k, w in enumerate(weights):
        populations.append(Population(f"h{k}", (len(w),), neuron(len(w), **changes)))
        connections.append(Connection(f"w{k}", before, f"h{k}", Dense(np.asarray(w, np.int32)), 0, IntegerFormat(7)))
        before = f"h{k}"
    if loop is not None:
        connections.append(Connection("loop", "h0", "h0", Dense(np.asarray(loop, np.int32)), 0, IntegerFormat(7)))
    return Graph(
        "chain", (Input("in", (weights[0].shape[1],)),), tuple(populations), tuple(connections),
        Readout(before, "count"), steps=steps, timeline="chip",
    )  # fmt: skip


def open_graph(graph: Graph, **options: Any) -> Emulator:
    """The emulator of a quantised graph."""
    lowered = TARGET.lower(graph, TARGET.part("lower").LowerOptions(**options))
    assert lowered.ok, [str(f) for f in lowered.findings]
    return Emulator(Descriptor(build_manifest(TARGET, graph, lowered), lowered.arrays))


def stimulus(raster: Array, ticks: int | None = None, record: Array | None = None) -> Stimulus:
    """A raster [T, B, L] without gates."""
    none = np.zeros(0, np.int64)
    return Stimulus(
        np.asarray(raster, np.uint8), 1, none, none, len(raster) if ticks is None else ticks, None,
        none if record is None else record,
    )  # fmt: skip


def times(emulator: Emulator, raster: Array, **options: Any) -> list[dict[int, list[float]]]:
    """Spike times in us by global neuron, for each sample."""
    found = []
    for when, who in emulator.chip.spike_times(stimulus(raster), **options):  # type: ignore[attr-defined]
        each: dict[int, list[float]] = {}
        for t, n in zip(when.tolist(), who.tolist()):
            each.setdefault(n, []).append(t)
        found.append(each)
    return found


def counts(spikes: Mapping[str, Array]) -> int:
    """All spikes."""
    return sum(int(s.sum()) for s in spikes.values())
