"""A slow, plain executor of float and integer graphs, on either timeline: the second opinion beside the emulator.

In tick t every population takes, over all its connections, the weights of the source spikes of tick t - delay, then
updates its neurons by the rule of their type. Populations are evaluated in the order of the graph, so on the model
timeline a connection of delay 0 must come from an earlier population. Row t of an input acts in tick t + delay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from snnkit.errors import GraphError, UsageError
from snnkit.graph.model import Graph
from snnkit.graph.neurons import INTEGER_NEURONS, BrainScales2Neuron, LoihiNeuron, SpinnakerNeuron
from snnkit.graph.rules import LoihiReading, Part, Reading, TrueNorthDraws, connection_parts, neuron_rule
from snnkit.graph.rules.brainscales2 import run_network
from snnkit.graph.rules.spinnaker_stdp import Learning
from snnkit.graph.rules.truenorth import DrawnPart

Array = np.ndarray[Any, Any]
What = Literal["s", "u", "v"]


@dataclass(frozen=True, eq=False)
class Trace:
    """What a graph did. Arrays are [ticks, B, n]; integers as integers, real numbers as float32.

    Attributes:
        graph: the graph that ran.
        steps: T, the steps of a sample; the run has `ticks >= T` ticks.
        spikes: uint8 per population.
        u: current per population that has one, if recorded.
        v: membrane after reset per population, if recorded; always there for a population whose v is read out.
    """

    graph: Graph
    steps: int
    ticks: int
    spikes: dict[str, Array]
    u: dict[str, Array] = field(default_factory=dict)
    v: dict[str, Array] = field(default_factory=dict)

    def array(self, name: str, what: What = "s") -> Array:
        """The whole trace [ticks, B, n] of a population."""
        store = {"s": self.spikes, "u": self.u, "v": self.v}[what]
        if name not in store:
            raise UsageError(f"the trace has no {what} of {name!r}", fix=f"recorded: {', '.join(store) or 'none'}")
        return store[name]

    def aligned(self, name: str, what: What = "s") -> Array:
        """The T steps of the sample as this population sees them: its trace from its lag on, [T, B, n]."""
        population = self.graph.node(name)
        lag = getattr(population, "lag", 0) if self.graph.timeline == "chip" else 0
        return self.array(name, what)[lag : lag + self.steps]

    def scores(self) -> Array:
        """The read-out's number per class [B, n].

        Spike count (of all votes of a class), T less the steps before the first spike (0 for none), or sum (`mean`),
        maximum or last value of v.
        """
        readout = self.graph.readout
        if readout is None:
            raise GraphError("the graph has no read-out")
        if readout.rule == "count":
            counts = self.aligned(readout.population).sum(0, dtype=np.int64)
            return counts.reshape(len(counts), counts.shape[1] // readout.votes, readout.votes).sum(2)
        if readout.rule == "first":
            fired = np.logical_or.accumulate(self.aligned(readout.population) != 0, axis=0)
            return fired.sum(0, dtype=np.int64)
        v = self.aligned(readout.population, "v")
        if readout.rule == "mean":
            return v.sum(0, dtype=np.int64 if v.dtype.kind == "i" else np.float64)
        return v.max(0) if readout.rule == "max" else v[-1]

    def answer(self) -> Array:
        """The class per sample [B]: the largest score, ties to the lowest index."""
        return self.scores().argmax(1)


def run(
    graph: Graph,
    inputs: Mapping[str, Array],
    *,
    ticks: int | None = None,
    record: Sequence[str] = ("s", "u", "v"),
    noise: Mapping[str, Array] | None = None,
    reading: Reading | None = None,
    draws: Mapping[str, TrueNorthDraws] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Trace:
    """Run a graph.

    Args:
        inputs: per data input an array [T, B, n] (or [T, B, *shape]) of spikes or counts. Inputs with `gate_from=k`
            are made here: 1 in the ticks k to k + T - 1.
        ticks: how long; by default T, on the chip timeline T + the largest lag.
        record: which of `s`, `u`, `v` to keep (spikes are always kept).
        noise: per Loihi population int draws [T', n] or [T', B, n], added as given in ticks 0 to T' - 1.
        reading: how to read disputed rules of a chip; by default as the reference vectors.
        draws: per TrueNorth population the random draws of its stochastic synapses, leaks and thresholds.
        progress: called with (ticks done, ticks).

    Raises:
        GraphError: the graph is inconsistent, or a delay-0 connection runs against the order of evaluation.
        UsageError: an input is missing or has the wrong shape.
    """
    graph.validate()
    rasters, steps, batch = _rasters(graph, inputs)
    length = int(ticks) if ticks is not None else steps + (graph.max_lag if graph.timeline == "chip" else 0)
    for gate in (i for i in graph.inputs if i.gate_from is not None):
        raster = np.zeros((length, batch, gate.n), np.uint8)
        raster[gate.gate_from : int(gate.gate_from or 0) + steps] = 1
        rasters[gate.name] = raster
    if any(isinstance(p.neuron, BrainScales2Neuron) for p in graph.populations):
        return _continuous(graph, rasters, steps, length, batch, record)

    drawn = draws or {}
    parts = _wire(graph, reading)
    learning = Learning(graph, batch)
    rules = {p.name: neuron_rule(p, batch, reading, drawn.get(p.name)) for p in graph.populations}
    trace = Trace(graph, steps, length, {p.name: np.zeros((length, batch, p.n), np.uint8) for p in graph.populations})
    _allocate(trace, rules, record, batch, wide=isinstance(reading, LoihiReading) and not reading.bounded)
    for t in range(length):
        for population in graph.populations:
            integer = isinstance(population.neuron, INTEGER_NEURONS)
            receptors = 2 if isinstance(population.neuron, SpinnakerNeuron) else 1
            x = np.zeros((batch, population.n * receptors), np.int64 if integer else np.float64)
            for source, part in parts[population.name]:
                raster = rasters[source] if source in rasters else trace.spikes[source]
                row = t - part.delay
                if 0 <= row < len(raster) and raster[row].any():
                    if isinstance(part, DrawnPart):
                        x += part.sample(raster[row], drawn.get(population.name), t, population.name)
                    else:
                        x += part.apply(raster[row])
            learned = learning.arriving(population.name, t)
            if learned is not None:
                x += learned
            rule = rules[population.name]
            trace.spikes[population.name][t] = rule.step(x, _noise_row(noise, population.name, t))
            if population.name in trace.u and rule.u is not None:
                trace.u[population.name][t] = rule.u
            if population.name in trace.v:
                trace.v[population.name][t] = rule.v
        if learning.connections:
            sent = {name: raster[t] for name, raster in rasters.items() if t < len(raster)}
            learning.after(t, sent | {name: spikes[t] for name, spikes in trace.spikes.items()})
        if progress is not None:
            progress(t + 1, length)
    return trace


def _continuous(
    graph: Graph, rasters: Mapping[str, Array], steps: int, length: int, batch: int, record: Sequence[str]
) -> Trace:
    """Neurons in continuous time: spikes per step (possibly several), v as the ADC reads it at the end of a step."""
    mixed = [p.name for p in graph.populations if not isinstance(p.neuron, BrainScales2Neuron)]
    if mixed:
        raise GraphError(f"population {mixed[0]!r} is in discrete time, others are not", fix="quantise the whole graph")
    done = run_network(graph, rasters, length, batch)
    total = sum(p.n for p in graph.populations)
    spikes = np.zeros((length, batch, total), np.uint8)
    step = graph.populations[0].neuron.step * 1e-6  # type: ignore[union-attr]
    for b, times in enumerate(done.times):
        for time, neuron in times:
            spikes[min(int(time / step), length - 1), b, neuron] += 1
    trace = Trace(graph, steps, length, {})
    readout = graph.readout
    at = 0
    for p in graph.populations:
        mine = slice(at, at + p.n)
        trace.spikes[p.name] = spikes[:, :, mine]
        if "v" in record or (readout is not None and not readout.of_spikes and readout.population == p.name):
            trace.v[p.name] = done.codes[:, :, mine].astype(np.int32)
        at += p.n
    return trace


def _rasters(graph: Graph, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], int, int]:
    """Inputs as [T, B, n], with T and B."""
    data = {i.name: i for i in graph.inputs if i.gate_from is None}
    for name in inputs:
        if name not in data:
            raise UsageError(f"there is no data input {name!r}", fix=f"data inputs: {', '.join(data) or 'none'}")
    rasters: dict[str, Array] = {}
    for name, node in data.items():
        if name not in inputs:
            raise UsageError(f"the input {name!r} is missing", fix=f"give an array [T, B, {node.n}]")
        array = np.asarray(inputs[name])
        if array.ndim < 2 or array[:1].size != array.shape[1] * node.n:
            raise UsageError(f"input {name!r} has shape {array.shape}", fix=f"expected [T, B, {node.n}]")
        rasters[name] = array.reshape(array.shape[0], array.shape[1], node.n)
    sizes = {a.shape[:2] for a in rasters.values()}
    if len(sizes) > 1:
        raise UsageError(f"the inputs differ in [T, B]: {sorted(sizes)}")
    if not sizes:
        if graph.steps is None:
            raise UsageError("a graph without data inputs needs its number of steps", fix="set Graph.steps")
        return rasters, graph.steps, 1
    steps, batch = sizes.pop()
    return rasters, steps, batch


def _wire(graph: Graph, reading: Reading | None) -> dict[str, list[tuple[str, Part]]]:
    """Per population its sources with their linear maps."""
    order = {p.name: k for k, p in enumerate(graph.populations)}
    wires: dict[str, list[tuple[str, Part]]] = {p.name: [] for p in graph.populations}
    for c in graph.connections:
        for part in connection_parts(c, reading):
            if part.delay == 0 and c.src in order and order[c.src] >= order[c.dst]:
                raise GraphError(
                    f"connection {c.name!r} from {c.src!r} to {c.dst!r} has delay 0 against the order of evaluation",
                    fix="a loop needs a delay of at least 1",
                )
            wires[c.dst].append((c.src, part))
    return wires


def _allocate(trace: Trace, rules: Mapping[str, Any], record: Sequence[str], batch: int, wide: bool) -> None:
    readout = trace.graph.readout
    probed = readout.population if readout is not None and not readout.of_spikes else None
    for p in trace.graph.populations:
        dtype: Any = np.int64 if isinstance(p.neuron, INTEGER_NEURONS) else np.float32
        if isinstance(p.neuron, LoihiNeuron | SpinnakerNeuron) and not wide:
            dtype = np.int32
        if "u" in record and rules[p.name].u is not None:
            trace.u[p.name] = np.zeros((trace.ticks, batch, p.n), dtype)
        if "v" in record or p.name == probed:
            trace.v[p.name] = np.zeros((trace.ticks, batch, p.n), dtype)


def _noise_row(noise: Mapping[str, Array] | None, name: str, t: int) -> Array | None:
    """This tick's draws of a population as int64, broadcast over the batch."""
    draws = None if noise is None else noise.get(name)
    if draws is None or t >= len(draws):
        return None
    return np.asarray(draws[t]).astype(np.int64)
