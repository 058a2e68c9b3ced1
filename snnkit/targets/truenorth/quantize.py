"""Real weights, thresholds and biases -> TrueNorth's integers.

An integrate-and-fire neuron does not change when its weights, threshold and bias are multiplied by one number, so each
neuron has a scale of its own: weights are a factor times trinary or 4-bit integers, exact where the row is already of
that form. With reset to zero and no bias the next whole threshold is exact too; otherwise the factor is chosen that
makes threshold and bias whole, or nearest to it.

A bias becomes the leak. A gated bias acts from the tick on in which frame 0 arrives, k ticks after the start; the leak
acts from tick 0, so the initial potential is -k times the leak: V is 0 when frame 0 arrives, which is exact wherever
nothing fires on the way there. Where something would, the layer keeps its gate line: an axon of a type of its own. V
has a floor at -beta that the model does not have: proved not to be reached within
the run length. Where relay cores copy spikes with fewer cores than duplicated neurons, the layers behind them get
one tick more lag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.errors import GraphError
from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import (
    LIF,
    Connection,
    CubaLIF,
    Dense,
    Graph,
    Population,
    Sparse,
    TrueNorthFormat,
    TrueNorthNeuron,
)
from snnkit.targets.truenorth import codes, spec
from snnkit.targets.truenorth.bounds import bounds
from snnkit.targets.truenorth.integers import FAN_IN, FOUR_BIT, TRINARY, Row, Scaled, exact, nearest, scale
from snnkit.targets.truenorth.lag import make_room
from snnkit.targets.truenorth.plan import BIAS_TYPE, fan_in, make_plan

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class QuantizeOptions:
    """Choices of the quantiser.

    Attributes:
        bits: 2 (trinary) or 4 for rows that are not exact; None: 4 where a neuron has at most 64 inputs, else trinary.
        relays: let relay cores copy spikes, one tick later, where that needs fewer cores.
    """

    bits: int | None = None
    relays: bool = True


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

    Args:
        graph: a float graph whose neurons passed `rules.check`.
        rates: firing probability per step of each source, by name [n], measured on calibration data; weights the error
            of rows that are not exact. Equal rates are assumed without it.
        options: see `QuantizeOptions`.
    """
    if graph.timeline != "chip":
        raise GraphError("quantize needs a graph on the chip timeline", fix="run snnkit.passes.add_lag first")
    options = options or QuantizeOptions()
    layers = [_Layer(graph, p, rates or {}, options) for p in graph.populations]
    for layer in layers:
        layer.choose_gate(graph)
    findings = [f for layer in layers for f in layer.findings]
    if has_errors(findings):
        return Quantized(graph, [layer.report for layer in layers], findings)
    chosen = _assemble(graph, layers)
    relayed: tuple[str, ...] = ()
    best = make_plan(chosen)
    room = graph
    for p in graph.populations if options.relays else ():
        if not graph.outgoing(p.name):
            continue
        wider = make_room(graph, (*relayed, p.name))
        if wider is None or any(c.max_delay > spec.DELAY_MAX for c in wider.connections):
            continue
        candidate = _assemble(wider, layers)
        tried = make_plan(candidate)
        if not tried.findings and p.name in tried.relayed and (best.findings or tried.n_cores < best.n_cores):
            chosen, best, relayed, room = candidate, tried, (*relayed, p.name), wider
    if any(layer.warm_up(room) for layer in layers):  # more lag, longer warm-up
        for layer in layers:
            layer.choose_gate(room)
        chosen = _assemble(room, layers)
        best = make_plan(chosen)
    findings += best.findings
    for layer in layers:
        findings += layer.warm_up(room)
    findings += _floors(chosen)
    lags = {p.name: p.lag for p in chosen.populations}
    for layer in layers:
        name = layer.population.name
        layer.report |= {"gated_bias": layer.gated, "relayed": name in relayed, "lag": lags[name]}
    return Quantized(chosen, [layer.report for layer in layers], findings)


