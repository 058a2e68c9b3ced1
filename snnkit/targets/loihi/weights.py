"""A layer's integer weights at given scales, and the bounds of the registers that they drive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from snnkit.graph.model import Array, Connection
from snnkit.graph.neurons import LI, LIF, CubaLIF
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.integers import (
    BIAS_REACH,
    E_MIN,
    LEVEL_MAX,
    Q_LIMIT,
    REACH,
    U_LIMIT,
    Incoming,
    current_decay,
    dv_register,
    exponent_for,
    format_of,
    geometric,
    integer_connection,
    round_k,
    stored_k,
    times,
)
from snnkit.targets.loihi.layer import Layer

FINE = ".fine"
"""Suffix of the second, finer connection of a gated bias."""


def integer_weights(layer: Layer, scale: Array) -> dict[str, Connection]:
    """Integer connections for these scales. A gated bias gets a coarse and, where needed, a fine part."""
    out: dict[str, Connection] = {}
    for incoming in layer.incoming:
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
            e = _fitting_exponent(layer, incoming, target, scale)
            out[name] = integer_connection(incoming.connection, round_k(target, e), e)
    return out


def _fitting_exponent(layer: Layer, incoming: Incoming, target: Array, scale: Array) -> int:
    """The exponent that reaches the largest weight, or the next finer one where clipping that weight costs less."""
    e = exponent_for(float(np.abs(target).max(initial=0)))
    if e == E_MIN or layer.is_readout or not layer.clip_search:
        return e
    use = layer.use(incoming) / scale[incoming.group] ** 2
    errors = [float(np.sum(use * (round_k(target, k) * 2.0 ** (7 + k) - target) ** 2)) for k in (e, e - 1)]
    return e if errors[0] <= errors[1] else e - 1


def made(incoming: Incoming, weights: Mapping[str, Connection]) -> Array:
    """What the integer weights of one connection stand for, in units of u."""
    name = incoming.connection.name
    keys = [k for k in (name, name + FINE) if k in weights]
    return np.sum([stored_k(weights[k]) * 2.0 ** (7 + format_of(weights[k]).exponent) for k in keys], axis=0)


def is_exact(layer: Layer, scale: Array, weights: Mapping[str, Connection]) -> bool:
    """True if every scaled weight is represented without error."""
    return all(np.array_equal(made(i, weights), i.values * scale[i.group]) for i in layer.incoming)


def _bounds(layer: Layer, weights: Mapping[str, Connection]) -> tuple[Array, Array]:
    """Largest and smallest possible synaptic input of each neuron in one step, for binary sources."""
    up, down = np.zeros(layer.population.n), np.zeros(layer.population.n)
    for connection in weights.values():
        matrix = connection.synapse.matrix().tocsr()
        unit = 2.0 ** (spec.WEIGHT_SHIFT + format_of(connection).exponent)
        plus, minus = matrix.copy(), matrix.copy()
        plus.data = np.maximum(matrix.data, 0).astype(np.float64)
        minus.data = np.minimum(matrix.data, 0).astype(np.float64)
        count = max((i.max_count for i in layer.graph.inputs if i.name == connection.src), default=1)
        up += np.asarray(plus.sum(axis=1)).reshape(-1) * unit * count
        down += np.asarray(minus.sum(axis=1)).reshape(-1) * unit * count
    return up, down


def excess(layer: Layer, scale: Array, weights: Mapping[str, Connection], threshold: Array | None) -> Array:
    """By what factor each scale group exceeds its worst register limit; <= 1 is proved to fit."""
    up, down = _bounds(layer, weights)
    size = np.maximum(up, -down)
    bias = np.zeros(size.shape) if layer.population.bias is None else np.asarray(layer.population.bias, np.float64)
    bias = np.abs(bias * scale[layer.group])
    ratio = np.maximum(size / Q_LIMIT, bias / BIAS_REACH)
    neuron = layer.population.neuron
    current = times(size, geometric(current_decay(neuron), layer.ticks)) if isinstance(neuron, CubaLIF) else size
    ratio = np.maximum(ratio, (current + bias) / U_LIMIT)
    if isinstance(neuron, LI):
        bound = times(size + bias, geometric(dv_register(neuron.decay), layer.ticks))
        layer.report["v_bound"] = float(bound.max(initial=0))
        ratio = np.maximum(ratio, bound / LEVEL_MAX)
    if threshold is not None:
        ratio = np.maximum(ratio, threshold * scale[layer.group] / (LEVEL_MAX + 1))
    layer.report["q_bound"] = float(size.max(initial=0))
    worst = np.zeros(layer.groups)
    np.maximum.at(worst, layer.group, ratio)
    for incoming in layer.incoming:  # what no exponent reaches would be cut off unseen
        np.maximum.at(worst, incoming.group, np.abs(incoming.values) * scale[incoming.group] / REACH)
    return worst


def lowest(layer: Layer, weights: Mapping[str, Connection]) -> float:
    """How far below 0 some v may fall if all inhibition arrives in every step of a run."""
    neuron = layer.population.neuron
    if isinstance(neuron, LI):
        return 0.0  # `excess` has its bound
    assert isinstance(neuron, LIF | CubaLIF)
    drop = -_bounds(layer, weights)[1]
    if isinstance(neuron, CubaLIF):
        drop = times(drop, geometric(current_decay(neuron), layer.ticks))
    decay = neuron.decay if isinstance(neuron, LIF) else neuron.decay_mem
    return float(times(drop, geometric(dv_register(decay), layer.ticks)).max(initial=0))
