"""Real weights, thresholds and decays → Loihi's integers.

A neuron's equations do not change when its weights, threshold and bias are multiplied by one number s > 0, so each
layer, or each channel where weights are shared, or each neuron, may have a scale s of its own: units of v = s * v.
A read-out of non-firing neurons has a single scale, because its values are compared with each other.

Weights become k * 2**(7 + e) with |k| <= 127: mixed-sign mantissa 2k, exponent e >= -1 per connection. Such weights
lose no bits under any reading of the disputed rules A1-A5. The chip fires iff v >= 64*vth + 1, so s is chosen to make
threshold * s equal to that level for one of at most eight levels (a core has eight threshold registers). Where
weights and threshold are dyadic, s is a power of two and the weights are exact.

Proved for binary sources, whatever they do: the synaptic input stays inside 22 bits, u and u + bias inside 24 bits (no
wrap), and a non-firing neuron stays below the highest threshold over the run length in the graph. Where weights are
exact, v also stays above its lower limit wherever some power of two allows it; elsewhere v may saturate there, as the
chip does, and the emulator counts it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Array, Connection, Graph, Population
from snnkit.graph.neurons import LI, LIF, CubaLIF, LoihiNeuron
from snnkit.graph.synapses import Conv
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.integers import (
    BIAS_REACH,
    DECAY_ONE,
    E_MIN,
    K_MAX,
    LEVEL_MAX,
    Q_LIMIT,
    REACH,
    U_LIMIT,
    UNIT,
    V_LIMIT,
    Incoming,
    cluster,
    current_decay,
    dv_register,
    exponent_for,
    flatten,
    format_of,
    geometric,
    integer_connection,
    levels,
    round_k,
    stored_k,
    times,
)
from snnkit.targets.quantized import Quantized, on_chip_timeline

CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class QuantizeOptions:
    """Choices of the quantiser.

    Attributes:
        levels: threshold levels a layer may use (1..8).
        clip_search: try clipping the largest weights where that lowers the expected error of the synaptic input.
    """

    levels: int = spec.THRESHOLD_PROFILES_PER_CORE
    clip_search: bool = True


def quantize(
    graph: Graph, rates: Mapping[str, Array] | None = None, options: QuantizeOptions | None = None
) -> Quantized:
    """Quantise a float graph on the chip timeline whose biases are gated or meant for the bias register.

    Args:
        graph: a float graph that passed `rules.check`.
        rates: firing probability per step of each source, by name [n], measured on calibration data; weights the
            expected error when large weights may be clipped. Equal rates are assumed without it.
        options: see `QuantizeOptions`.
    """
    on_chip_timeline(graph)
    options = options or QuantizeOptions()
    populations: list[Population] = []
    connections: dict[str, Connection] = {}
    report: list[dict[str, Any]] = []
    findings: list[Finding] = []
    for population in graph.populations:
        layer = _Layer(graph, population, rates or {}, options)
        neuron, weights = layer.solve()
        populations.append(replace(population, neuron=neuron, bias=None))
        connections.update(weights)
        report.append(layer.report)
        findings += layer.findings
    ordered: list[Connection] = []
    for c in graph.connections:
        ordered += [q for name, q in connections.items() if name == c.name or name == c.name + FINE]
    return Quantized(graph.with_(populations=tuple(populations), connections=tuple(ordered)), report, findings)


FINE = ".fine"
"""Suffix of the second, finer connection of a gated bias."""


class _Layer:
    """Works out one population: scales, integer weights, registers."""

    def __init__(self, graph: Graph, population: Population, rates: Mapping[str, Array], options: QuantizeOptions):
        self.graph, self.population, self.options = graph, population, options
        self.findings: list[Finding] = []
        self.ticks = None if graph.steps is None else graph.steps + graph.max_lag
        self.is_readout = isinstance(population.neuron, LI)
        gates = {i.name for i in graph.inputs if i.gate_from is not None}
        self.incoming_connections = graph.incoming(population.name)
        n = population.n
        # Neurons that share weights share a scale: runs of as many as a channel of the convolution has pixels,
        # whatever the shape of the population (it may be flattened) and however many convolutions reach it.
        convolutions = [c.synapse for c in self.incoming_connections if isinstance(c.synapse, Conv)]
        run = math.lcm(*(max(n // s.out_shape[0], 1) for s in convolutions))
        self.group = np.zeros(n, np.int64) if self.is_readout else np.arange(n) // run
        self.groups = int(self.group.max()) + 1 if n else 0
        self.incoming = [flatten(c, self.group, c.src in gates) for c in self.incoming_connections]
        self.rates = rates
        self.report: dict[str, Any] = {"layer": population.name, "neurons": n, "scale_groups": self.groups}

    # ---------------------------------------------------------------------------------------------------------- scale
    def solve(self) -> tuple[LoihiNeuron, dict[str, Connection]]:
        threshold = self._threshold()
        exact = self._exact(threshold)
        if exact is not None:
            return self._finish(*exact, exact=True)
        scale = self._ideal_scale()
        for _ in range(24):
            vth = None
            if threshold is not None:
                scale, vth = self._snap(scale, threshold)
            weights = self._weights(scale)
            over = self._excess(scale, weights, threshold)
            if np.all(over <= 1.0):
                return self._finish(scale, vth, weights, exact=False)
            if not np.all(np.isfinite(over)):
                break
            scale = np.where(over > 1.0, scale / (over * 1.001), scale)
        self.findings.append(self._no_scale(over, threshold))
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
        return self._finish(scale, vth, weights, exact=False)

    def _no_scale(self, over: Array, threshold: Array | None) -> Finding:
        name = self.population.name
        if not np.all(np.isfinite(over)):
            return Finding(
                "RUN_LENGTH",
                name,
                "without a leak its sums grow for as long as the network runs, and the graph does not say how long",
                remedy="export with the number of steps of a sample (steps=T), or use a decay below 1",
            )
        worst = int(np.flatnonzero(self.group == np.argmax(over))[0])
        level = "the read-out's range" if threshold is None else f"its threshold of {float(threshold[worst]):g}"
        return Finding(
            "SCALE",
            f"{name}[{worst}]",
            f"the weights of this neuron are too large beside {level}",
            resource="range of its registers at the lowest threshold",
            needed=float(np.max(over)),
            available=1.0,
            remedy="raise the threshold of this layer, or divide its weights and biases",
        )

    def _exact(self, threshold: Array | None) -> tuple[Array, Array | None, dict[str, Connection]] | None:
        """Scale, thresholds and weights without any rounding, if there are such.

        The level lies 63 units below threshold * s (v >= threshold also holds for the last unit lost to a decay), so
        the largest power of two makes this the smallest share of the threshold. v must not reach its lower limit,
        though: the largest power for which that is proved is taken, or the smallest one where it is not for any.
        """
        smallest = self._exact_scale(threshold)
        if smallest is None:
            return None
        found = None
        for shift in range(spec.WEIGHT_EXPONENT_MAX - E_MIN, -1, -1):
            scale = np.full(self.groups, float(smallest << shift))
            vth = None if threshold is None else np.rint(threshold * scale[0] / UNIT) - 1
            weights = self._weights(scale)
            if not self._is_exact(scale, weights) or np.any(self._excess(scale, weights, threshold) > 1.0):
                continue
            found = scale, vth, weights
            if self._lowest(weights) <= V_LIMIT:
                break
        return found

    def _threshold(self) -> Array | None:
        neuron = self.population.neuron
        return None if isinstance(neuron, LI) else np.asarray(neuron.threshold, np.float64)  # type: ignore[union-attr]

    def _exact_scale(self, threshold: Array | None) -> int | None:
        """64 * p with the smallest power of two p that makes every weight and threshold an integer, if one does."""
        parts = [i.values for i in self.incoming] + ([] if threshold is None else [threshold])
        if self.population.bias is not None:
            return None
        values = np.concatenate([p.reshape(-1) for p in parts]) if parts else np.zeros(0)
        for bits in range(17):
            scaled = values * (1 << bits)
            whole = np.array_equal(scaled, np.rint(scaled))
            if whole and (threshold is None or np.all(threshold * (1 << bits) >= 2)):  # a level of 0 is no level
                return UNIT << bits
        return None

    def _is_exact(self, scale: Array, weights: Mapping[str, Connection]) -> bool:
        """True if every scaled weight is represented without error."""
        return all(np.array_equal(self._made(i, weights), i.values * scale[i.group]) for i in self.incoming)

    def _made(self, incoming: Incoming, weights: Mapping[str, Connection]) -> Array:
        """What the integer weights of one connection stand for, in units of u."""
        name = incoming.connection.name
        keys = [k for k in (name, name + FINE) if k in weights]
        return np.sum([stored_k(weights[k]) * 2.0 ** (7 + format_of(weights[k]).exponent) for k in keys], axis=0)

    def _ideal_scale(self) -> Array:
        """The scale of each group at which its weights fill the mantissa (the finest of its connections)."""
        candidates: list[Array] = []
        biases: list[Array] = []
        for incoming in self.incoming:
            if incoming.values.size == 0:
                continue
            top = np.zeros(self.groups)
            np.maximum.at(top, incoming.group, np.abs(incoming.values))
            search = self.options.clip_search and not self.is_readout and not incoming.is_bias
            clip = self._clip(incoming, top) if search else np.ones(self.groups)
            full = np.where(top > 0, K_MAX * UNIT / np.maximum(top * clip, 1e-300), np.nan)
            (biases if incoming.is_bias else candidates).append(full)
        scale = np.full(self.groups, np.nan)
        if candidates:
            table = np.array(candidates)
            finest = np.max(np.where(np.isnan(table), -np.inf, table), axis=0)
            coarsest = np.min(np.where(np.isnan(table), np.inf, table), axis=0)
            scale = np.minimum(finest, coarsest * 8)  # three exponents between the connections of one neuron
            scale[~np.isfinite(scale)] = np.nan
        for full in biases:  # a neuron that only its bias drives
            scale = np.where(np.isnan(scale), full, scale)
        known = ~np.isnan(scale)
        return np.where(known, scale, np.max(scale[known], initial=float(K_MAX * UNIT)))

    def _clip(self, incoming: Incoming, top: Array) -> Array:
        """The clip factor of each group with the smallest expected squared error of its synaptic input."""
        use = self._use(incoming)
        best, best_error = np.ones(self.groups), np.full(self.groups, np.inf)
        for clip in CLIPS:
            step = np.maximum(top * clip / K_MAX, 1e-300)[incoming.group]
            k = np.clip(np.rint(incoming.values / step), -K_MAX, K_MAX)
            error = np.bincount(incoming.group, use * (k * step - incoming.values) ** 2, minlength=self.groups)
            better = error < best_error * (1 - 1e-9)
            best, best_error = np.where(better, clip, best), np.where(better, error, best_error)
        return best

    def _use(self, incoming: Incoming) -> Array:
        """How often each weight counts: the firing probability of its source, where known."""
        rate = self.rates.get(incoming.connection.src)
        if rate is None or not incoming.source.size or incoming.source[0] < 0:
            return np.ones(incoming.values.size)
        return np.asarray(rate, np.float64).reshape(-1)[incoming.source] + 1e-6

    def _snap(self, scale: Array, threshold: Array) -> tuple[Array, Array]:
        """Lower each group's scale so that its threshold is one of few levels 64*vth + 1."""
        top = np.zeros(self.groups)
        np.maximum.at(top, self.group, threshold)
        wanted = np.clip(np.floor((top * scale - 1) / UNIT), 1, spec.VTH_MANTISSA_MAX)
        allowed = levels(wanted, self.options.levels)
        chosen = allowed[np.maximum(np.searchsorted(allowed, wanted, side="right") - 1, 0)]
        snapped = (UNIT * chosen + 1) / top
        return snapped, np.clip(np.rint((threshold * snapped[self.group] - 1) / UNIT), 1, spec.VTH_MANTISSA_MAX)

    # -------------------------------------------------------------------------------------------------------- weights
    def _weights(self, scale: Array) -> dict[str, Connection]:
        """Integer connections for these scales. A gated bias gets a coarse and, where needed, a fine part."""
        out: dict[str, Connection] = {}
        for incoming in self.incoming:
            target = incoming.values * scale[incoming.group]
            name = incoming.connection.name
            if incoming.is_bias:
                e = exponent_for(float(np.abs(target).max(initial=0)))
                coarse = round_k(target, e)
                out[name] = integer_connection(incoming.connection, coarse, e)
                rest = target - coarse * float(2 ** (7 + e))
                fine = round_k(rest, E_MIN)
                if e > E_MIN and np.any(fine):
                    fine_name = replace(incoming.connection, name=name + FINE)
                    out[name + FINE] = integer_connection(fine_name, fine, E_MIN)
            else:
                e = self._fitting_exponent(incoming, target, scale)
                out[name] = integer_connection(incoming.connection, round_k(target, e), e)
        return out

    def _fitting_exponent(self, incoming: Incoming, target: Array, scale: Array) -> int:
        """The exponent that reaches the largest weight, or the next finer one where clipping that weight costs less."""
        e = exponent_for(float(np.abs(target).max(initial=0)))
        if e == E_MIN or self.is_readout or not self.options.clip_search:
            return e
        use = self._use(incoming) / scale[incoming.group] ** 2
        errors = [float(np.sum(use * (round_k(target, k) * 2.0 ** (7 + k) - target) ** 2)) for k in (e, e - 1)]
        return e if errors[0] <= errors[1] else e - 1

    def _bounds(self, weights: Mapping[str, Connection]) -> tuple[Array, Array]:
        """Largest and smallest possible synaptic input of each neuron in one step, for binary sources."""
        up, down = np.zeros(self.population.n), np.zeros(self.population.n)
        for connection in weights.values():
            matrix = connection.synapse.matrix().tocsr()
            unit = 2.0 ** (spec.WEIGHT_SHIFT + format_of(connection).exponent)
            plus, minus = matrix.copy(), matrix.copy()
            plus.data = np.maximum(matrix.data, 0).astype(np.float64)
            minus.data = np.minimum(matrix.data, 0).astype(np.float64)
            count = max((i.max_count for i in self.graph.inputs if i.name == connection.src), default=1)
            up += np.asarray(plus.sum(axis=1)).reshape(-1) * unit * count
            down += np.asarray(minus.sum(axis=1)).reshape(-1) * unit * count
        return up, down

    def _excess(self, scale: Array, weights: Mapping[str, Connection], threshold: Array | None) -> Array:
        """By what factor each scale group exceeds its worst register limit; <= 1 is proved to fit."""
        up, down = self._bounds(weights)
        size = np.maximum(up, -down)
        bias = np.zeros(size.shape) if self.population.bias is None else np.asarray(self.population.bias, np.float64)
        bias = np.abs(bias * scale[self.group])
        ratio = np.maximum(size / Q_LIMIT, bias / BIAS_REACH)
        neuron = self.population.neuron
        current = times(size, geometric(current_decay(neuron), self.ticks)) if isinstance(neuron, CubaLIF) else size
        ratio = np.maximum(ratio, (current + bias) / U_LIMIT)
        if isinstance(neuron, LI):
            bound = times(size + bias, geometric(dv_register(neuron.decay), self.ticks))
            self.report["v_bound"] = float(bound.max(initial=0))
            ratio = np.maximum(ratio, bound / LEVEL_MAX)
        if threshold is not None:
            ratio = np.maximum(ratio, threshold * scale[self.group] / (LEVEL_MAX + 1))
        self.report["q_bound"] = float(size.max(initial=0))
        worst = np.zeros(self.groups)
        np.maximum.at(worst, self.group, ratio)
        for incoming in self.incoming:  # what no exponent reaches would be cut off unseen
            np.maximum.at(worst, incoming.group, np.abs(incoming.values) * scale[incoming.group] / REACH)
        return worst

    def _lowest(self, weights: Mapping[str, Connection]) -> float:
        """How far below 0 some v may fall if all inhibition arrives in every step of a run."""
        neuron = self.population.neuron
        if isinstance(neuron, LI):
            return 0.0  # `_excess` has its bound
        assert isinstance(neuron, LIF | CubaLIF)
        drop = -self._bounds(weights)[1]
        if isinstance(neuron, CubaLIF):
            drop = times(drop, geometric(current_decay(neuron), self.ticks))
        decay = neuron.decay if isinstance(neuron, LIF) else neuron.decay_mem
        return float(times(drop, geometric(dv_register(decay), self.ticks)).max(initial=0))

    # --------------------------------------------------------------------------------------------------------- finish
    def _finish(
        self, scale: Array, vth: Array | None, weights: dict[str, Connection], *, exact: bool
    ) -> tuple[LoihiNeuron, dict[str, Connection]]:
        neuron, n = self.population.neuron, self.population.n
        if isinstance(neuron, LI):
            du, dv, ds, refract = np.full(n, spec.DECAY_MAX), dv_register(neuron.decay), 1, 1
            level = np.full(n, spec.VTH_MANTISSA_MAX)
        else:
            assert isinstance(neuron, LIF | CubaLIF)
            assert vth is not None
            eff = np.full(n, DECAY_ONE) if isinstance(neuron, LIF) else current_decay(neuron)
            ds = 0 if np.any(eff == 0) else 1
            du = np.clip(eff - ds, 0, spec.DECAY_MAX)
            dv = dv_register(neuron.decay if isinstance(neuron, LIF) else neuron.decay_mem)
            refract, level = neuron.refractory + 1, self._cluster_levels(vth.astype(np.int64))
        pair = np.stack([du, dv], axis=1)
        merged = cluster(pair, spec.COMPARTMENT_PROFILES_PER_CORE)
        mantissa, exponent = self._bias_register(scale)
        self._describe(scale, weights, level, merged, ds, exact)
        registers = np.stack([merged[:, 0], merged[:, 1], level, mantissa, exponent, np.full(n, refract)])
        made_du, made_dv, made_vth, made_mant, made_exp, made_refract = registers.astype(np.int32)
        return LoihiNeuron(made_du, made_dv, made_vth, made_mant, made_exp, made_refract, ds), weights

    def _cluster_levels(self, vth: Array) -> Array:
        merged = cluster(vth[:, None], spec.THRESHOLD_PROFILES_PER_CORE)[:, 0]
        error = np.abs(merged - vth) / np.maximum(vth, 1)
        self.report["threshold_levels"] = len(np.unique(merged))
        self.report["threshold_error_max"] = float(error.max(initial=0))
        return merged

    def _bias_register(self, scale: Array) -> tuple[Array, Array]:
        n = self.population.n
        zero = np.zeros(n, np.int64)
        if self.population.bias is None:
            return zero, zero
        if isinstance(self.population.neuron, CubaLIF) and np.any(self.population.neuron.decay_syn):
            self.findings.append(
                Finding(
                    "BIAS_REGISTER",
                    self.population.name,
                    "a bias register drives the membrane, but the bias of a CubaLIF passes through its current",
                    remedy="gate the bias (snnkit.passes.gate_bias)",
                )
            )
        target = np.asarray(self.population.bias, np.float64) * scale[self.group]
        size = np.maximum(np.abs(target), 1)
        exponent = np.clip(np.ceil(np.log2(size / spec.BIAS_MANTISSA_LIMIT)), 0, spec.BIAS_EXPONENT_MAX).astype(
            np.int64
        )
        mantissa = np.rint(target / 2.0**exponent)
        clipped = np.clip(mantissa, -spec.BIAS_MANTISSA_LIMIT, spec.BIAS_MANTISSA_LIMIT)
        if np.any(clipped != mantissa):
            self.findings.append(
                Finding(
                    "BIAS_RANGE",
                    self.population.name,
                    f"{int(np.sum(clipped != mantissa))} biases exceed the register",
                    remedy="export with --bias gated",
                )
            )
        return clipped.astype(np.int64), exponent

    def _decay_error(self, merged: Array, ds: int) -> float:
        """The largest difference between a decay of the model and what its register, shared with others, stands for."""
        neuron = self.population.neuron
        v = neuron.decay_mem if isinstance(neuron, CubaLIF) else neuron.decay  # type: ignore[union-attr]
        errors = [1.0 - merged[:, 1] / DECAY_ONE - v]
        if isinstance(neuron, CubaLIF):
            errors.append(1.0 - (merged[:, 0] + ds) / DECAY_ONE - neuron.decay_syn)
        return float(np.abs(errors).max(initial=0))

    def _describe(
        self, scale: Array, weights: Mapping[str, Connection], level: Array, merged: Array, ds: int, exact: bool
    ) -> None:
        rows = {}
        for incoming in self.incoming:
            name = incoming.connection.name
            made = self._made(incoming, weights)
            e = format_of(weights[name]).exponent
            step = 2.0 ** (7 + e)
            target = incoming.values * scale[incoming.group]
            k = np.rint(target / step)
            rows[name] = {
                "exponent": e,
                "weights": int(target.size),
                "clipped": int(np.sum(np.abs(k) > K_MAX)),
                "zeroed": int(np.sum((made == 0) & (target != 0))),
                "rms_error_of_rms": float(np.sqrt(np.mean((made - target) ** 2) / max(np.mean(target**2), 1e-30)))
                if target.size
                else 0.0,
            }
        self.report |= {
            "exact_weights": bool(exact),
            "scale_min": float(scale.min(initial=np.inf)),
            "scale_max": float(scale.max(initial=0)),
            "vth": sorted({int(v) for v in level}),
            "profiles": len(np.unique(merged, axis=0)),
            "decay_error_max": self._decay_error(merged, ds),
            "connections": rows,
        }
