"""Placed network -> configurations of the chip, one per part: synapses, drivers, crossbar, neurons, FPGA tables.

Deterministic: equal graphs give equal bytes. Never raises for a network that does not fit: findings say why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Graph
from snnkit.graph.neurons import BrainScales2Neuron
from snnkit.targets import lowered
from snnkit.targets.brainscales2 import digital, rules, schema, spec
from snnkit.targets.brainscales2.allocate import INSIDE, JOINED, OUTSIDE, QUARTERS, Item
from snnkit.targets.brainscales2.collisions import label_collisions
from snnkit.targets.brainscales2.plan import PartPlan, Plan, plan
from snnkit.targets.brainscales2.registers import refractory_register
from snnkit.targets.brainscales2.schema import PLACEMENT, BrainScales2Section

Array = np.ndarray[Any, Any]

LIMITS = {
    "neurons": spec.NEURONS,
    "drivers": spec.HALVES * spec.DRIVERS,
    "synapses": spec.HALVES * spec.ROWS * spec.COLUMNS,
    "fpga_entries": spec.FPGA_INPUT_ENTRIES,
}
"""What a run of the chip has; `neurons` are circuits."""
_DROP = (0, 1)
_ALL = (0, 0)
BUS_SHIFT = 11
"""Bits of a link's label above those that a bus carries name the bus."""


@dataclass(frozen=True)
class LowerOptions:
    """How to lower.

    Attributes:
        parts: at most so many runs of the chip; None for any number.
    """

    parts: int | None = None


@dataclass(frozen=True, eq=False)
class Lowered(lowered.Lowered[BrainScales2Section]):
    """Memory images with what they cost; a core is a part."""

    def resources(self) -> dict[str, Any]:
        """Totals, and per part beside what a run of the chip has."""
        return {**super().resources(), "limits": dict(LIMITS)}


def lower(
    graph: Graph, options: LowerOptions | None = None, *, progress: Callable[[str], None] | None = None
) -> Lowered:
    """Place a quantised graph and write the chip's configurations.

    Args:
        options: see `LowerOptions`.
        progress: called with what is being done.
    """
    findings = rules.check(graph, resources=False)
    findings += [
        Finding("NEURON", p.name, f"{type(p.neuron).__name__} is not quantised", remedy="quantise the graph")
        for p in graph.populations
        if not isinstance(p.neuron, BrainScales2Neuron)
    ]
    nothing = BrainScales2Section(parts=0)
    if has_errors(findings):
        return Lowered({}, nothing, tuple(findings))
    if progress is not None:
        progress("cutting into parts")
    planned = plan(graph, parts=(options or LowerOptions()).parts)
    findings += planned.findings
    if has_errors(findings):
        return Lowered({}, nothing, tuple(findings))
    arrays = _images(graph, planned)
    findings += label_collisions(arrays)
    step = graph.populations[0].neuron.step if graph.populations else spec.STEP_PS  # type: ignore[union-attr]
    costs = tuple(_cost(k, part, arrays) for k, part in enumerate(planned.parts))
    if len(planned.parts) > 1:
        findings.append(
            Finding("PARTS", graph.name, f"runs in {len(planned.parts)} parts, one after the other; spikes between "
                    "them are recorded and replayed with their time stamps", "note")
        )  # fmt: skip
    section = BrainScales2Section(parts=len(planned.parts), step_ps=step)
    return Lowered(arrays, section, tuple(findings), costs)


def _cost(k: int, part: PartPlan, arrays: dict[str, Array]) -> dict[str, Any]:
    circuits = sum(len(i.neurons) * i.columns * (2 if i.mode == JOINED else 1) for i in part.items)
    entries = int(np.sum(arrays["host_input"][:, 0] == k)) + int(np.sum(arrays["replay"][:, 3] == k))
    usage = {
        "neurons": circuits,
        "drivers": int(np.count_nonzero(part.allocation.kind)),
        "synapses": int(np.count_nonzero(arrays["synapse_weight"][k])),
        "fpga_entries": entries,
    }
    return {"core": k, "chip": 0, "layer": ", ".join(dict.fromkeys(i.layer for i in part.items)), "usage": usage}


