"""What fits BrainScaleS-2 and what does not: findings, all at once, never exceptions.

code                what                                                                        where from
GRAPH               an inconsistent graph                                                       both
NEURON              a neuron without a counterpart                                              both
SUBTRACT_RESET      reset by subtraction: the reset potential is a constant                     float
INPUT_COUNT         counts above 255 in an input; below, the FPGA sends one event each          both
NOT_FINITE          NaN or infinity in a weight, bias, decay or threshold                       float
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

from snnkit.errors import GraphError
from snnkit.graph.findings import Finding
from snnkit.graph.model import LI, LIF, BrainScales2Neuron, Chain, Connection, CubaLI, CubaLIF, Graph, Population
from snnkit.passes import loop_findings
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
    try:
        graph.validate()
    except GraphError as error:
        return [Finding("GRAPH", graph.name, error.what, remedy=error.fix or "names, sizes and delays must agree")]
    findings = [*_chip(chip), *_inputs(graph), *_readout(graph)]
    quantised = any(isinstance(p.neuron, BrainScales2Neuron) for p in graph.populations)
    if not quantised:
        findings += loop_findings(graph)
    for p in graph.populations:
        findings += _registers(p, p.neuron) if isinstance(p.neuron, BrainScales2Neuron) else _population(graph, p)
    for c in graph.connections:
        findings += _connection(graph, c, quantised)
    if resources and graph.timeline == "chip":
        from snnkit.targets.brainscales2.plan import plan

        findings += plan(graph if quantised else real_time(graph), ignore=() if quantised else _folded(graph)).findings
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


def _inputs(graph: Graph) -> Iterator[Finding]:
    for node in graph.inputs:
        if node.max_count > COUNT_MAX:
            yield Finding(
                "INPUT_COUNT", node.name, f"values up to {node.max_count}", resource="events per step",
                needed=node.max_count, available=COUNT_MAX, remedy="bin the events in more and shorter steps",
            )  # fmt: skip


def _readout(graph: Graph) -> Iterator[Finding]:
    readout = graph.readout
    if readout is None:
        return
    target = graph.node(readout.population)
    if not isinstance(target, Population):
        yield Finding("READOUT", target.name, "the read-out names an input", remedy="read a population out")
        return
    silent = isinstance(target.neuron, LI | CubaLI) or getattr(target.neuron, "fires", True) is False
    if readout.of_spikes and silent:
        yield Finding("READOUT", target.name, "it does not fire", remedy="read out the mean, maximum or last v")
    elif not readout.of_spikes and not silent:
        yield Finding(
            "READOUT", target.name, f"v of a firing neuron is read out by {readout.rule!r}",
            remedy="end the network with an LI, or count spikes",
        )  # fmt: skip


def _population(graph: Graph, p: Population) -> Iterator[Finding]:
    neuron = p.neuron
    if not isinstance(neuron, LIF | CubaLIF | LI | CubaLI):
        yield Finding("NEURON", p.name, f"no circuit for {type(neuron).__name__}", remedy="use LIF, CubaLIF or LI")
        return
    for key in ("decay", "decay_syn", "decay_mem"):
        value = getattr(neuron, key, None)
        if value is not None:
            yield from _finite(p.name, key, value)
            wrong = value[((value < 0) | (value > 1)) & np.isfinite(value)]
            if wrong.size:
                yield Finding(
                    "DECAY_RANGE", p.name, f"{key} is {float(wrong[0]):g}", resource=key, needed=float(wrong[0]),
                    available=1, remedy="use decays from 0 to 1",
                )  # fmt: skip
    if p.bias is not None:
        yield from _finite(p.name, "bias", p.bias)
    if isinstance(neuron, LI | CubaLI):
        if graph.outgoing(p.name):
            yield Finding(
                "LI_NOT_READOUT", p.name, "an LI sends its v to other neurons; only spikes travel",
                remedy="make it the last layer, or use a firing neuron",
            )  # fmt: skip
        elif graph.readout is None or graph.readout.population != p.name:
            yield Finding("LI_NOT_READOUT", p.name, "an LI that is not read out", remedy="read it out, or leave it out")
        return
    yield from _finite(p.name, "threshold", neuron.threshold)
    low = neuron.threshold[neuron.threshold <= 0]
    if low.size:
        yield Finding(
            "THRESHOLD_RANGE", p.name, f"the threshold is {float(low[0]):g}", remedy="use a threshold above 0"
        )
    if neuron.reset == "subtract":
        yield Finding(
            "SUBTRACT_RESET", p.name, "the threshold is subtracted on a spike; the membrane is pulled to one potential",
            remedy='train with reset="zero"',
        )  # fmt: skip
    most = registers.LONGEST_PS // spec.STEP_PS - 1
    if not 0 <= neuron.refractory <= most:
        yield Finding(
            "REFRACTORY_RANGE", p.name, f"{neuron.refractory} steps are skipped after a spike", resource="refractory",
            needed=neuron.refractory, available=most, remedy=f"use 0 to {most}",
        )  # fmt: skip


def _registers(p: Population, neuron: BrainScales2Neuron) -> Iterator[Finding]:
    ranges = {
        "tau_mem": spec.TAU_MEM_PS, "tau_syn_e": spec.TAU_SYN_PS, "tau_syn_i": spec.TAU_SYN_PS,
        "v_leak": (-(10**12), 10**12), "v_reset": (0, spec.CODE_MAX * 10**6), "v_thresh": (0, spec.CODE_MAX * 10**6),
        "gain": (0, 10**12), "t_hold": (0, registers.LONGEST_PS),
    }  # fmt: skip
    for key, (low, high) in ranges.items():
        value = getattr(neuron, key)
        bad = np.flatnonzero((value < low) | (value > high))
        if bad.size:
            worst = int(value[bad[0]])
            yield Finding(
                "REGISTER_RANGE", f"{p.name}[{bad[0]}]", f"{key} = {worst} in {bad.size} neurons", resource=key,
                needed=worst, available=high if worst > high else low, remedy=f"use {low} to {high}",
            )  # fmt: skip
    wrong = [t for t in np.unique(neuron.t_hold).tolist() if registers.nearest_refractory(t) != t]
    if neuron.fires and wrong:
        yield Finding(
            "REFRACTORY_RANGE", p.name, f"a refractory time of {wrong[0]} ps, which the counter cannot count",
            resource="refractory", needed=wrong[0], available=registers.nearest_refractory(wrong[0]),
            remedy=f"use {registers.nearest_refractory(wrong[0])} ps",
        )  # fmt: skip


def _connection(graph: Graph, c: Connection, quantised: bool) -> Iterator[Finding]:
    for op in c.synapse.ops if isinstance(c.synapse, Chain) else (c.synapse,):
        weight = getattr(op, "weight", getattr(op, "factor", None))
        if weight is not None:
            yield from _finite(c.name, "the weights", np.asarray(getattr(weight, "data", weight)))
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


def _finite(where: str, what: str, value: Array) -> Iterator[Finding]:
    bad = int(np.size(value) - np.isfinite(value).sum())
    if bad:
        yield Finding("NOT_FINITE", where, f"{bad} values of {what} are NaN or infinite", remedy="retrain")
