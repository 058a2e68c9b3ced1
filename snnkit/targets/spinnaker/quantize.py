"""Real weights, thresholds and decays -> parameters and words of SpiNNaker neurons.

LIF -> IF_curr_delta, CubaLIF -> IF_curr_exp, with v_rest = v_reset = 0 and 1 ms a step:

    v' = a*v + (1 - a)*R*I,   R = 1/(1 - a), chosen by c_m, so that I is the input in units of the membrane

a is the exponential that the core computes from tau_m in s16.15; tau_m is the one whose a is nearest. What is left of
(1 - a)*R beside 1, and the scale of the exponential synapse, go into the weights. Each neuron has a scale of its own
(a read-out one for all): units of v = 2**shift * scale * v. The scale makes the words use the 16 bits of a ring slot,
the shift makes v use s16.15.

Proved for inputs within their counts: |I|*R and the difference to v stay below 2**31, so nothing wraps; a read-out
stays below its threshold, 2**31 - 1. A slot cannot saturate where `ring_bound` is "proved" (all sources of a neuron at
once); where that would leave a weight fewer than 8 bits and firing rates are known, the bound is their mean plus eight
deviations ("rates"), saturation is possible, and the emulator counts it.

A decay of 1 (pure integrate and fire) has no time constant: the largest a that the exponential gives is 32766/32768
(tau_m of 32 s), whose leak is reported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.errors import GraphError
from snnkit.graph.findings import Finding
from snnkit.graph.model import (
    LI,
    LIF,
    Connection,
    CubaLI,
    CubaLIF,
    Dense,
    Graph,
    Population,
    Sparse,
    SpinnakerNeuron,
    SpinnakerWeightFormat,
)
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.constants import Membrane, Synapse, membrane, synapse

Array = np.ndarray[Any, Any]

GOOD_WORD = 127
"""A largest weight of 8 bits with its sign is good enough to insist on a proved bound."""
LEAST_SHARE = 1 / 8
"""A bound by rates is at least this share of the proved one: sources may fire together."""
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
class Quantized:
    """An integer graph, what it cost (one dict per layer), and findings."""

    graph: Graph
    report: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


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
    if graph.timeline != "chip":
        raise GraphError("quantize needs a graph on the chip timeline", fix="run snnkit.passes.add_lag first")
    options = options or QuantizeOptions()
    graph = _input_step(graph)
    populations: list[Population] = []
    connections: dict[str, Connection] = {}
    report: list[dict[str, Any]] = []
    findings: list[Finding] = []
    for population in graph.populations:
        layer = _Layer(graph, population, rates or {}, options)
        neuron, made = layer.solve()
        populations.append(replace(population, neuron=neuron, bias=None))
        connections |= {c.name: c for c in made}
        report.append(layer.report)
        findings += layer.findings
    ordered = tuple(connections[c.name] for c in graph.connections)
    return Quantized(graph.with_(populations=tuple(populations), connections=ordered), report, findings)


def _input_step(graph: Graph) -> Graph:
    hosts = {i.name for i in graph.inputs}
    inputs = [c for c in graph.connections if c.src in hosts]
    if not any(np.size(c.delay) and int(np.min(c.delay)) == 0 for c in inputs):
        return graph
    return graph.with_(
        populations=tuple(replace(p, lag=p.lag + 1) for p in graph.populations),
        connections=tuple(replace(c, delay=c.delay + 1) if c.src in hosts else c for c in graph.connections),
    )


class _Layer:
    """Works out one population."""

    def __init__(self, graph: Graph, population: Population, rates: Mapping[str, Array], options: QuantizeOptions):
        self.graph, self.population, self.rates, self.options = graph, population, rates, options
        self.findings: list[Finding] = []
        self.ticks = None if graph.steps is None else graph.steps + graph.max_lag
        neuron = population.neuron
        assert isinstance(neuron, LIF | CubaLIF | LI | CubaLI)
        self.readout = isinstance(neuron, LI | CubaLI)
        self.exponential = isinstance(neuron, CubaLIF | CubaLI)
        self.membrane: Membrane = membrane(np.asarray(getattr(neuron, "decay_mem", getattr(neuron, "decay", None))))
        self.synapse: Synapse | None = synapse(np.asarray(neuron.decay_syn)) if self.exponential else None  # type: ignore[union-attr]
        self.connections = graph.incoming(population.name)
        self.matrices = [sp.csr_matrix(c.synapse.matrix(), dtype=np.float64) for c in self.connections]
        self.report: dict[str, Any] = {"layer": population.name, "neurons": population.n}

    def solve(self) -> tuple[SpinnakerNeuron, list[Connection]]:
        n, neuron = self.population.n, self.population.neuron
        gain = self.membrane.gain * (1.0 if self.synapse is None else self.synapse.gain)
        up, down, bound = self._arrivals(gain)
        most = np.maximum(np.maximum(up, down), 1e-30)
        bias = self._bias()
        steady = self._steady()
        # I in units of the membrane, per word of the slot: the shift comes on top
        reach = REACH / float((self.membrane.r * steady).max(initial=1))
        top = min(reach, float(spec.WEIGHT_MAX))  # long time constants: fewer words, no shift
        shift = min(max(math.floor(math.log2(reach / spec.WEIGHT_MAX)), 0), spec.SHIFT_MAX)
        rounded = np.minimum(0.5 * self._fan_in(), spec.WEIGHT_MAX / 2)  # what rounding to words may add
        scale = np.maximum(top - rounded, 1.0) / (most + np.abs(bias) / np.maximum(steady, 1e-30))
        threshold = None if self.readout else np.asarray(neuron.threshold, np.float64)  # type: ignore[union-attr]
        scale, shift = self._with_threshold(scale, shift, threshold, most)
        if self.readout:
            scale = np.full(n, scale.min(initial=np.inf) if n else 1.0)
        scale, exact = self._snap(scale, gain, threshold)
        made = [self._connection(c, m, scale / gain) for c, m in zip(self.connections, self.matrices)]
        self._describe(scale, gain, made, bound, shift, exact, threshold)
        return self._neuron(scale * 2.0**shift, threshold, bias, shift, made), made

    def _with_threshold(self, scale: Array, shift: int, threshold: Array | None, most: Array) -> tuple[Array, int]:
        """Lower scales and shift until every threshold fits s16.15; what a threshold cannot reach is a finding."""
        if threshold is None:
            return scale, shift
        limit = THRESHOLD_MAX / 2.0
        while shift > 0 and float((threshold * scale).max(initial=0)) * 2.0**shift > limit:
            shift -= 1
        return np.minimum(scale, limit / (threshold * 2.0**shift)), shift

    def _snap(self, scale: Array, gain: Array, threshold: Array | None) -> tuple[Array, bool]:
        """One power of two for all, if that makes every word exact: dyadic weights lose nothing."""
        if not scale.size:
            return scale, True
        power = 2.0 ** math.floor(math.log2(float(scale.min())))
        flat = np.all(gain == 1.0)
        values = np.concatenate([m.data for m in self.matrices]) * power if self.matrices else np.zeros(0)
        whole = bool(flat) and np.array_equal(values, np.rint(values))
        if whole and (threshold is None or np.array_equal(threshold * power, np.rint(threshold * power))):
            return np.full(scale.shape, power), True
        return scale, False

    def _arrivals(self, gain: Array) -> tuple[Array, Array, str]:
        """Largest excitatory and inhibitory sum of weights in a step (of words: divided by the gain), and its proof."""
        n = self.population.n
        sure = np.zeros((2, n))
        mean, var, largest = np.zeros((2, n)), np.zeros((2, n)), np.zeros(n)
        known = True
        for c, m in zip(self.connections, self.matrices):
            source = next((i for i in self.graph.inputs if i.name == c.src), None)
            count = 1 if source is None else source.max_count
            rate = self.rates.get(c.src)
            known &= rate is not None
            p = np.ones(m.shape[1]) if rate is None else np.asarray(rate, np.float64).reshape(-1)
            np.maximum(largest, np.asarray(abs(m).max(axis=1).todense()).reshape(-1), out=largest)
            for k, part in enumerate((m.maximum(0), (-m).maximum(0))):
                sure[k] += np.asarray(part.sum(1)).reshape(-1) * count
                mean[k] += part @ p
                var[k] += part.multiply(part) @ np.maximum(p * count - p * p, 1e-4)
        sure, mean, largest = sure / gain, mean / gain, largest / gain
        proved = sure.max(0)
        words_of = np.where(proved > 0, largest / np.maximum(proved, 1e-30) * spec.WEIGHT_MAX, np.inf)
        if self.options.proved or not known or bool(np.all((words_of >= GOOD_WORD) | (largest == 0))):
            return sure[0], sure[1], "proved"
        likely = np.minimum(mean + self.options.deviations * np.sqrt(var) / gain + largest, sure)
        likely = np.maximum(likely, LEAST_SHARE * sure)
        return likely[0], likely[1], "rates"

    def _fan_in(self) -> Array:
        """Packets that may add to one slot of each neuron."""
        counts = {i.name: i.max_count for i in self.graph.inputs}
        each = [np.diff(m.indptr) * counts.get(c.src, 1) for c, m in zip(self.connections, self.matrices)]
        return np.sum([np.zeros(self.population.n), *each], axis=0)

    def _steady(self) -> Array:
        """How much larger the current may become than what arrives in one step."""
        if self.synapse is None:
            return np.ones(self.population.n)
        a = self.synapse.decay / 2.0**32
        longest = np.inf if self.ticks is None else float(self.ticks)
        with np.errstate(divide="ignore"):
            geometric = np.minimum(1.0 / np.maximum(1.0 - a, 1e-12), longest)
        return np.asarray(geometric)

    def _bias(self) -> Array:
        n = self.population.n
        if self.population.bias is None:
            return np.zeros(n)
        if self.synapse is not None and np.any(self.population.neuron.decay_syn):  # type: ignore[union-attr]
            self.findings.append(
                Finding("BIAS_REGISTER", self.population.name,
                        "i_offset drives the membrane, but the bias of a CubaLIF passes through its current",
                        remedy="gate the bias (snnkit.passes.gate_bias)")
            )  # fmt: skip
        return np.asarray(self.population.bias, np.float64) / self.membrane.gain

    def _connection(self, c: Connection, m: sp.csr_matrix, factor: Array) -> Connection:
        data = np.rint(m.data * np.repeat(factor, np.diff(m.indptr)))
        clipped = np.clip(data, -spec.WEIGHT_MAX, spec.WEIGHT_MAX).astype(np.int32)
        made = sp.csr_matrix((clipped, m.indices, m.indptr), shape=m.shape)
        new = Dense(made.toarray()) if isinstance(c.synapse, Dense) else Sparse(made)
        self.report.setdefault("connections", {})[c.name] = {
            "weights": int(np.count_nonzero(m.data)),
            "clipped": int(np.sum(data != clipped)),
            "zeroed": int(np.sum((clipped == 0) & (m.data != 0))),
            "largest_word": int(np.abs(clipped).max(initial=0)),
            "rms_error_of_rms": float(
                np.sqrt(np.mean((clipped / np.repeat(factor, np.diff(m.indptr)) - m.data) ** 2)
                        / max(np.mean(m.data**2), 1e-30)) if m.data.size else 0.0
            ),
        }  # fmt: skip
        return replace(c, synapse=new, format=SpinnakerWeightFormat())

    def _neuron(
        self, units: Array, threshold: Array | None, bias: Array, shift: int, made: Sequence[Connection]
    ) -> SpinnakerNeuron:
        n, neuron = self.population.n, self.population.neuron
        zero, step = np.zeros(n, np.int32), np.full(n, spec.ONE, np.int32)
        if threshold is None:
            level, refractory = np.full(n, THRESHOLD_MAX), 0
        else:
            level = np.maximum(np.rint(threshold * units), 1)
            refractory = neuron.refractory  # type: ignore[union-attr]
        offset = np.rint(bias * units)
        tau_syn = step if self.synapse is None else self.synapse.tau.astype(np.int32)
        longest = max((c.max_delay for c in made), default=1)
        return SpinnakerNeuron(
            model="exp" if self.exponential else "delta",
            v_init=zero, v_rest=zero, v_reset=zero, v_thresh=level.astype(np.int32),
            c_m=self.membrane.c.astype(np.int32), tau_m=self.membrane.tau.astype(np.int32),
            i_offset=offset.astype(np.int32), tau_refrac=np.full(n, refractory * spec.ONE, np.int32),
            tau_syn_e=tau_syn, tau_syn_i=tau_syn, ts=step, refrac_init=zero, shift=(shift, shift),
            delay_bits=words.bits_for(max(longest, 1)),
        )  # fmt: skip

    def _describe(
        self, scale: Array, gain: Array, made: Sequence[Connection], bound: str, shift: int, exact: bool,
        threshold: Array | None,
    ) -> None:  # fmt: skip
        neuron = self.population.neuron
        wanted = np.asarray(getattr(neuron, "decay_mem", getattr(neuron, "decay", None)), np.float64)
        error = float(np.abs(self.membrane.a / spec.ONE - wanted).max(initial=0))
        if self.synapse is not None:
            lost = self.synapse.decay / 2.0**32 - np.asarray(neuron.decay_syn, np.float64)  # type: ignore[union-attr]
            error = max(error, float(np.abs(lost).max(initial=0)))
        units = scale * 2.0**shift
        self.report |= {
            "model": "IF_curr_exp" if self.exponential else "IF_curr_delta",
            "exact_weights": exact,
            "ring_bound": bound,
            "shift": shift,
            "scale_min": float(units.min(initial=np.inf)) / spec.ONE,
            "scale_max": float(units.max(initial=0)) / spec.ONE,
            "decay_error_max": error,
        }
        self.report.setdefault("connections", {})
        if threshold is not None:
            levels = threshold * units
            self.report["threshold_error_max"] = float(
                (np.abs(np.rint(levels) - levels) / np.maximum(levels, 1e-30)).max(initial=0)
            )
        name = self.population.name
        if np.any(wanted == 1.0):
            self.findings.append(
                Finding("IF_LEAK", name, f"a decay of 1 becomes {int(self.membrane.a.max())}/{spec.ONE}, the longest "
                        "time constant there is: v leaks that much in a step", severity="note",
                        remedy="train with that leak where it matters")
            )  # fmt: skip
        if bound == "rates":
            self.findings.append(
                Finding("RING_BOUND", name, "that no slot saturates follows from the measured firing rates only",
                        severity="note", remedy="the emulator counts saturations; fewer inputs per neuron prove it")
            )  # fmt: skip
        self._throughput(made)

    def _throughput(self, made: Sequence[Connection]) -> None:
        """Expected synaptic events per core and step beside what a core can do in 1 ms."""
        if not all(c.src in self.rates for c in made):
            return
        n = self.population.n
        each = np.zeros(n)
        for c in made:
            m = c.synapse.matrix().tocsr()
            used = sp.csr_matrix(((m.data != 0).astype(np.float64), m.indices, m.indptr), shape=m.shape)
            each += used @ np.asarray(self.rates[c.src], np.float64).reshape(-1)
        cores = [each[k : k + spec.NEURONS_PER_CORE].sum() for k in range(0, n, spec.NEURONS_PER_CORE)]
        worst = float(max(cores, default=0.0))
        self.report["events_per_core_and_step"] = worst
        if worst > spec.EVENTS_PER_MS:
            fit = max(int(spec.NEURONS_PER_CORE * spec.EVENTS_PER_MS / worst), 1)
            self.findings.append(
                Finding("THROUGHPUT", self.population.name, "more synaptic events than a core handles in 1 ms",
                        severity="warning", resource="events per core and ms", needed=worst,
                        available=spec.EVENTS_PER_MS,
                        remedy=f"slow down {worst / spec.EVENTS_PER_MS:.1f} times, or {fit} neurons per core")
            )  # fmt: skip


def summary(report: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Totals over layers: clipped, zeroed and all weights, the largest decay and threshold errors."""
    rows = [c for layer in report for c in layer["connections"].values()]
    return {
        "weights": sum(r["weights"] for r in rows),
        "clipped": sum(r["clipped"] for r in rows),
        "zeroed": sum(r["zeroed"] for r in rows),
        "decay_error_max": max((layer["decay_error_max"] for layer in report), default=0.0),
        "threshold_error_max": max((layer.get("threshold_error_max", 0.0) for layer in report), default=0.0),
        "exact_layers": [layer["layer"] for layer in report if layer["exact_weights"]],
    }


__all__ = ["QuantizeOptions", "Quantized", "quantize", "summary"]