def _images(graph: Graph, planned: Plan) -> dict[str, Array]:
    n = len(planned.parts)
    square = (n, spec.HALVES, spec.ROWS, spec.COLUMNS)
    arrays: dict[str, Array] = {
        "synapse_weight": np.zeros(square, np.uint8),
        "synapse_label": np.zeros(square, np.uint8),
        "driver": np.zeros((n, spec.HALVES, spec.DRIVERS, len(digital.DRIVER_COLUMNS)), np.uint8),
        "crossbar": np.zeros((n, spec.CROSSBAR_NODES, 2), np.int32),
        "neuron": np.zeros((n, spec.NEURONS, len(schema.NEURON_COLUMNS)), np.int32),
        "target": np.zeros((n, spec.NEURONS, len(schema.TARGET_COLUMNS)), np.int64),
    }
    placement = {p.name: np.full((p.n, 2), -1, np.int32) for p in graph.populations}
    ports = {i.name: k for k, i in enumerate(graph.inputs)}
    sent: list[Array] = [np.zeros((0, len(schema.HOST_COLUMNS)), np.int64)]
    again: list[Array] = [np.zeros((0, len(schema.REPLAY_COLUMNS)), np.int64)]
    for k, part in enumerate(planned.parts):
        for j, item in enumerate(part.items):
            _neurons(graph, k, part, j, arrays, placement)
            _synapses(k, part, item, planned, arrays)
        kind = part.allocation.kind
        arrays["driver"][k][kind > 0] = (1, spec.ROW_EXCITATORY, spec.ROW_INHIBITORY, spec.ROW_SELECT_MASK)
        arrays["driver"][k][kind == INSIDE, 3] = QUARTERS - 1
        arrays["crossbar"][k] = _crossbar(part)
        for (half, source), (driver, offset) in sorted(part.allocation.slots.items()):
            if source in part.allocation.inside:
                continue
            label = outside_label(half, driver, offset)
            node, index, delay = planned.sources.find(source)
            if node in ports:
                sent.append(np.array([[k, ports[node], index, delay, label]]))
            else:
                earlier, circuit = (int(x) for x in placement[node][index])
                output = circuit % spec.COLUMNS // spec.OUTPUT_COLUMNS
                free = int(arrays["neuron"][earlier, circuit, 2])
                recorded = (output << spec.NEURON_FREE_BITS) | free
                again.append(np.array([[earlier, output % spec.LINKS, recorded, k, label]]))
    return {
        **arrays,
        "host_input": np.ascontiguousarray(np.concatenate(sent)).astype(np.int32),
        "replay": np.ascontiguousarray(np.concatenate(again)).astype(np.int32),
        **{PLACEMENT + name: table for name, table in placement.items()},
    }


def outside_label(half: int, driver: int, offset: int) -> int:
    """The 16-bit label with which the FPGA reaches a driver: link, bus, row select, synapse label."""
    bus, index = driver % spec.BUSES, driver // spec.BUSES
    label = ((half * spec.BUSES + bus) << BUS_SHIFT) | (index << spec.ROW_SELECT_SHIFT) | offset
    return (bus << spec.LINK_SHIFT) | label


def _neurons(
    graph: Graph, k: int, part: PartPlan, j: int, arrays: dict[str, Array], placement: dict[str, Array]
) -> None:
    item, allocation = part.items[j], part.allocation
    neuron = graph.node(item.layer).neuron  # type: ignore[union-attr]
    assert isinstance(neuron, BrainScales2Neuron)
    base = allocation.base[j]
    circuit = base + (spec.COLUMNS if item.mode == 1 else 0)
    table = arrays["neuron"][k]
    address = [allocation.address[j, i] for i in range(len(base))]
    table[circuit, 0 if neuron.fires else 1] = 1
    table[circuit, 2] = [(quarter << spec.ROW_SELECT_SHIFT) | label for quarter, label in address]
    table[circuit, 3:5] = [refractory_register(int(t)) for t in neuron.t_hold[item.neurons]]
    if item.mode == JOINED:
        for offset in range(item.columns):
            table[base + offset, 6] = 1
            if offset:
                table[base + offset - 1, 7] = 1
    values = [getattr(neuron, name)[item.neurons] for name in schema.TARGET_COLUMNS]
    arrays["target"][k][circuit] = np.stack(values, 1)
    placement[item.layer][item.neurons] = np.stack([np.full(len(base), k), circuit], 1)


def _synapses(k: int, part: PartPlan, item: Item, planned: Plan, arrays: dict[str, Array]) -> None:
    j = part.items.index(item)
    allocation = part.allocation
    m = planned.sources.matrices[item.layer][item.neurons].tocoo()
    if not m.nnz:
        return
    slots = [allocation.slot(item, int(s)) for s in item.sources]
    inside = [int(s) in allocation.inside for s in item.sources]
    label = [_own_label(part, planned, int(s)) if own else slot[2]
             for s, own, slot in zip(item.sources, inside, slots)]  # fmt: skip
    at = np.searchsorted(item.sources, m.col)
    half, driver, offset = np.array(slots, np.int64)[at].T
    row = 2 * driver + (m.data < 0)
    column = allocation.base[j][m.row] + offset
    arrays["synapse_weight"][k, half, row, column] = np.abs(m.data)
    arrays["synapse_label"][k, half, row, column] = np.array(label)[at]


def _own_label(part: PartPlan, planned: Plan, source: int) -> int:
    node, index, _ = planned.sources.find(source)
    for j, item in enumerate(part.items):
        if item.layer == node:
            at = np.flatnonzero(item.neurons == index)
            if len(at):
                return part.allocation.address[j, int(at[0])][1]
    raise KeyError(source)


def _crossbar(part: PartPlan) -> Array:
    """Links go to the bus that their label names, neurons to their link, and to a bus with drivers for neurons."""
    hears = {half * spec.BUSES + d % spec.BUSES for half, d in zip(*np.nonzero(part.allocation.kind == INSIDE))}
    rows = []
    for source, output in digital.nodes().tolist():
        if source < spec.OUTPUTS:
            to_link = output >= digital.FIRST_LINK_OUTPUT
            rows.append(_ALL if to_link or output in hears else _DROP)
        elif source < digital.FIRST_BACKGROUND_INPUT and output < digital.FIRST_LINK_OUTPUT:
            rows.append((7 << BUS_SHIFT, output << BUS_SHIFT))
        else:
            rows.append(_DROP)
    return np.array(rows, np.int32)


__all__ = ["LIMITS", "OUTSIDE", "LowerOptions", "Lowered", "lower", "outside_label"]
