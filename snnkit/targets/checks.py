"""Findings that chips share: each chip's `rules.py` says its limits, and these say what is wrong.

code               what
GRAPH              an inconsistent graph
INPUT_NOT_BINARY   an input with counts above 1
INPUT_COUNT        an input with more in a step than the host sends
LOOP_TOO_SHORT     a loop with less delay than connections: each takes one step
READOUT            a read-out that does not fit its population
NOT_FINITE         NaN or infinity in a bias, decay or threshold
WEIGHT_NOT_FINITE  NaN or infinity in a weight
DECAY_RANGE        a decay outside 0 to 1
LI_NOT_READOUT     an LI that is not the read-out: its v would have to leave the chip
THRESHOLD_RANGE    a threshold that is not positive
SUBTRACT_RESET     reset by subtraction, where a chip resets to a constant
REFRACTORY_RANGE   a refractory period that no register holds
REGISTER_RANGE     a value that a register cannot hold
NEURON             neurons with real numbers in an integer graph
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnkit.errors import GraphError
from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF
from snnkit.graph.synapses import Chain
from snnkit.passes import loop_findings

Array = np.ndarray[Any, Any]


# ---------------------------------------------------------------------------------------------------------- the graph
def consistent(graph: Graph) -> list[Finding]:
    """A finding if names, sizes, delays or parameters disagree; nothing else can be said of such a graph."""
    try:
        graph.validate()
    except GraphError as error:
        return [Finding("GRAPH", graph.name, error.what, remedy=error.fix or "names, sizes and delays must agree")]
    return []


def inputs(graph: Graph, most: int = 1, why: str = "the host sends one spike or none") -> Iterator[Finding]:
    """Inputs with more than `most` in a step; `why` completes the sentence where that is 1."""
    for node in graph.inputs:
        if node.max_count > most == 1:
            yield Finding(
                "INPUT_NOT_BINARY", node.name, f"values up to {node.max_count}; {why}", resource="input value",
                needed=node.max_count, available=1,
                remedy="bin the events as binary frames, or in more and shorter steps",
            )  # fmt: skip
        elif node.max_count > most:
            yield Finding(
                "INPUT_COUNT", node.name, f"values up to {node.max_count}", resource="events per step",
                needed=node.max_count, available=most, remedy="bin the events in more and shorter steps",
            )  # fmt: skip


def readout(graph: Graph) -> Iterator[Finding]:
    """A read-out of an input, of spikes of a silent neuron, or of v of a firing one."""
    wanted = graph.readout
    if wanted is None:
        return
    target = graph.node(wanted.population)
    if not isinstance(target, Population):
        yield Finding("READOUT", target.name, "the read-out names an input", remedy="read a population out")
    elif wanted.of_spikes and isinstance(target.neuron, LI | CubaLI):
        yield Finding("READOUT", target.name, "an LI does not fire", remedy="read out the mean, maximum or last v")
    elif not wanted.of_spikes and isinstance(target.neuron, LIF | CubaLIF):
        yield Finding(
            "READOUT", target.name, f"v of a firing neuron is read out by {wanted.rule!r}",
            remedy="end the network with an LI, or count spikes",
        )  # fmt: skip


def structure(graph: Graph, most: int = 1, why: str = "the host sends one spike or none") -> Iterator[Finding]:
    """`consistent`, and if so `inputs`, `loop_findings` and `readout`."""
    wrong = consistent(graph)
    yield from wrong
    if not wrong:
        yield from inputs(graph, most, why)
        yield from loop_findings(graph)
        yield from readout(graph)


# ------------------------------------------------------------------------------------------------------- real numbers
def finite(where: str, what: str, value: Array, code: str = "NOT_FINITE") -> Iterator[Finding]:
    """NaN or infinity in an array."""
    bad = int(np.size(value) - np.isfinite(value).sum())
    if bad:
        yield Finding(code, where, f"{bad} of {np.size(value)} values of {what} are NaN or infinite", remedy="retrain")


def weights_finite(c: Connection) -> Iterator[Finding]:
    """NaN or infinity in a connection's weights."""
    for op in c.synapse.ops if isinstance(c.synapse, Chain) else (c.synapse,):
        weight = getattr(op, "weight", getattr(op, "factor", None))
        if weight is not None:
            yield from finite(c.name, "the weights", np.asarray(getattr(weight, "data", weight)), "WEIGHT_NOT_FINITE")


