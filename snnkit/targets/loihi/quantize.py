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

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Array, Connection, Graph, Population
from snnkit.graph.neurons import LoihiNeuron
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.integers import E_MIN, UNIT, V_LIMIT
from snnkit.targets.loihi.layer import Layer
from snnkit.targets.loihi.registers import finish
from snnkit.targets.loihi.scales import exact_unit, ideal, snap
from snnkit.targets.loihi.weights import FINE, excess, integer_weights, is_exact, lowest
from snnkit.targets.quantized import Quantized, on_chip_timeline


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
        layer = Layer(graph, population, rates or {}, options.levels, options.clip_search)
        neuron, weights = _solve(layer)
        populations.append(replace(population, neuron=neuron, bias=None))
        connections.update(weights)
        report.append(layer.report)
        findings += layer.findings
    ordered: list[Connection] = []
    for c in graph.connections:
        ordered += [q for name, q in connections.items() if name == c.name or name == c.name + FINE]
    return Quantized(graph.with_(populations=tuple(populations), connections=tuple(ordered)), report, findings)


def _solve(layer: Layer) -> tuple[LoihiNeuron, dict[str, Connection]]:
    threshold = layer.threshold()
    exact = _exact(layer, threshold)
    if exact is not None:
        return finish(layer, *exact, exact=True)
    scale = ideal(layer)
    for _ in range(24):
        vth = None
        if threshold is not None:
            scale, vth = snap(layer, scale, threshold)
        weights = integer_weights(layer, scale)
        over = excess(layer, scale, weights, threshold)
        if np.all(over <= 1.0):
            return finish(layer, scale, vth, weights, exact=False)
        if not np.all(np.isfinite(over)):
            break
        scale = np.where(over > 1.0, scale / (over * 1.001), scale)
    layer.findings.append(_no_scale(layer, over, threshold))
    scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
    return finish(layer, scale, vth, weights, exact=False)


def _exact(layer: Layer, threshold: Array | None) -> tuple[Array, Array | None, dict[str, Connection]] | None:
    """Scale, thresholds and weights without any rounding, if there are such.

    The level lies 63 units below threshold * s (v >= threshold also holds for the last unit lost to a decay), so
    the largest power of two makes this the smallest share of the threshold. v must not reach its lower limit,
    though: the largest power for which that is proved is taken, or the smallest one where it is not for any.
    """
    smallest = exact_unit(layer, threshold)
    if smallest is None:
        return None
    found = None
    for shift in range(spec.WEIGHT_EXPONENT_MAX - E_MIN, -1, -1):
        scale = np.full(layer.groups, float(smallest << shift))
        vth = None if threshold is None else np.rint(threshold * scale[0] / UNIT) - 1
        weights = integer_weights(layer, scale)
        if not is_exact(layer, scale, weights) or np.any(excess(layer, scale, weights, threshold) > 1.0):
            continue
        found = scale, vth, weights
        if lowest(layer, weights) <= V_LIMIT:
            break
    return found


def _no_scale(layer: Layer, over: Array, threshold: Array | None) -> Finding:
    name = layer.population.name
    if not np.all(np.isfinite(over)):
        return Finding(
            "RUN_LENGTH",
            name,
            "without a leak its sums grow for as long as the network runs, and the graph does not say how long",
            remedy="export with the number of steps of a sample (steps=T), or use a decay below 1",
        )
    worst = int(np.flatnonzero(layer.group == np.argmax(over))[0])
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
