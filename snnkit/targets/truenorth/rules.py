"""What fits TrueNorth and what does not: findings, all at once, never exceptions.

code                what                                                                 where from
NEURON              a neuron that TrueNorth does not have                                both
DECAY               a decay other than 1: there is no multiplicative leak                float
REFRACTORY          a refractory period: a neuron may fire in every tick                 float
LI_READOUT          an LI: V cannot be read out, only spikes leave the chip              float
THRESHOLD_RANGE     a threshold that is not positive                                     float
FLOOR_RANGE         a floor above 0                                                      float
NOT_FINITE, WEIGHT_NOT_FINITE   NaN or infinity                                          float
INPUT_NOT_BINARY    an input with counts above 1: an axon is active or not               both
DELAY_RANGE         a delay beyond 15 ticks                                              both
LOOP_TOO_SHORT      a loop with less delay than connections: each takes one tick         both
READOUT, GRAPH      a read-out that does not fit, an inconsistent graph                  both
FAN_IN              more inputs than a core has axons                                    both
FAN_OUT             copies of neurons that need more copies without end                  both
BIAS_AND_LEAK       a bias beside a leak that turns with V, and no free axon type for it   float
BIAS_RANGE, BIAS_WARMUP, RUN_LENGTH, POTENTIAL_RANGE, THRESHOLD_SCALE   see `quantize`   float
WEIGHT_CODE         weights that are not sums of a neuron's four                         integer
REGISTER_RANGE      a value that a neuron's memory cannot hold                           integer
CHIPS               more chips than the board has                                        both
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding, errors, has_errors
from snnkit.graph.model import Graph, Population
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF, LinearLeakIF, TrueNorthAxon, TrueNorthNeuron, TrueNorthOutput
from snnkit.graph.synapses import TrueNorthFormat
from snnkit.passes import loop_findings
from snnkit.targets import checks
from snnkit.targets.truenorth import spec

Array = np.ndarray[Any, Any]
CHIP_NEURONS = (TrueNorthNeuron, TrueNorthAxon, TrueNorthOutput)


# -------------------------------------------------------------------------------------------------------- float graphs
def check(graph: Graph, *, resources: bool = True) -> list[Finding]:
    """Everything about a float graph, on either timeline, that TrueNorth cannot do. Integers: `check_integer`.

    Args:
        resources: on the chip timeline, also quantise (without calibration) and cut into cores.
    """
    if any(isinstance(p.neuron, CHIP_NEURONS) for p in graph.populations):
        return check_integer(graph)
    findings = list(_structure(graph))
    for p in graph.populations:
        findings.extend(_population(p))
    for c in graph.connections:
        findings.extend(checks.weights_finite(c))
    findings.extend(_delays(graph))
    if resources and graph.timeline == "chip" and not has_errors(findings):
        from snnkit.targets.truenorth.lower import lower
        from snnkit.targets.truenorth.quantize import quantize

        made = quantize(graph)
        findings.extend(errors(made.findings))
        if not has_errors(findings):
            findings.extend(errors(lower(made.graph).findings))
    return findings


def _structure(graph: Graph) -> Iterator[Finding]:
    wrong = checks.consistent(graph)
    yield from wrong
    if wrong:
        return
    yield from checks.inputs(graph, why="an axon is active or not")
    if all(not isinstance(p.neuron, TrueNorthAxon) for p in graph.populations):
        yield from loop_findings(graph)
    readout = graph.readout
    if readout is not None and not isinstance(graph.node(readout.population), Population):
        yield Finding("READOUT", readout.population, "the read-out names an input", remedy="read a population out")
    elif readout is not None and not readout.of_spikes:
        yield Finding(
            "LI_READOUT", readout.population, f"the read-out takes {readout.rule!r} of V; only spikes leave the chip",
            remedy="let the host run it (--host), or end the network with a firing neuron and count its spikes",
        )  # fmt: skip


def _population(p: Population) -> Iterator[Finding]:
    neuron = p.neuron
    if isinstance(neuron, LI | CubaLI):
        yield Finding(
            "LI_READOUT", p.name, f"{type(neuron).__name__} never fires; only spikes leave the chip",
            remedy="let the host run it (--host), or end the network with a firing neuron and count its spikes",
        )  # fmt: skip
        return
    if isinstance(neuron, CubaLIF) and np.any(neuron.decay_syn != 0):
        yield Finding("NEURON", p.name, "TrueNorth has no synaptic current", remedy="use LIF with decay 1")
        return
    if not isinstance(neuron, LIF | CubaLIF | LinearLeakIF):
        yield Finding(
            "NEURON",
            p.name,
            f"TrueNorth has no {type(neuron).__name__}",
            remedy="use LIF with decay 1, or LinearLeakIF",
        )
        return
    if isinstance(neuron, LinearLeakIF):
        yield from checks.finite(p.name, "leak", neuron.leak)
        yield from checks.finite(p.name, "floor", np.where(neuron.floor == np.inf, 0, neuron.floor))
        low = neuron.floor[neuron.floor < 0]
        if low.size:
            yield Finding("FLOOR_RANGE", p.name, f"the floor is {float(low[0]):g} below 0", remedy="use 0 or more")
    other = np.zeros(0) if isinstance(neuron, LinearLeakIF) else _decay(neuron)[_decay(neuron) != 1]
    if other.size:
        yield Finding(
            "DECAY", p.name, f"decay {float(other[0]):g}: V cannot be multiplied, its leak is a constant per tick",
            resource="decay", needed=float(other[0]), available=1,
            remedy="train with decay 1 (pure integrate-and-fire) or snn.LinearLeakIF, which leaks at a constant rate",
        )  # fmt: skip
    if not isinstance(neuron, LinearLeakIF) and neuron.refractory:
        yield Finding(
            "REFRACTORY", p.name, f"{neuron.refractory} steps are skipped after a spike; there is no such counter",
            resource="refractory", needed=neuron.refractory, available=0, remedy="train with refractory=0",
        )  # fmt: skip
    yield from checks.numbers(p)


def _decay(neuron: LIF | CubaLIF) -> Array:
    return neuron.decay if isinstance(neuron, LIF) else neuron.decay_mem


def _delays(graph: Graph) -> Iterator[Finding]:
    for c in graph.connections:
        if c.max_delay > spec.DELAY_MAX:
            yield Finding(
                "DELAY_RANGE", c.name, f"a delay of {c.max_delay} ticks", resource="delay", needed=c.max_delay,
                available=spec.DELAY_MAX, remedy=f"use delays of at most {spec.DELAY_MAX}, or add a layer of relays",
            )  # fmt: skip


# ------------------------------------------------------------------------------------------------------ integer graphs
def check_integer(graph: Graph) -> list[Finding]:
    """Everything about an integer graph that a core's memory cannot hold; resources are found by lowering."""
    findings = list(_structure(graph))
    for p in graph.populations:
        if isinstance(p.neuron, TrueNorthNeuron):
            findings.extend(_registers(p, p.neuron))
    findings.extend(checks.quantised(graph, CHIP_NEURONS))
    for c in graph.connections:
        if not isinstance(c.format, TrueNorthFormat):
            findings.append(
                Finding("WEIGHT_CODE", c.name, "its weights are not quantised", remedy="quantise the graph")
            )
        elif c.format.weight is not None:
            findings.extend(checks.register(c.name, "weight", c.format.weight, -spec.WEIGHT_MAX, spec.WEIGHT_MAX))
    findings.extend(_delays(graph))
    return findings


def _registers(p: Population, neuron: TrueNorthNeuron) -> Iterator[Finding]:
    for key, low, high in (
        ("leak", -spec.LEAK_MAX, spec.LEAK_MAX),
        ("leak_reversal", 0, 1),
        ("leak_stoch", 0, 1),
        ("threshold", 0, spec.THRESHOLD_MAX),
        ("thr_mask_bits", 0, spec.MASK_BITS_MAX),
        ("neg_threshold", 0, spec.THRESHOLD_MAX),
        ("neg_saturate", 0, 1),
        ("reset_mode", 0, spec.RESET_MODES - 1),
        ("reset_value", spec.POTENTIAL_MIN, spec.POTENTIAL_MAX),
        ("v_init", spec.POTENTIAL_MIN, spec.POTENTIAL_MAX),
    ):
        yield from checks.register(p.name, key, getattr(neuron, key), low, high)
