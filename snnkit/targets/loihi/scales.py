"""The scale of each group of neurons, in units of v per unit of the model: exact, finest, or lowered to few levels."""

from __future__ import annotations

import numpy as np

from snnkit.graph.model import Array
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.integers import K_MAX, UNIT, Incoming, levels
from snnkit.targets.loihi.layer import Layer

CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def exact_unit(layer: Layer, threshold: Array | None) -> int | None:
    """64 * p with the smallest power of two p that makes every weight and threshold an integer, if one does."""
    parts = [i.values for i in layer.incoming] + ([] if threshold is None else [threshold])
    if layer.population.bias is not None:
        return None
    values = np.concatenate([p.reshape(-1) for p in parts]) if parts else np.zeros(0)
    for bits in range(17):
        scaled = values * (1 << bits)
        whole = np.array_equal(scaled, np.rint(scaled))
        if whole and (threshold is None or np.all(threshold * (1 << bits) >= 2)):  # a level of 0 is no level
            return UNIT << bits
    return None


def ideal(layer: Layer) -> Array:
    """The scale of each group at which its weights fill the mantissa (the finest of its connections)."""
    candidates: list[Array] = []
    biases: list[Array] = []
    for incoming in layer.incoming:
        if incoming.values.size == 0:
            continue
        top = np.zeros(layer.groups)
        np.maximum.at(top, incoming.group, np.abs(incoming.values))
        search = layer.clip_search and not layer.is_readout and not incoming.is_bias
        clip = _clip(layer, incoming, top) if search else np.ones(layer.groups)
        full = np.where(top > 0, K_MAX * UNIT / np.maximum(top * clip, 1e-300), np.nan)
        (biases if incoming.is_bias else candidates).append(full)
    scale = np.full(layer.groups, np.nan)
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


def _clip(layer: Layer, incoming: Incoming, top: Array) -> Array:
    """The clip factor of each group with the smallest expected squared error of its synaptic input."""
    use = layer.use(incoming)
    best, best_error = np.ones(layer.groups), np.full(layer.groups, np.inf)
    for clip in CLIPS:
        step = np.maximum(top * clip / K_MAX, 1e-300)[incoming.group]
        k = np.clip(np.rint(incoming.values / step), -K_MAX, K_MAX)
        error = np.bincount(incoming.group, use * (k * step - incoming.values) ** 2, minlength=layer.groups)
        better = error < best_error * (1 - 1e-9)
        best, best_error = np.where(better, clip, best), np.where(better, error, best_error)
    return best


def snap(layer: Layer, scale: Array, threshold: Array) -> tuple[Array, Array]:
    """Lower each group's scale so that its threshold is one of few levels 64*vth + 1."""
    top = np.zeros(layer.groups)
    np.maximum.at(top, layer.group, threshold)
    wanted = np.clip(np.floor((top * scale - 1) / UNIT), 1, spec.VTH_MANTISSA_MAX)
    allowed = levels(wanted, layer.levels)
    chosen = allowed[np.maximum(np.searchsorted(allowed, wanted, side="right") - 1, 0)]
    snapped = (UNIT * chosen + 1) / top
    return snapped, np.clip(np.rint((threshold * snapped[layer.group] - 1) / UNIT), 1, spec.VTH_MANTISSA_MAX)
