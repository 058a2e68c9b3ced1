"""What fits BrainScaleS-2 and what does not: findings, all at once, never exceptions.

code                what                                                                        where from
GRAPH               an inconsistent graph                                                       both
NEURON              a neuron without a counterpart                                              both
SUBTRACT_RESET      reset by subtraction: the reset potential is a constant                     float
INPUT_COUNT         counts above 255 in an input; below, the FPGA sends one event each          both
NOT_FINITE          NaN or infinity in a bias, decay or threshold                               float
WEIGHT_NOT_FINITE   NaN or infinity in a weight                                                 float
THRESHOLD_RANGE     a threshold that is not positive                                            float
DECAY_RANGE         a decay outside 0 to 1                                                      float
REFRACTORY_RANGE    a refractory period that the counter cannot count                           both
LI_NOT_READOUT      an LI that is not the read-out: its v would have to leave the chip          float
READOUT             a read-out that does not fit its population                                 both
DELAY_RANGE         a delay above 1 step between neurons: there is no programmable one          both
DELAY_OF_ONE        as a note, a delay of 1 step, which becomes none                            float
LOOP_TOO_SHORT      a loop with less delay than connections                                     float
CHIP                a virtual chip that there is not                                            both
WEIGHT_RANGE        weights outside -63..63, or no integers                                     integer
REGISTER_RANGE      a time constant, potential, gain or refractory time out of range            integer
FAN_IN              more sources of a neuron than joined circuits hear           (found by `plan`)
LOOP_TOO_LARGE      a loop that does not fit one part                            (found by `plan`)
PARTS               more parts than were allowed; as a note, how many there are  (found by `plan`, `lower`)
LABEL_COLLISION     events that cannot be told apart                             (found by `collisions`)
TIME_CONSTANT       as a note, time constants that become the nearest possible   (found by `quantize`)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import LI, LIF, BrainScales2Neuron, CubaLI, CubaLIF
from snnkit.passes import loop_findings
from snnkit.targets import checks
from snnkit.targets.brainscales2 import registers, spec
from snnkit.targets.brainscales2.timing import model_delay, real_time

Array = np.ndarray[Any, Any]

COUNT_MAX = 255


def check(graph: Graph, *, resources: bool = True, chip: int | None = None, **options: Any) -> list[Finding]:
    """Everything about a graph, with real numbers or quantised, that the chip cannot do.

    Args:
        graph: on either timeline; resources are judged on the chip's.
        resources: also cut the network into parts.
        chip: the virtual chip that will run it.
        options: those of other chips; ignored.
    """
    quantised = any(isinstance(p.neuron, BrainScales2Neuron) for p in graph.populations)
    wrong = checks.consistent(graph)
    if wrong:
        return wrong
    findings = [*_chip(chip), *checks.inputs(graph, COUNT_MAX), *checks.readout(graph), *_silent(graph)]
    if not quantised:
        findings += loop_findings(graph)
    for p in graph.populations:
        findings += _registers(p, p.neuron) if isinstance(p.neuron, BrainScales2Neuron) else _population(graph, p)
    for c in graph.connections:
        findings += _connection(graph, c, quantised)
    if resources and graph.timeline == "chip":
        from snnkit.targets.brainscales2.plan import refused

        findings += refused(graph if quantised else real_time(graph), ignore=() if quantised else _folded(graph))
    return findings


def _folded(graph: Graph) -> list[str]:
    """Connections of bias lines that may become leak potentials."""
    gates = {i.name for i in graph.inputs if i.gate_from is not None}
    return [c.name for c in graph.connections if c.src in gates and isinstance(_neuron(graph, c), LI | LIF)]


def _neuron(graph: Graph, c: Connection) -> Any:
    return getattr(graph.node(c.dst), "neuron", None)


def _chip(chip: int | None) -> Iterator[Finding]:
    if chip is not None and not (isinstance(chip, int) and 0 <= chip < spec.CHIP_SEEDS):
        yield Finding(
            "CHIP", f"chip {chip}", "there is no such virtual chip", resource="virtual chip",
            needed=chip if isinstance(chip, int) else None, available=spec.CHIP_SEEDS - 1,
            remedy=f"use a whole number from 0 to {spec.CHIP_SEEDS - 1}",
        )  # fmt: skip


def _silent(graph: Graph) -> Iterator[Finding]:
    """A read-out that does not fit a quantised population."""
    readout = graph.readout
    target = None if readout is None else graph.node(readout.population)
    if readout is None or not isinstance(target, Population) or not isinstance(target.neuron, BrainScales2Neuron):
        return
    if readout.of_spikes and not target.neuron.fires:
        yield Finding("READOUT", target.name, "it does not fire", remedy="read out the mean, maximum or last v")
    elif not readout.of_spikes and target.neuron.fires:
        yield Finding("READOUT", target.name, "v of a firing neuron is read out", remedy="count its spikes")


def _population(graph: Graph, p: Population) -> Iterator[Finding]:
    neuron = p.neuron
    if not isinstance(neuron, LIF | CubaLIF | LI | CubaLI):
        yield Finding("NEURON", p.name, f"no circuit for {type(neuron).__name__}", remedy="use LIF, CubaLIF or LI")
        return
    yield from checks.numbers(p)
    if isinstance(neuron, LI | CubaLI):
        yield from checks.membrane_is_read(graph, p)
        return
    most = registers.LONGEST_PS // spec.STEP_PS - 1
    yield from checks.firing(p, refractory=most, reset="the membrane is pulled to one potential")


def _registers(p: Population, neuron: BrainScales2Neuron) -> Iterator[Finding]:
    for key, low, high in (
        ("tau_mem", *spec.TAU_MEM_PS), ("tau_syn_e", *spec.TAU_SYN_PS), ("tau_syn_i", *spec.TAU_SYN_PS),
        ("v_leak", -(10**12), 10**12), ("v_reset", 0, spec.CODE_MAX * 10**6), ("v_thresh", 0, spec.CODE_MAX * 10**6),
        ("gain", 0, 10**12), ("t_hold", 0, registers.LONGEST_PS),
    ):  # fmt: skip
        yield from checks.register(p.name, key, getattr(neuron, key), low, high)
    wrong = [t for t in np.unique(neuron.t_hold).tolist() if registers.nearest_refractory(t) != t]
    if neuron.fires and wrong:
        yield Finding(
            "REFRACTORY_RANGE", p.name, f"a refractory time of {wrong[0]} ps, which the counter cannot count",
            resource="refractory", needed=wrong[0], available=registers.nearest_refractory(wrong[0]),
            remedy=f"use {registers.nearest_refractory(wrong[0])} ps",
        )  # fmt: skip


def _connection(graph: Graph, c: Connection, quantised: bool) -> Iterator[Finding]:
    yield from checks.weights_finite(c)
    if quantised:
        w = np.asarray(c.synapse.matrix().data)
        if w.size and (w.dtype.kind not in "iu" or np.abs(w.astype(np.int64)).max() > spec.WEIGHT_MAX):
            yield Finding(
                "WEIGHT_RANGE", c.name, f"weights from {w.min()} to {w.max()}", resource="weight",
                needed=float(np.abs(w).max()), available=spec.WEIGHT_MAX,
                remedy=f"use integers from -{spec.WEIGHT_MAX} to {spec.WEIGHT_MAX}",
            )  # fmt: skip
    delay = c.delay if quantised else model_delay(graph, c)
    host = c.src in {i.name for i in graph.inputs}
    low, high = (int(np.min(delay)), int(np.max(delay))) if np.size(delay) else (0, 0)
    most = 0 if quantised else 1
    if not host and high > most:
        yield Finding(
            "DELAY_RANGE", c.name, f"a delay of {high} steps; events travel at once", resource="delay", needed=high,
            available=most, remedy="leave the delay out: only the host can delay events",
        )  # fmt: skip
    elif not host and high == 1:
        yield Finding(
            "DELAY_OF_ONE", c.name, "a delay of 1 step becomes none: events act half a step early, on average", "note",
            resource="delay", needed=1, available=0, remedy="nothing: the difference is part of the residual",
        )  # fmt: skip
    elif host and low != high:
        yield Finding(
            "DELAY_RANGE", c.name, f"delays from {low} to {high} steps from one line of the host", resource="delays",
            needed=high - low + 1, available=1, remedy="give each delay a connection of its own",
        )  # fmt: skip