class _Layer:
    """Works out one population: integer rows, factors, thresholds and leaks."""

    def __init__(
        self, graph: Graph, population: Population, rates: Mapping[str, Array], options: QuantizeOptions
    ) -> None:
        self.population, self.findings = population, []  # type: tuple[Population, list[Finding]]
        gates = {i.name for i in graph.inputs if i.gate_from is not None}
        incoming = graph.incoming(population.name)
        self.weights = [c for c in incoming if c.src not in gates]
        self.gates = [c for c in incoming if c.src in gates]
        n = population.n
        bias = np.zeros(n) if population.bias is None else np.asarray(population.bias, np.float64).copy()
        for c in self.gates:
            bias += np.asarray(c.synapse.matrix().sum(axis=1), np.float64).reshape(-1)
        blocks = [sp.csr_matrix(c.synapse.matrix(), dtype=np.float64) for c in self.weights]
        self.width = [b.shape[1] for b in blocks]
        matrix = sp.csr_matrix(sp.hstack(blocks)) if blocks else sp.csr_matrix((n, 1))
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        use = [
            np.asarray(rates.get(c.src, np.ones(w)), np.float64).reshape(-1) for c, w in zip(self.weights, self.width)
        ]
        rate = np.concatenate(use) + 1e-6 if use else np.ones(1)
        self.gated = False
        self.shares = np.zeros((n, 0), np.int64)
        self.report: dict[str, Any] = {"layer": population.name, "neurons": n}
        self._solve(matrix, bias, rate, options)

    def _solve(self, matrix: sp.csr_matrix, bias: Array, rate: Array, options: QuantizeOptions) -> None:
        p, neuron = self.population, self.population.neuron
        assert isinstance(neuron, LIF | CubaLIF)
        threshold = np.broadcast_to(np.asarray(neuron.threshold, np.float64), (p.n,))
        self.subtract = neuron.reset == "subtract"
        rows: list[Row] = []
        scaled: list[Scaled] = []
        values = np.zeros(matrix.nnz, np.int64)
        squares = [0.0, 0.0]
        for i in range(p.n):
            at = slice(matrix.indptr[i], matrix.indptr[i + 1])
            v = matrix.data[at]
            row = exact(v)
            if row is None:
                bits = options.bits or (FOUR_BIT if len(v) <= FAN_IN[FOUR_BIT] else TRINARY)
                row = nearest(v, bits, rate[matrix.indices[at]])
            if not row.k.any():  # a neuron that only its bias drives
                size = abs(float(bias[i]))
                row = Row(size if size else float(threshold[i]), row.k, row.exact, row.clipped)
            top = spec.WEIGHT_MAX // (8 if np.abs(row.k).max(initial=0) > 1 else 1)
            made = scale(
                row.unit, float(threshold[i]), float(bias[i]), subtract=self.subtract, top=top,
                limit=spec.THRESHOLD_MAX, leak=spec.LEAK_MAX,
            )  # fmt: skip
            values[at] = row.k * made.factor
            squares[0] += float(((row.k * row.unit - v) ** 2).sum())
            squares[1] += float((v**2).sum())
            rows.append(row)
            scaled.append(made)
        self.matrix = sp.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)
        self.threshold = np.array([s.threshold for s in scaled], np.int64)
        self.leak = np.array([s.bias for s in scaled], np.int64)
        self._report(matrix, rows, scaled, squares)
        self._check(rows, scaled, threshold, bias)

    def _report(self, matrix: sp.csr_matrix, rows: list[Row], scaled: list[Scaled], squares: list[float]) -> None:
        finite = [s.error for s in scaled if np.isfinite(s.error)]
        lost = int((matrix.data != 0).sum() - (self.matrix.data != 0).sum())
        exact_weights = all(r.exact for r in rows)
        self.report |= {
            "exact_weights": exact_weights,
            "exact": exact_weights and all(s.error == 0 for s in scaled),
            "fan_in_max": int(np.diff(matrix.indptr).max(initial=0)),
            "threshold_and_bias_error_max": float(max(finite, default=0.0)),
            "connections": {
                self.population.name: {
                    "weights": int(matrix.nnz),
                    "clipped": sum(r.clipped for r in rows),
                    "zeroed": lost,
                    "rms_error_of_rms": float(np.sqrt(squares[0] / max(squares[1], 1e-30))),
                }
            },
        }

    def _check(self, rows: list[Row], scaled: list[Scaled], threshold: Array, bias: Array) -> None:
        name = self.population.name
        used = np.diff(sp.csr_matrix(self.matrix != 0).indptr)
        worst = int(used.argmax()) if used.size else 0
        if used.size and used[worst] > spec.AXONS_PER_CORE:
            self.findings.append(fan_in(f"{name}[{worst}]", int(used[worst])))
        bad = [i for i, s in enumerate(scaled) if not np.isfinite(s.error)]
        for i in bad[:1]:
            large = threshold[i] / rows[i].unit > spec.THRESHOLD_MAX
            self.findings.append(
                Finding(
                    "THRESHOLD_SCALE" if large else "BIAS_RANGE",
                    f"{name}[{i}]",
                    f"{'the threshold' if large else 'the bias'} of {len(bad)} neurons is too large beside the weights",
                    resource="threshold" if large else "leak",
                    needed=float((threshold[i] if large else abs(bias[i])) / rows[i].unit),
                    available=spec.THRESHOLD_MAX if large else spec.LEAK_MAX,
                    remedy="train with larger weights, or without a bias",
                )
            )
        if not self.report["exact"]:
            share = self.report["connections"][name]["rms_error_of_rms"]
            self.findings.append(
                Finding(
                    "ROUNDED",
                    name,
                    f"weights are off by {share:.1%} (rms), threshold and bias by at most "
                    f"{self.report['threshold_and_bias_error_max']:.2%} of the threshold",
                    severity="note",
                    remedy="train with trinary or 4-bit weights and biases in units of them",
                )
            )

    def neuron(self, graph: Graph) -> TrueNorthNeuron:
        """Registers in a graph of certain lags."""
        n = self.population.n
        zero, one = np.zeros(n, np.int32), np.ones(n, np.int32)
        return TrueNorthNeuron(
            leak=zero if self.gated else self.leak.astype(np.int32), leak_reversal=zero, leak_stoch=zero,
            threshold=self.threshold.astype(np.int32), thr_mask_bits=zero,
            neg_threshold=np.full(n, spec.THRESHOLD_MAX, np.int32), neg_saturate=one,
            reset_mode=one if self.subtract else zero, reset_value=zero,
            v_init=zero if self.gated else (-self.leak * self._wait(graph)).astype(np.int32),
        )  # fmt: skip

    def _wait(self, graph: Graph) -> int:
        """Ticks in which the leak acts before the bias should."""
        names = {c.src for c in self.gates}
        return max((int(i.gate_from or 0) for i in graph.inputs if i.name in names), default=0)

    def choose_gate(self, graph: Graph) -> None:
        """Keep the gate line where the leak's warm-up would not be exact: on one axon whose type is free, or on several
        whose weights add up to the bias."""
        if len(self.gates) != 1 or not self.warm_up(graph):
            return
        shares: list[list[int]] = []
        for (a, b), bias in zip(pairwise(self.matrix.indptr), self.leak.tolist()):
            weights = codes.basis(self.matrix.data[a:b])
            if weights is None:
                return
            free = not weights[BIAS_TYPE]
            found = [bias] if free and bias else codes.parts(bias, weights)
            if found is None:
                return
            shares.append(found)
        self.shares = np.zeros((len(shares), max(map(len, shares), default=1)), np.int64)
        for row, found in zip(self.shares, shares):
            row[: len(found)] = found
        self.gated = True

    def warm_up(self, graph: Graph) -> list[Finding]:
        """A finding where the way from the initial potential to 0 is not free."""
        wait = 0 if self.gated else self._wait(graph)
        high = np.where(self.leak < 0, -self.leak * (wait - 1), -1)  # V before the comparison of tick 0
        deep = self.leak * wait
        bad = np.flatnonzero((high >= self.threshold) | (deep > spec.THRESHOLD_MAX))
        if not wait or not bad.size:
            return []
        i = int(bad[0])
        return [
            Finding(
                "BIAS_WARMUP",
                f"{self.population.name}[{i}]",
                f"{bad.size} biases are so negative that the potential "
                f"that makes up for {wait} ticks of them would fire",
                resource="potential",
                needed=int(high[i]),
                available=int(self.threshold[i]) - 1,
                remedy="train with smaller negative biases or fewer layers, or "
                "export with --bias register, whose warm-up has to be trained",
            )
        ]

    def connections(self, graph: Graph) -> list[Connection]:
        """Integer connections in place of the real ones."""
        out, at = [], 0
        for k in range(self.shares.shape[1] if self.gated else 0):
            weight = Dense(self.shares[:, k : k + 1].astype(np.int32))
            name = self.gates[0].name + (f".{k + 1}" if k else "")
            out.append(replace(self.gates[0], name=name, synapse=weight, format=TrueNorthFormat()))
        by_name = {c.name: c for c in graph.incoming(self.population.name)}
        for old, width in zip(self.weights, self.width):
            block = sp.csr_matrix(self.matrix[:, at : at + width])
            at += width
            c = by_name[old.name]
            dense = isinstance(c.delay, np.ndarray)
            synapse = Dense(block.toarray().astype(np.int32)) if dense else Sparse(block.astype(np.int32))
            out.append(replace(c, synapse=synapse, format=TrueNorthFormat()))
        return out


