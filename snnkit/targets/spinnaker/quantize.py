"""Real weights, thresholds and decays -> parameters and words of SpiNNaker neurons.

LIF -> IF_curr_delta, CubaLIF -> IF_curr_exp, with v_reset = 0 and 1 ms a step:

    v' = a*v + (1 - a)*R*I,   R the power of two next to 1/(1 - a), made by c_m

a is the exponential that the core computes from tau_m in s16.15; tau_m is the one whose a is nearest. What is left of
(1 - a)*R beside 1, and the scale of the exponential synapse, are the gain between words and v. Each neuron has a scale
of its own (a read-out one for all): a word is weight * scale, v is in units of scale * gain * 2**shift. The scale makes
the words use the 16 bits of a ring slot, the shift makes v use s16.15. Where all weights of a neuron are multiples of
one unit, its words are whole multiples of a power of two (one, for a pure integrator), and nothing is rounded: see
`scales.py`, which also keeps the sums that equal a threshold.

Proved for inputs within their counts: |I|*R and the difference to v stay below 2**31, so nothing wraps; a read-out
stays below its threshold, 2**31 - 1. A slot cannot saturate where `ring_bound` is "proved" (all sources of a neuron at
once); where that would leave a weight fewer than 11 bits and firing rates are known, the bound is their mean plus eight
deviations ("rates"), saturation is possible, and the emulator counts it.

A bias acts through i_offset. Where inputs take a step of their own, refrac_init keeps the membrane still in step 0, so
that the bias acts for as many steps as in the graph that was given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF, SpinnakerNeuron
from snnkit.graph.synapses import Dense, Sparse, SpinnakerWeightFormat
from snnkit.targets import quantized
from snnkit.targets.spinnaker import scales, spec, throughput, words
from snnkit.targets.spinnaker.arrivals import Arrivals, arrivals
from snnkit.targets.spinnaker.constants import Membrane, Synapse, membrane, synapse
from snnkit.targets.spinnaker.quantize_report import connection_row, describe

Array = np.ndarray[Any, Any]

REACH = 2.0**30
"""|I|*R stays below, so that its difference to v stays below 2**31."""
THRESHOLD_MAX = 2**31 - 1


@dataclass(frozen=True)
class QuantizeOptions:
    """Choices of the quantiser.

    Attributes:
        proved: insist on ring buffers that cannot saturate, whatever the resolution of the weights.
        deviations: above the mean, of the bound by firing rates.
    """

    proved: bool = False
    deviations: float = 8.0


@dataclass(frozen=True)
class Quantized(quantized.Quantized):
    """`settled`: codes of findings that earlier checks made with assumptions, and that these findings replace."""

    settled: tuple[str, ...] = ()


def quantize(
    graph: Graph, rates: Mapping[str, Array] | None = None, options: QuantizeOptions | None = None
) -> Quantized:
    """Quantise a float graph on the chip timeline.

    A packet of an input takes a step, too: if some input acts without delay, all lags and input delays grow by one.

    Args:
        graph: a float graph that passed `rules.check`.
        rates: firing probability (mean count) per step of each source, by name [n], measured on calibration data.
        options: see `QuantizeOptions`.
    """
    quantized.on_chip_timeline(graph)
    options = options or QuantizeOptions()
    late = 0 if (moved := _input_step(graph)) is graph else 1
    populations: list[Population] = []
    connections: dict[str, Connection] = {}
    report: list[dict[str, Any]] = []
    findings: list[Finding] = []
    for population in moved.populations:
        layer = _Layer(moved, population, rates or {}, options, late)
        neuron, made = layer.solve()
        populations.append(replace(population, neuron=neuron, bias=None))
        connections |= {c.name: c for c in made}
        report.append(layer.report)
        findings += layer.findings
    ordered = tuple(connections[c.name] for c in moved.connections)
    done = moved.with_(populations=tuple(populations), connections=ordered)
    if rates is not None:
        for row, load in zip(report, throughput.loads(done, rates)):
            row["events_per_core_and_step"] = load.events
        findings += throughput.findings(done, rates)
    return Quantized(done, report, findings, () if rates is None else ("THROUGHPUT",))


def _input_step(graph: Graph) -> Graph:
    hosts = {i.name for i in graph.inputs}
    inputs = [c for c in graph.connections if c.src in hosts]
    if not any(np.size(c.delay) and int(np.min(c.delay)) == 0 for c in inputs):
        return graph
    return graph.with_(
        populations=tuple(replace(p, lag=p.lag + 1) for p in graph.populations),
        connections=tuple(replace(c, delay=c.delay + 1) if c.src in hosts else c for c in graph.connections),
    )


@dataclass(frozen=True, eq=False)
class Scale:
    """word = weight * words; v = potential * words * gain * 2**shift. `exact` [n]: where words are not rounded.
    `window` [n]: pure integrators that do not leak between v_rest and their threshold."""

    words: Array
    shift: int
    exact: Array
    window: Array


class _Layer:
    """Works out one population."""

    def __init__(
        self, graph: Graph, population: Population, rates: Mapping[str, Array], options: QuantizeOptions, late: int
    ) -> None:
        self.population, self.late = population, late
        self.findings: list[Finding] = []
        self.ticks = None if graph.steps is None else graph.steps + graph.max_lag
        neuron = population.neuron
        assert isinstance(neuron, LIF | CubaLIF | LI | CubaLI)
        self.readout = isinstance(neuron, LI | CubaLI)
        self.exponential = isinstance(neuron, CubaLIF | CubaLI)
        wanted = getattr(neuron, "decay_mem", getattr(neuron, "decay", None))
        self.decay = np.asarray(wanted, np.float64)
        self.membrane: Membrane = membrane(self.decay)
        self.synapse: Synapse | None = synapse(np.asarray(neuron.decay_syn)) if self.exponential else None  # type: ignore[union-attr]
        self.connections = graph.incoming(population.name)
        self.matrices = [sp.csr_matrix(c.synapse.matrix(), dtype=np.float64) for c in self.connections]
        self.threshold = None if self.readout else np.asarray(neuron.threshold, np.float64)  # type: ignore[union-attr]
        self.gain = self.membrane.gain * (1.0 if self.synapse is None else self.synapse.gain)
        self.bias = np.zeros(population.n) if population.bias is None else np.asarray(population.bias, np.float64)
        self.arrivals: Arrivals = arrivals(
            graph, self.connections, self.matrices, population.n, rates, proved=options.proved,
            deviations=options.deviations,
        )  # fmt: skip
        self.report: dict[str, Any] = {"layer": population.name, "neurons": population.n}

    def solve(self) -> tuple[SpinnakerNeuron, list[Connection]]:
        if np.any(self.bias) and self.synapse is not None and np.any(self.population.neuron.decay_syn):  # type: ignore[union-attr]
            self.findings.append(
                Finding("BIAS_REGISTER", self.population.name,
                        "i_offset drives the membrane, but the bias of a CubaLIF passes through its current",
                        remedy="gate the bias (snnkit.passes.gate_bias)")
            )  # fmt: skip
        scale, may = self._scale(), self.arrivals
        rounded = np.where(scale.exact, 0, may.packets / 2)
        proved = bool(np.all(may.sure.max(0) * scale.words + rounded <= spec.WEIGHT_MAX))
        made = [self._connection(c, m, scale.words) for c, m in zip(self.connections, self.matrices)]
        neuron = self._neuron(scale, made)
        describe(self, scale, neuron, "proved" if proved else may.bound, may.sure[1] * scale.words)
        return neuron, made

    # ---------------------------------------------------------------------------------------------------------- scale
    def _scale(self) -> Scale:
        """Words that fill a slot, a shift that fills s16.15, powers of two of a unit where weights have one."""
        n, steady, most = self.population.n, self._steady(), np.maximum(self.arrivals.used.max(0), 1e-30)
        offset = np.abs(self.bias) * self.gain / self.membrane.gain
        # I in units of the membrane, per word of the slot: the shift comes on top
        reach = REACH / float((self.membrane.r * steady).max(initial=1))
        top = min(reach, float(spec.WEIGHT_MAX))  # long time constants: fewer words, no shift
        shift = min(max(math.floor(math.log2(reach / spec.WEIGHT_MAX)), 0), spec.SHIFT_MAX)
        unit = scales.units(self.matrices, self.bias)
        full = most + offset / np.maximum(steady, 1e-30)
        rounded = np.minimum(0.5 * self.arrivals.packets, spec.WEIGHT_MAX / 2)  # what rounding to words may add
        loose, tight = np.maximum(top - rounded, 1.0) / full, top / full
        if self.threshold is not None:  # lower the shift until every threshold fits s16.15
            level, limit = self.threshold * self.gain, THRESHOLD_MAX / 2.0
            while shift > 0 and float((level * tight).max(initial=0)) * 2.0**shift > limit:
                shift -= 1
            loose, tight = (np.minimum(x, limit / (level * 2.0**shift)) for x in (loose, tight))
        power = np.exp2(np.floor(np.log2(np.maximum(tight * np.nan_to_num(unit, nan=1.0), 1e-30))))
        exact = np.isfinite(unit) & (power >= 1)
        window = exact & (self.decay == 1) & (not self.exponential) & (shift == 0)
        if self.threshold is not None:
            window &= self.threshold / np.where(exact, unit, 1.0) < scales.WINDOW - 1
            power = np.where(window, 1.0, power)
        if self.readout and n:  # one scale of v for all
            same = bool(exact.all()) and np.ptp(unit) == 0 and np.ptp(self.gain) == 0
            window = np.full(n, same and bool(window.all()) and self._reach(1 / unit) < scales.WINDOW // 2)
            power, exact = np.full(n, 1.0 if window[0] else power.min()), np.full(n, same)
            loose = float((loose * self.gain).min()) / self.gain
        return Scale(np.where(exact, power / unit, loose), shift, exact, window)

    def _reach(self, words: Array) -> float:
        """How far a v without a leak may go in a whole run, raw."""
        total = float(((self.arrivals.sure.max(0) + np.abs(self.bias)) * words).max(initial=0))
        return np.inf if self.ticks is None and total else total * (self.ticks or 0)

    def _steady(self) -> Array:
        """How much larger the current may become than what arrives in one step."""
        if self.synapse is None:
            return np.ones(self.population.n)
        a = self.synapse.decay / 2.0**32
        longest = np.inf if self.ticks is None else float(self.ticks)
        with np.errstate(divide="ignore"):
            geometric = np.minimum(1.0 / np.maximum(1.0 - a, 1e-12), longest)
        return np.asarray(geometric)

    # ------------------------------------------------------------------------------------------------------- parameters
    def _connection(self, c: Connection, m: sp.csr_matrix, factor: Array) -> Connection:
        each = np.repeat(factor, np.diff(m.indptr))
        data = np.rint(m.data * each)
        clipped = np.clip(data, -spec.WEIGHT_MAX, spec.WEIGHT_MAX).astype(np.int32)
        made = sp.csr_matrix((clipped, m.indices, m.indptr), shape=m.shape)
        new = Dense(made.toarray()) if isinstance(c.synapse, Dense) else Sparse(made)
        self.report.setdefault("connections", {})[c.name] = connection_row(m.data, each, data, clipped)
        return replace(c, synapse=new, format=SpinnakerWeightFormat())

    def _neuron(self, scale: Scale, made: Sequence[Connection]) -> SpinnakerNeuron:
        n, a, units = self.population.n, self.membrane.a, scale.words * self.gain * 2.0**scale.shift
        zero, step = np.zeros(n, np.int32), np.full(n, spec.ONE, np.int32)
        rest = np.where(scale.exact & (self.decay < 1), 0, scales.rest_to_nearest(a))
        level, refractory = np.full(n, THRESHOLD_MAX), 0
        if self.threshold is None:
            rest = np.where(scale.window, -scales.WINDOW // 2, rest)
        else:
            level = self._levels(self.threshold * units, scale)
            rest = np.where(scale.window, level - scales.WINDOW, rest)
            refractory = self.population.neuron.refractory  # type: ignore[union-attr]
        offset = np.rint(self.bias / self.membrane.gain * units)
        tau_syn = step if self.synapse is None else self.synapse.tau.astype(np.int32)
        longest = max((c.max_delay for c in made), default=1)
        still = np.full(n, self.late if np.any(self.bias) else 0, np.int32)
        return SpinnakerNeuron(
            model="exp" if self.exponential else "delta",
            v_init=zero, v_rest=rest.astype(np.int32), v_reset=zero, v_thresh=level.astype(np.int32),
            c_m=self.membrane.c.astype(np.int32), tau_m=self.membrane.tau.astype(np.int32),
            i_offset=offset.astype(np.int32), tau_refrac=np.full(n, refractory * spec.ONE, np.int32),
            tau_syn_e=tau_syn, tau_syn_i=tau_syn, ts=step, refrac_init=still, shift=(scale.shift, scale.shift),
            delay_bits=words.bits_for(max(longest, 1)),
        )  # fmt: skip

    def _levels(self, level: Array, scale: Scale) -> Array:
        """Raw thresholds: to nearest; for exact words the next whole number, so that sums equal to it fire."""
        error = np.abs(self.membrane.a / spec.ONE - self.decay) / np.maximum(1 - self.decay, 2.0**-15)
        floors = np.zeros(level.shape)
        if self.synapse is not None:
            lasting = 1.0 / np.maximum(1.0 - self.synapse.decay / 2.0**32, 2.0**-15)
            floors = 2 * lasting * self.membrane.r + 1
            error = error + np.abs(self.synapse.decay / 2.0**32 - self.population.neuron.decay_syn) * lasting  # type: ignore[union-attr]
        margin = np.where(scale.window, 0, scales.tie_margin(level, error, floors))
        kept = np.ceil(level * (1 - scales.SAME) - margin)
        return np.maximum(np.where(scale.exact, kept, np.rint(level)), 1)


__all__ = ["QuantizeOptions", "Quantized", "quantize"]
