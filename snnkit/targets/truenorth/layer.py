"""One population on its way to TrueNorth's integers: rows of weights, factors, thresholds, leaks, floors.

See `quantize` for the rules; this file applies them to a layer and knows nothing of cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import LIF, CubaLIF, LinearLeakIF, TrueNorthNeuron
from snnkit.graph.synapses import Conv, Dense, Sparse, TrueNorthFormat
from snnkit.targets.truenorth import codes, spec
from snnkit.targets.truenorth.integers import FAN_IN, FOUR_BIT, TRINARY, Row, Scaled, Wanted, exact, nearest, scale
from snnkit.targets.truenorth.plan import BIAS_TYPE, fan_in

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class QuantizeOptions:
    """Choices of the quantiser.

    Attributes:
        bits: 2 (trinary) or 4 for rows that are not exact; None: 4 where a neuron has at most 64 inputs, else trinary.
        relays: let relay cores copy spikes, one tick later, where that needs fewer cores.
        shared_axons: let populations that are an OR of their sources, such as max pooling, be axons that their sources
            share, a tick earlier: True wherever that fits, False nowhere, None where it needs no more cores.
    """

    bits: int | None = None
    relays: bool = True
    shared_axons: bool | None = None


def _row(values: Array, use: Array, options: QuantizeOptions) -> Row:
    """The weights of a neuron as a unit times integers: exactly if that is possible, else the nearest."""
    row = exact(values)
    if row is not None:
        return row
    few = np.count_nonzero(values) <= FAN_IN[FOUR_BIT]
    return nearest(values, options.bits or (FOUR_BIT if few else TRINARY), use)


class Layer:
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
        use = [
            np.asarray(rates.get(c.src, np.ones(w)), np.float64).reshape(-1) for c, w in zip(self.weights, self.width)
        ]
        rate = np.concatenate(use) + 1e-6 if use else np.ones(1)
        self.gated = False
        self.shares = np.zeros((n, 0), np.int64)
        self.report: dict[str, Any] = {"layer": population.name, "neurons": n}
        self._solve(matrix, bias, rate, options)

    def _rows(self, matrix: sp.csr_matrix, rate: Array, options: QuantizeOptions) -> tuple[list[Row], Array, Array]:
        """(rows, row [n] of each neuron, k of each entry of `matrix`). The pixels of a channel share a convolution's.

        Removes zeros from `matrix`.
        """
        if len(self.weights) == 1 and isinstance(conv := self.weights[0].synapse, Conv):
            _, source, tap = conv.index()
            kernel = conv.weight.reshape(conv.weight.shape[0], -1)
            seen = np.maximum(np.bincount(tap, minlength=kernel.size), 1)
            use = (np.bincount(tap, rate[source], minlength=kernel.size) / seen).reshape(kernel.shape)
            rows = [_row(v, u, options) for v, u in zip(kernel, use)]
            k = np.concatenate([row.k for row in rows])[tap]
            k = k[matrix.data != 0]
            matrix.eliminate_zeros()
            return rows, np.repeat(np.arange(len(rows)), self.population.n // len(rows)), k
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        parts = [slice(a, b) for a, b in pairwise(matrix.indptr)]
        rows = [_row(matrix.data[at], rate[matrix.indices[at]], options) for at in parts]
        k = np.concatenate([row.k for row in rows]) if rows else np.zeros(0, np.int64)
        return rows, np.arange(len(rows)), k

    def _solve(self, matrix: sp.csr_matrix, bias: Array, rate: Array, options: QuantizeOptions) -> None:
        p, neuron = self.population, self.population.neuron
        assert isinstance(neuron, LIF | CubaLIF | LinearLeakIF)
        threshold = np.broadcast_to(np.asarray(neuron.threshold, np.float64), (p.n,))
        self.subtract = neuron.reset == "subtract"
        alike, which, k = self._rows(matrix, rate, options)
        rows: list[Row] = []
        scaled: list[Scaled] = []
        known: dict[tuple[float, Wanted, int], Scaled] = {}
        leaks = np.zeros(p.n) if not isinstance(neuron, LinearLeakIF) else np.asarray(neuron.leak, np.float64)
        deep = np.full(p.n, np.inf) if not isinstance(neuron, LinearLeakIF) else np.asarray(neuron.floor, np.float64)
        for i in range(p.n):
            row = alike[which[i]]
            if not row.k.any():  # a neuron that only its bias drives
                size = abs(float(bias[i]))
                row = Row(size if size else float(threshold[i]), row.k, row.exact, row.clipped)
            top = spec.WEIGHT_MAX // (8 if np.abs(row.k).max(initial=0) > 1 else 1)
            wanted = Wanted(float(threshold[i]), float(bias[i]), float(leaks[i]), float(deep[i]))
            key = (row.unit, wanted, top)
            if key not in known:
                known[key] = scale(
                    row.unit, wanted, subtract=self.subtract, top=top, limit=spec.THRESHOLD_MAX, leak=spec.LEAK_MAX
                )
            rows.append(row)
            scaled.append(known[key])
        each = np.diff(matrix.indptr)
        error = k * np.repeat([row.unit for row in rows], each) - matrix.data
        squares = [float((error**2).sum()), float((matrix.data**2).sum())]
        values = k * np.repeat([s.factor for s in scaled], each)
        self.matrix = sp.csr_matrix((values, matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape)
        self.matrix.eliminate_zeros()
        self.threshold = np.array([s.threshold for s in scaled], np.int64)
        self.bias = np.array([s.bias for s in scaled], np.int64)
        self.leak = np.array([s.leak for s in scaled], np.int64)
        self.floor = np.array([s.floor for s in scaled], np.int64)
        """-1 for none"""
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
        """Registers in a graph of certain lags. A bias is a leak, unless a gate line or a leak that turns is there."""
        n = self.population.n
        zero, one = np.zeros(n, np.int32), np.ones(n, np.int32)
        turns = self.leak != 0
        bias = zero if self.gated else self.bias
        return TrueNorthNeuron(
            leak=np.where(turns, self.leak, bias).astype(np.int32), leak_reversal=turns.astype(np.int32),
            leak_stoch=zero, threshold=self.threshold.astype(np.int32), thr_mask_bits=zero,
            neg_threshold=np.where(self.floor < 0, spec.THRESHOLD_MAX, self.floor).astype(np.int32), neg_saturate=one,
            reset_mode=one if self.subtract else zero, reset_value=zero,
            v_init=np.where(turns, 0, -bias * self._wait(graph)).astype(np.int32),
        )  # fmt: skip

    def _wait(self, graph: Graph) -> int:
        """Ticks in which the leak acts before the bias should."""
        names = {c.src for c in self.gates}
        return max((int(i.gate_from or 0) for i in graph.inputs if i.name in names), default=0)

    def choose_gate(self, graph: Graph) -> None:
        """Keep the gate line where the leak's warm-up would not be exact: on one axon whose type is free, or on several
        whose weights add up to the bias."""
        if len(self.gates) != 1 or not (self.warm_up(graph) or self._beside_a_leak().any()):
            return
        shares: list[list[int]] = []
        for (a, b), bias in zip(pairwise(self.matrix.indptr), self.bias.tolist()):
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

    def _beside_a_leak(self) -> Array:
        """Neurons whose bias cannot be the leak, because they have one."""
        return np.asarray((self.leak != 0) & (self.bias != 0))

    def warm_up(self, graph: Graph) -> list[Finding]:
        """Findings where the way from the initial potential to 0 is not free, or no register is left for a bias."""
        both = np.flatnonzero(self._beside_a_leak())
        if both.size and not self.gated:
            return [
                Finding(
                    "BIAS_AND_LEAK",
                    f"{self.population.name}[{both[0]}]",
                    f"{both.size} neurons have a bias and a leak that turns with V, and no axon type for the bias",
                    remedy="train without a bias, without leak reversal, or with trinary weights",
                )
            ]
        wait = 0 if self.gated else self._wait(graph)
        high = np.where(self.bias < 0, -self.bias * (wait - 1), -1)  # V before the comparison of tick 0
        deep = self.bias * wait
        floor = np.where(self.floor < 0, spec.THRESHOLD_MAX, self.floor)
        bad = np.flatnonzero((high >= self.threshold) | (deep > floor))
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