def numbers(p: Population) -> Iterator[Finding]:
    """Decays, bias and threshold of a population: finite, decays from 0 to 1, thresholds above 0."""
    for key in ("decay", "decay_syn", "decay_mem"):
        value = getattr(p.neuron, key, None)
        if value is not None:
            yield from finite(p.name, key, value)
            bad = value[((value < 0) | (value > 1)) & np.isfinite(value)]
            if bad.size:
                yield Finding(
                    "DECAY_RANGE", p.name, f"{key} is {float(bad[0]):g}", resource=key, needed=float(bad[0]),
                    available=1, remedy="use decays from 0 to 1",
                )  # fmt: skip
    if p.bias is not None:
        yield from finite(p.name, "bias", p.bias)
    threshold = getattr(p.neuron, "threshold", None)
    if threshold is not None:
        yield from finite(p.name, "threshold", threshold)
        low = threshold[threshold <= 0]
        if low.size:
            yield Finding(
                "THRESHOLD_RANGE", p.name, f"the threshold is {float(low[0]):g}", remedy="use a threshold above 0"
            )


def membrane_is_read(graph: Graph, p: Population) -> Iterator[Finding]:
    """An LI must be the read-out, and end there."""
    if graph.outgoing(p.name):
        yield Finding(
            "LI_NOT_READOUT", p.name, "an LI sends its v to other neurons; only spikes travel",
            remedy="make it the last layer, or use a firing neuron",
        )  # fmt: skip
    elif graph.readout is None or graph.readout.population != p.name:
        yield Finding("LI_NOT_READOUT", p.name, "an LI that is not read out", remedy="read it out, or leave it out")


def firing(p: Population, *, refractory: int, reset: str) -> Iterator[Finding]:
    """A firing neuron that resets to a constant and waits for at most `refractory` updates.

    Args:
        p: a population of LIF or CubaLIF. refractory: the most skipped updates. reset: what the chip does, in words.
    """
    if getattr(p.neuron, "reset", "zero") == "subtract":
        yield Finding(
            "SUBTRACT_RESET", p.name, f"the threshold is subtracted on a spike; {reset}",
            remedy='train with reset="zero"',
        )  # fmt: skip
    skipped = getattr(p.neuron, "refractory", 0)
    if not 0 <= skipped <= refractory:
        yield Finding(
            "REFRACTORY_RANGE", p.name, f"{skipped} steps are skipped after a spike", resource="refractory",
            needed=skipped, available=refractory, remedy=f"use 0 to {refractory}",
        )  # fmt: skip


# ----------------------------------------------------------------------------------------------------- integer graphs
def quantised(graph: Graph, kinds: type | tuple[type, ...]) -> Iterator[Finding]:
    """Populations of other neurons than the chip's, and the model's timeline."""
    for p in graph.populations:
        if not isinstance(p.neuron, kinds):
            yield Finding("NEURON", p.name, f"{type(p.neuron).__name__} is not quantised", remedy="quantise the graph")
    if graph.timeline != "chip":
        yield Finding("GRAPH", graph.name, "the graph is on the model timeline", remedy="apply the lag pass")


def register(where: str, key: str, values: Array, low: int, high: int) -> Iterator[Finding]:
    """Values outside `low` to `high`, naming the first."""
    flat = np.asarray(values).reshape(-1)
    bad = np.flatnonzero((flat < low) | (flat > high))
    if bad.size:
        worst = int(flat[bad[0]])
        yield Finding(
            "REGISTER_RANGE", f"{where}[{bad[0]}]", f"{key} = {worst} in {bad.size} places", resource=key,
            needed=worst, available=high if worst > high else low, remedy=f"use {low} to {high}",
        )  # fmt: skip
