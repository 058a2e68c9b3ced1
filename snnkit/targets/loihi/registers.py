"""A layer's neuron registers, few distinct ones as a core has room for, and the report of what they stand for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Array, Connection
from snnkit.graph.neurons import LI, LIF, CubaLIF, LoihiNeuron
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.integers import DECAY_ONE, K_MAX, cluster, current_decay, dv_register, format_of
from snnkit.targets.loihi.layer import Layer
from snnkit.targets.loihi.weights import made


def finish(
    layer: Layer, scale: Array, vth: Array | None, weights: dict[str, Connection], *, exact: bool
) -> tuple[LoihiNeuron, dict[str, Connection]]:
    """The layer's neuron at these scales and thresholds, beside its weights; the layer's report is completed."""
    neuron, n = layer.population.neuron, layer.population.n
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
        refract, level = neuron.refractory + 1, _cluster_levels(layer, vth.astype(np.int64))
    pair = np.stack([du, dv], axis=1)
    merged = cluster(pair, spec.COMPARTMENT_PROFILES_PER_CORE)
    mantissa, exponent = _bias_register(layer, scale)
    _describe(layer, scale, weights, level, merged, ds, exact)
    registers = np.stack([merged[:, 0], merged[:, 1], level, mantissa, exponent, np.full(n, refract)])
    made_du, made_dv, made_vth, made_mant, made_exp, made_refract = registers.astype(np.int32)
    return LoihiNeuron(made_du, made_dv, made_vth, made_mant, made_exp, made_refract, ds), weights


def _cluster_levels(layer: Layer, vth: Array) -> Array:
    merged = cluster(vth[:, None], spec.THRESHOLD_PROFILES_PER_CORE)[:, 0]
    error = np.abs(merged - vth) / np.maximum(vth, 1)
    layer.report["threshold_levels"] = len(np.unique(merged))
    layer.report["threshold_error_max"] = float(error.max(initial=0))
    return merged


def _bias_register(layer: Layer, scale: Array) -> tuple[Array, Array]:
    n = layer.population.n
    zero = np.zeros(n, np.int64)
    if layer.population.bias is None:
        return zero, zero
    if isinstance(layer.population.neuron, CubaLIF) and np.any(layer.population.neuron.decay_syn):
        layer.findings.append(
            Finding(
                "BIAS_REGISTER",
                layer.population.name,
                "a bias register drives the membrane, but the bias of a CubaLIF passes through its current",
                remedy="gate the bias (snnkit.passes.gate_bias)",
            )
        )
    target = np.asarray(layer.population.bias, np.float64) * scale[layer.group]
    size = np.maximum(np.abs(target), 1)
    exponent = np.clip(np.ceil(np.log2(size / spec.BIAS_MANTISSA_LIMIT)), 0, spec.BIAS_EXPONENT_MAX).astype(np.int64)
    mantissa = np.rint(target / 2.0**exponent)
    clipped = np.clip(mantissa, -spec.BIAS_MANTISSA_LIMIT, spec.BIAS_MANTISSA_LIMIT)
    if np.any(clipped != mantissa):
        layer.findings.append(
            Finding(
                "BIAS_RANGE",
                layer.population.name,
                f"{int(np.sum(clipped != mantissa))} biases exceed the register",
                remedy="export with --bias gated",
            )
        )
    return clipped.astype(np.int64), exponent


def _decay_error(layer: Layer, merged: Array, ds: int) -> float:
    """The largest difference between a decay of the model and what its register, shared with others, stands for."""
    neuron = layer.population.neuron
    v = neuron.decay_mem if isinstance(neuron, CubaLIF) else neuron.decay  # type: ignore[union-attr]
    errors = [1.0 - merged[:, 1] / DECAY_ONE - v]
    if isinstance(neuron, CubaLIF):
        errors.append(1.0 - (merged[:, 0] + ds) / DECAY_ONE - neuron.decay_syn)
    return float(np.abs(errors).max(initial=0))


def _describe(
    layer: Layer, scale: Array, weights: Mapping[str, Connection], level: Array, merged: Array, ds: int, exact: bool
) -> None:
    rows = {}
    for incoming in layer.incoming:
        name = incoming.connection.name
        stored = made(incoming, weights)
        e = format_of(weights[name]).exponent
        step = 2.0 ** (7 + e)
        target = incoming.values * scale[incoming.group]
        k = np.rint(target / step)
        rows[name] = {
            "exponent": e,
            "weights": int(target.size),
            "clipped": int(np.sum(np.abs(k) > K_MAX)),
            "zeroed": int(np.sum((stored == 0) & (target != 0))),
            "rms_error_of_rms": float(np.sqrt(np.mean((stored - target) ** 2) / max(np.mean(target**2), 1e-30)))
            if target.size
            else 0.0,
        }
    layer.report |= {
        "exact_weights": bool(exact),
        "scale_min": float(scale.min(initial=np.inf)),
        "scale_max": float(scale.max(initial=0)),
        "vth": sorted({int(v) for v in level}),
        "profiles": len(np.unique(merged, axis=0)),
        "decay_error_max": _decay_error(layer, merged, ds),
        "connections": rows,
    }
