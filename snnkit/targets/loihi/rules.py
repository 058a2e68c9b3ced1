"""What fits Loihi and what does not: findings, all at once, never exceptions.

    code                  what                                                              where from
    NEURON                a neuron that Loihi does not have                                  both
    SUBTRACT_RESET        reset by subtraction: a compartment resets to zero only            float
    INPUT_NOT_BINARY      an input with counts above 1: the host sends a spike or none       both
    NOT_FINITE            NaN or infinity in a bias, decay or threshold                      float
    WEIGHT_NOT_FINITE     NaN or infinity in a weight                                        float
    THRESHOLD_RANGE       a threshold that is not positive                                   float
    DECAY_RANGE           a decay outside 0 to 1                                             float
    REFRACTORY_RANGE      a refractory period outside 0 to 62 skipped steps                  float
    LI_NOT_READOUT        an LI that is not the read-out: its v would have to leave the chip float
    READOUT               a read-out that does not fit its population                        both
    DELAY_RANGE           a delay register outside 0 to 62                                   both
    LOOP_TOO_SHORT        a loop with less delay than connections: each takes one step       both
    GRAPH                 an inconsistent graph                                              both
    REGISTER_RANGE        a value that a neuron's register cannot hold                       integer
    WEIGHT_FORMAT         exponent, sign mode or bits that no synapse format has             integer
    WEIGHT_RANGE          a mantissa outside its sign mode's range                           integer
    DISPUTED              a setting that public references read differently                  integer
    AXONS, OUTPUT_AXONS, SYNAPSE_MEMORY, SYNAPSE_FORMATS, COMPARTMENT_PROFILES, THRESHOLD_PROFILES, DELAY_DEPTH,
    COMPARTMENTS          one neuron alone needs more than a core has                        both
    CHIPS                 more chips than the board has                                      both

The synapses of float graphs are counted, see `plan`: of a weight it only matters whether it is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import LI, LIF, CubaLIF, LoihiNeuron
from snnkit.graph.synapses import Conv, Dense, LoihiWeightFormat
from snnkit.targets import checks
from snnkit.targets.loihi import spec

Array = np.ndarray[Any, Any]


# -------------------------------------------------------------------------------------------------------- float graphs
def check(graph: Graph, *, max_chips: int | None = None, resources: bool = True) -> list[Finding]:
    """Everything about a float graph, on either timeline, that Loihi cannot do. Integer graphs go to `check_integer`.

    Args:
        max_chips: what the board has; None for what the mesh can address.
        resources: also cut the network into cores, which takes a moment for large ones.
    """
    if any(isinstance(p.neuron, LoihiNeuron) for p in graph.populations):
        return check_integer(graph)
    findings = list(checks.structure(graph))
    for p in graph.populations:
        findings.extend(_float_population(graph, p))
    for c in graph.connections:
        findings.extend(checks.weights_finite(c))
        findings.extend(_delay(graph, c, late_by=0 if graph.timeline == "model" else 1))
    if resources and not has_errors([f for f in findings if f.code in ("GRAPH", "NEURON", "DELAY_RANGE")]):
        from snnkit.targets.loihi.plan import plan

        findings.extend(plan(_countable(graph), counted=True, max_chips=max_chips).findings)
    return findings


def _float_population(graph: Graph, p: Population) -> Iterator[Finding]:
    neuron = p.neuron
    if not isinstance(neuron, LIF | CubaLIF | LI):
        yield Finding("NEURON", p.name, f"Loihi has no {type(neuron).__name__}", remedy="use LIF, CubaLIF or LI")
        return
    yield from checks.numbers(p)
    if isinstance(neuron, LI):
        yield from checks.membrane_is_read(graph, p)
    else:
        yield from checks.firing(p, refractory=spec.REFRACT_MAX - 1, reset="a compartment resets to 0")


def _delay(graph: Graph, c: Connection, *, late_by: int) -> Iterator[Finding]:
    from_host = c.src in {i.name for i in graph.inputs}
    register = c.max_delay - (0 if from_host else late_by)
    if register > spec.DELAY_MAX:
        yield Finding(
            "DELAY_RANGE", c.name, f"a delay of {c.max_delay} steps", resource="delay register", needed=register,
            available=spec.DELAY_MAX, remedy=f"use delays of at most {spec.DELAY_MAX + (c.max_delay - register)}",
        )  # fmt: skip


def _countable(graph: Graph) -> Graph:
    """The graph as `plan` counts it: on the chip timeline, with parameters of no meaning that are equal everywhere."""
    fmt = LoihiWeightFormat()
    hosts = {i.name for i in graph.inputs}

    def connection(c: Connection) -> Connection:
        delay = np.maximum(c.delay, 0 if c.src in hosts else 1)
        return Connection(c.name, c.src, c.dst, c.synapse, delay if delay.ndim else int(delay), fmt)

    def population(p: Population) -> Population:
        zero, one = np.zeros(p.n, np.int32), np.ones(p.n, np.int32)
        return Population(p.name, p.shape, LoihiNeuron(zero, zero, one, zero, zero, one))

    return graph.with_(
        timeline="chip",
        populations=tuple(population(p) for p in graph.populations),
        connections=tuple(connection(c) for c in graph.connections),
    )


# ------------------------------------------------------------------------------------------------------ integer graphs
def check_integer(graph: Graph, *, strict: bool = True) -> list[Finding]:
    """Everything about an integer graph that Loihi's registers cannot hold; resources are found by lowering.

    Args:
        strict: settings that public references read differently are errors; otherwise notes.
    """
    findings = list(checks.structure(graph))
    for p in graph.populations:
        if isinstance(p.neuron, LoihiNeuron):
            findings.extend(_registers(p, p.neuron, strict))
    findings.extend(checks.quantised(graph, LoihiNeuron))
    for c in graph.connections:
        findings.extend(_weights(c, strict))
        findings.extend(_delay(graph, c, late_by=1))
    return findings


def vmin_exponent(vmin: int) -> int:
    """k of vmin = -(2**k) + 1, or -1 if there is none."""
    k = (1 - vmin).bit_length() - 1
    return k if 0 <= k <= spec.VMIN_EXPONENT_MAX and spec.vmin(k) == vmin else -1


def vmax_exponent(vmax: int) -> int:
    """k of vmax = 2**(9 + 2k) - 1, or -1 if there is none."""
    return next((k for k in range(spec.VMAX_EXPONENT_MAX + 1) if spec.vmax(k) == vmax), -1)


def _registers(p: Population, neuron: LoihiNeuron, strict: bool) -> Iterator[Finding]:
    for key, low, high in (
        ("du", 0, spec.DECAY_MAX),
        ("dv", 0, spec.DECAY_MAX),
        ("vth", 0, spec.VTH_MANTISSA_MAX),
        ("bias_mant", spec.BIAS_MANTISSA_MIN, spec.BIAS_MANTISSA_MAX),
        ("bias_exp", 0, spec.BIAS_EXPONENT_MAX),
        ("refract", spec.REFRACT_MIN, spec.REFRACT_MAX),
    ):
        yield from checks.register(p.name, key, getattr(neuron, key), low, high)
    for key, good, text in (
        ("ds_offset", neuron.ds_offset in (0, 1), "0 or 1"),
        ("noise_at_membrane", neuron.noise_at_membrane in (0, 1), "0 or 1"),
        ("vmin", vmin_exponent(neuron.vmin) >= 0, "-(2**k) + 1 with k from 0 to 31"),
        ("vmax", vmax_exponent(neuron.vmax) >= 0, "2**(9 + 2k) - 1 with k from 0 to 7"),
    ):
        if not good:
            yield Finding("REGISTER_RANGE", p.name, f"{key} = {getattr(neuron, key)}", remedy=f"use {text}")
    for key, low, reason in (
        ("vth", 0, "A16: not every reference accepts a threshold of 0"),
        ("bias_mant", spec.BIAS_MANTISSA_MIN, "A16: not every reference accepts a bias of -4096"),
    ):
        count = int((getattr(neuron, key) == low).sum())
        if count:
            yield _disputed(p.name, f"{reason} ({count} neurons)", strict)


def _disputed(where: str, what: str, strict: bool) -> Finding:
    return Finding(
        "DISPUTED", where, what, severity="error" if strict else "note",
        remedy="avoid it" if strict else "the reading of the reference vectors is taken",
    )  # fmt: skip


def _weights(c: Connection, strict: bool) -> Iterator[Finding]:
    fmt = c.format
    if not isinstance(fmt, LoihiWeightFormat) or not (
        spec.WEIGHT_EXPONENT_MIN <= fmt.exponent <= spec.WEIGHT_EXPONENT_MAX
        and fmt.sign_mode in spec.MANTISSA_RANGE
        and 1 <= fmt.bits <= spec.WEIGHT_MAGNITUDE_BITS
    ):
        yield Finding(
            "WEIGHT_FORMAT", c.name, f"the weights' format is {fmt}",
            remedy="exponent -8 to 7, sign mode 1 (mixed), 2 (excitatory) or 3 (inhibitory), 1 to 8 bits",
        )  # fmt: skip
        return
    w = c.synapse.weight if isinstance(c.synapse, Conv | Dense) else c.synapse.matrix().data
    if not np.issubdtype(np.asarray(w).dtype, np.integer):
        yield Finding("WEIGHT_FORMAT", c.name, f"the weights are {w.dtype}, not integers", remedy="quantise the graph")
        return
    w = np.asarray(w).astype(np.int64).ravel()
    low, high = spec.MANTISSA_RANGE[fmt.sign_mode]
    if fmt.sign_mode == spec.MIXED:
        high += 1  # 255 only loses its lowest bit
    if fmt.sign_mode == spec.INHIBITORY:
        low -= 1  # -256 becomes -255, see below
    bad = w[(w < low) | (w > high)]
    if bad.size:
        yield Finding(
            "WEIGHT_RANGE", c.name, f"{bad.size} mantissas such as {int(bad[0])} in sign mode {fmt.sign_mode}",
            resource="mantissa", needed=int(bad[0]), available=high if bad[0] > high else low,
            remedy="choose another sign mode, or scale the weights",
        )  # fmt: skip
        return
    for reason, count in _disputes(w, fmt):
        if count:
            yield _disputed(c.name, f"{reason} ({count} of {w.size} weights)", strict)


def _disputes(w: Array, fmt: LoihiWeightFormat) -> Iterator[tuple[str, int]]:
    """The weight rules that references read differently and these weights depend on."""
    step = 1 << (spec.WEIGHT_MAGNITUDE_BITS - fmt.bits + (fmt.sign_mode == spec.MIXED))
    yield f"A1: mantissas that are no multiple of {step}", int((w % step != 0).sum())
    if fmt.exponent < 0:
        unit = 1 << -fmt.exponent
        yield f"A2, A3: mantissas that lose bits to the exponent {fmt.exponent}", int((w % unit != 0).sum())
    if fmt.sign_mode == spec.MIXED and fmt.exponent == spec.WEIGHT_EXPONENT_MAX:
        yield "A4: mantissa -256 at exponent 7", int((w == -256).sum())
    if fmt.sign_mode == spec.INHIBITORY:
        yield "A5: inhibitory mantissa -256", int((w == -256).sum())
    if fmt.exponent == spec.WEIGHT_EXPONENT_MIN:
        yield "A16: exponent -8 exists in one reference only", w.size
    if fmt.bits == 7:
        yield "A16: 7 weight bits have no register code and are stored in 8", w.size
