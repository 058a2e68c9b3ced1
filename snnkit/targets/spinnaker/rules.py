"""What fits SpiNNaker 1 and what does not: findings, all at once, never exceptions.

code                what                                                                        where from
NEURON              a neuron without a counterpart                                              both
SUBTRACT_RESET      reset by subtraction: v_reset is a constant                                 float
INPUT_COUNT         counts above 255 in an input; below, a source sends one packet per event    both
NOT_FINITE          NaN or infinity in a bias, decay or threshold                               float
WEIGHT_NOT_FINITE   NaN or infinity in a weight                                                 float
THRESHOLD_RANGE     a threshold that is not positive                                            float
DECAY_RANGE         a decay outside 0 to 1                                                      float
REFRACTORY_RANGE    a refractory period outside what tau_refrac holds                           float
LI_NOT_READOUT      an LI that is not the read-out: its v would have to leave the core          float
READOUT             a read-out that does not fit its population                                 both
DELAY_RANGE         a delay that no ring buffer holds, or below one step                        both
LOOP_TOO_SHORT      a loop with less delay than connections: each takes one step                both
GRAPH               an inconsistent graph                                                       both
REGISTER_RANGE      a parameter that no word holds, or a time constant that is not positive     integer
SYNAPSE_MEMORY_LOSS a synaptic time constant so long that its decay is 0                        integer
SHIFT_RANGE         a ring buffer shift that reaches the sign bit                               integer
WEIGHT_FORMAT, WEIGHT_RANGE   weights that are no words of 16 bits                              integer
PAIR_RULE           plastic synapses on IF_curr_delta, with two rules, or a table or limit that fits no word   integer
CORES, KEYS, ROUTER, SDRAM, RING_SLOTS, DTCM_BYTES    more than the machine has                 both
BOARD, NEURONS      an unknown board, or more neurons per core than there are                   both
THROUGHPUT          more synaptic events a step than a core handles in real time: never an error    float
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF, SpinnakerNeuron
from snnkit.graph.synapses import SpinnakerWeightFormat
from snnkit.targets import checks
from snnkit.targets.spinnaker import spec, throughput
from snnkit.targets.spinnaker.rules_learning import check_pairs

Array = np.ndarray[Any, Any]

COUNT_MAX = 255


# -------------------------------------------------------------------------------------------------------- float graphs
def check(
    graph: Graph, *, board: str | None = None, neurons_per_core: int | None = None, resources: bool = True,
    rates: Mapping[str, Array] | None = None,
) -> list[Finding]:  # fmt: skip
    """Everything about a float graph, on either timeline, that SpiNNaker cannot do. Integer graphs: `check_integer`.

    Args:
        board: "SpiNN-3", "SpiNN-5" or "triad"; None for any.
        neurons_per_core: at most so many.
        resources: also place the network and estimate its load, which takes a moment for large ones.
        rates: firing probability (mean count) per step by source [n], for the load; assumed where there is none.
    """
    if any(isinstance(p.neuron, SpinnakerNeuron) for p in graph.populations):
        return check_integer(graph)
    findings = list(checks.structure(graph, COUNT_MAX))
    for p in graph.populations:
        findings.extend(_float_population(graph, p))
    for c in graph.connections:
        findings.extend(checks.weights_finite(c))
        findings.extend(_delay(c))
    if resources and not has_errors([f for f in findings if f.code in ("GRAPH", "NEURON", "DELAY_RANGE")]):
        from snnkit.targets.spinnaker.plan import place

        findings += place(_countable(graph), board=board, neurons_per_core=neurons_per_core, counted=True)[1]
        findings.extend(throughput.findings(graph, rates, neurons_per_core))
    return findings


def _float_population(graph: Graph, p: Population) -> Iterator[Finding]:
    neuron = p.neuron
    if not isinstance(neuron, LIF | CubaLIF | LI | CubaLI):
        yield Finding("NEURON", p.name, f"no program for {type(neuron).__name__}", remedy="use LIF, CubaLIF or LI")
        return
    yield from checks.numbers(p)
    if isinstance(neuron, LI | CubaLI):
        yield from checks.membrane_is_read(graph, p)
    else:
        yield from checks.firing(p, refractory=spec.REFRACTORY_MAX, reset="the membrane is set to v_reset")


def _delay(c: Connection) -> Iterator[Finding]:
    if c.max_delay > spec.DELAY_MAX:
        yield Finding(
            "DELAY_RANGE", c.name, f"a delay of {c.max_delay} steps", resource="slots of a ring buffer",
            needed=c.max_delay, available=spec.DELAY_MAX,
            remedy=f"use delays of at most {spec.DELAY_MAX}; up to 32 leave 256 neurons on a core",
        )  # fmt: skip


def _countable(graph: Graph) -> Graph:
    """The graph as `place` counts it: on the chip timeline, with parameters of no meaning."""
    late = 1 if _min_input_delay(graph) == 0 else 0
    hosts = {i.name for i in graph.inputs}

    def connection(c: Connection) -> Connection:
        delay = np.max(np.maximum(np.asarray(c.delay) + (late if c.src in hosts else 0), 1), initial=1)
        return Connection(c.name, c.src, c.dst, c.synapse, int(delay), SpinnakerWeightFormat())

    def population(p: Population) -> Population:
        one = np.full(p.n, spec.ONE, np.int32)
        exponential = isinstance(p.neuron, CubaLIF | CubaLI)
        return Population(
            p.name,
            p.shape,
            SpinnakerNeuron(
                "exp" if exponential else "delta", one, one, one, one, one, one, one, one, one, one, one, one
            ),
        )

    return graph.with_(
        timeline="chip",
        populations=tuple(population(p) for p in graph.populations),
        connections=tuple(connection(c) for c in graph.connections),
    )


def _min_input_delay(graph: Graph) -> int:
    hosts = {i.name for i in graph.inputs}
    return min((int(np.min(c.delay)) for c in graph.connections if c.src in hosts and np.size(c.delay)), default=1)


# ------------------------------------------------------------------------------------------------------ integer graphs
def check_integer(graph: Graph) -> list[Finding]:
    """Everything about an integer graph that no word holds; resources are found by lowering."""
    findings = list(checks.structure(graph, COUNT_MAX))
    for p in graph.populations:
        if isinstance(p.neuron, SpinnakerNeuron):
            findings.extend(_registers(p, p.neuron))
    findings.extend(checks.quantised(graph, SpinnakerNeuron))
    findings.extend(check_pairs(graph))
    for c in graph.connections:
        findings.extend(_weights(c))
        findings.extend(_delay(c))
        if np.size(c.delay) and int(np.min(c.delay)) < 1:
            findings.append(
                Finding("DELAY_RANGE", c.name, "a packet acts one step after it was sent at the earliest",
                        resource="delay", needed=int(np.min(c.delay)), available=1,
                        remedy="add a step to every input connection, and to every lag")
            )  # fmt: skip
    return findings


def _registers(p: Population, neuron: SpinnakerNeuron) -> Iterator[Finding]:
    for key, value in vars(neuron).items():
        if not isinstance(value, np.ndarray):
            continue
        low = 1 if key in ("c_m", "tau_m", "tau_syn_e", "tau_syn_i", "ts") else -(2**31)
        low = 0 if key in ("tau_refrac", "refrac_init") else low
        wrong = np.flatnonzero((value < low) | (value > 2**31 - 1))
        if wrong.size or value.dtype.kind != "i":
            worst = int(value[wrong[0]]) if wrong.size else 0
            yield Finding(
                "REGISTER_RANGE", p.name, f"{key} = {worst} in {wrong.size} neurons ({value.dtype})", resource=key,
                needed=worst, available=low, remedy=f"use whole numbers from {low} to {2**31 - 1}",
            )  # fmt: skip
    if neuron.model == "exp":
        for key in ("tau_syn_e", "tau_syn_i"):
            value = getattr(neuron, key).astype(np.int64)
            steps = value // np.maximum(neuron.ts.astype(np.int64), 1)
            if value.size and steps.max() > spec.TAU_SYN_STEPS_MAX:
                yield Finding(
                    "SYNAPSE_MEMORY_LOSS", p.name, f"{key} of {int(steps.max())} steps has decay 0", resource=key,
                    needed=int(steps.max()), available=spec.TAU_SYN_STEPS_MAX, remedy="use a shorter time constant",
                )  # fmt: skip
    if not all(0 <= s <= spec.SHIFT_MAX for s in neuron.shift):
        yield Finding(
            "SHIFT_RANGE", p.name, f"ring buffer shifts {neuron.shift}", resource="shift", needed=max(neuron.shift),
            available=spec.SHIFT_MAX, remedy=f"use 0 to {spec.SHIFT_MAX}",
        )  # fmt: skip
    if not 1 <= neuron.delay_bits <= spec.INDEX_BITS_MAX - spec.RECEPTOR_BITS - 1:
        most = spec.INDEX_BITS_MAX - spec.RECEPTOR_BITS - 1
        yield Finding("DELAY_RANGE", p.name, f"{neuron.delay_bits} delay bits", resource="delay bits",
                      needed=neuron.delay_bits, available=most, remedy=f"use 1 to {most}")  # fmt: skip


def _weights(c: Connection) -> Iterator[Finding]:
    if not isinstance(c.format, SpinnakerWeightFormat) or c.format.receptor not in (None, 0, 1):
        yield Finding("WEIGHT_FORMAT", c.name, f"the weights' format is {c.format}", remedy="quantise the graph")
        return
    w = c.synapse.matrix().data
    if not np.issubdtype(np.asarray(w).dtype, np.integer):
        yield Finding("WEIGHT_FORMAT", c.name, f"the weights are {w.dtype}, not integers", remedy="quantise the graph")
        return
    w = np.asarray(w).astype(np.int64)
    low = -spec.WEIGHT_MAX if c.format.receptor is None else 0
    wrong = w[(w < low) | (w > spec.WEIGHT_MAX)]
    if wrong.size:
        yield Finding(
            "WEIGHT_RANGE", c.name, f"{wrong.size} words such as {int(wrong[0])}; they are masked, not clamped",
            resource="word", needed=int(wrong[0]), available=spec.WEIGHT_MAX, remedy="a larger shift, or lower weights",
        )  # fmt: skip