def _assemble(graph: Graph, layers: list[_Layer]) -> Graph:
    """The integer graph with the lags of `graph`; gate lines have become leaks."""
    made = [c for layer in layers for c in layer.connections(graph)]
    used = {c.src for c in made}
    return graph.with_(
        inputs=tuple(i for i in graph.inputs if i.gate_from is None or i.name in used),
        populations=tuple(
            replace(p, neuron=layer.neuron(graph), bias=None) for p, layer in zip(graph.populations, layers)
        ),
        connections=tuple(made),
    )


def _floors(graph: Graph) -> list[Finding]:
    """The model has no floor; a finding where V might reach -beta within a run."""
    ticks = None if graph.steps is None else graph.steps + graph.max_lag
    findings = []
    for p in graph.populations:
        assert isinstance(p.neuron, TrueNorthNeuron)
        free = replace(p.neuron, neg_saturate=np.zeros(p.n, np.int32), neg_threshold=np.full(p.n, 2**40, np.int64))
        low, _ = bounds(graph, replace(p, neuron=free), ticks)
        bad = np.flatnonzero(low < -spec.THRESHOLD_MAX)
        if not bad.size:
            continue
        i = int(bad[0])
        if ticks is None:
            findings.append(
                Finding(
                    "RUN_LENGTH",
                    p.name,
                    "inhibition adds up for as long as the network runs, and the graph does not say how long",
                    remedy="export with the number of steps of a sample (steps=T)",
                )
            )
            continue
        findings.append(
            Finding(
                "POTENTIAL_RANGE",
                f"{p.name}[{i}]",
                f"V may fall to its floor within {ticks} ticks; the model has none",
                resource="potential",
                needed=float(-low[i]),
                available=spec.THRESHOLD_MAX,
                remedy="run fewer steps per sample, or use weights and biases with a coarser common unit",
            )
        )
    return findings
