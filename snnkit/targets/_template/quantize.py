"""Real weights, thresholds and decays -> the toy chip's integers.

A neuron's equations do not change when its weights and threshold are multiplied by one number s > 0, so each neuron has
its own: the power of two that makes everything an integer if there is one within the registers (then the quantised
network equals the float one), otherwise the s that makes its largest weight WEIGHT_LIMIT. A decay becomes the nearest
1 - 2^-k. What was rounded and clipped is counted in the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import LIF
from snnkit.graph.synapses import Dense, IntegerFormat, Sparse
from snnkit.targets._template import spec
from snnkit.targets._template.neuron import ToyNeuron
from snnkit.targets.quantized import Quantized, on_chip_timeline

Array = np.ndarray[Any, Any]


def quantize(graph: Graph, rates: Mapping[str, Array] | None = None) -> Quantized:
    """Quantise a float graph on the chip timeline that passed `rules.check`.

    Args:
        graph: see above; biases are gated.
        rates: firing probability per step of each source; not needed by this quantiser.
    """
    on_chip_timeline(graph)
    populations: list[Population] = []
    connections: dict[str, Connection] = {}
    report: list[dict[str, Any]] = []
    for p in graph.populations:
        incoming = graph.incoming(p.name)
        neuron, scale, exact = _neurons(p, incoming)
        made = {c.name: _connection(c, scale) for c in incoming}
        populations.append(replace(p, neuron=neuron, bias=None))
        connections |= made
        report.append(_describe(p, neuron, scale, exact, [(c, made[c.name]) for c in incoming]))
    ordered = tuple(connections[c.name] for c in graph.connections)
    return Quantized(graph.with_(populations=tuple(populations), connections=ordered), report)


def _neurons(p: Population, incoming: list[Connection]) -> tuple[ToyNeuron, Array, bool]:
    """Registers, the scale of each neuron, and whether nothing but the decay is rounded."""
    assert isinstance(p.neuron, LIF)
    threshold = p.neuron.threshold.astype(np.float64)
    rows = sp.hstack([sp.csr_matrix((p.n, 1)), *(c.synapse.matrix() for c in incoming)], format="csr")
    top = np.asarray(abs(rows).max(axis=1).todense()).reshape(-1).astype(np.float64)
    most = np.minimum(spec.WEIGHT_LIMIT / np.maximum(top, 1e-300), spec.THRESHOLD_MAX / threshold)
    power = 2.0 ** np.floor(np.log2(most))
    fits = (threshold * power == np.rint(threshold * power)) & _whole(rows, power)
    scale = np.where(fits, power, most)
    level = np.clip(np.rint(threshold * scale), spec.THRESHOLD_MIN, spec.THRESHOLD_MAX)
    reset = spec.RESET_SUBTRACT if p.neuron.reset == "subtract" else spec.RESET_ZERO
    neuron = ToyNeuron(leak_register(p.neuron.decay), level.astype(np.int32), np.full(p.n, reset, np.int32))
    return neuron, scale, bool(fits.all())


def _whole(rows: sp.csr_matrix, scale: Array) -> Array:
    """Rows whose scaled weights are integers."""
    scaled = np.asarray(rows.data, np.float64) * np.repeat(scale, np.diff(rows.indptr))
    wrong = sp.csr_matrix((scaled != np.rint(scaled), rows.indices, rows.indptr), shape=rows.shape)
    return np.asarray(wrong.sum(axis=1)).reshape(-1) == 0


def decay_of(leak: Array) -> Array:
    """The decay that a leak register stands for: 1 - 2^-k, or 1."""
    return np.where(leak == spec.LEAK_NONE, 1.0, 1.0 - 0.5 ** leak.astype(np.float64))


def leak_register(decay: Array) -> Array:
    """The register with the nearest decay, int32."""
    known = decay_of(np.arange(spec.LEAK_NONE + 1))
    return np.abs(np.asarray(decay, np.float64)[:, None] - known).argmin(1).astype(np.int32)


def _connection(c: Connection, scale: Array) -> Connection:
    matrix = sp.csr_matrix(c.synapse.matrix(), dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    whole = np.rint(matrix.data * np.repeat(scale, np.diff(matrix.indptr)))
    whole = np.clip(whole, -spec.WEIGHT_LIMIT, spec.WEIGHT_LIMIT).astype(np.int32)
    made = sp.csr_matrix((whole, matrix.indices, matrix.indptr), shape=matrix.shape)
    synapse = Dense(made.toarray()) if isinstance(c.synapse, Dense) else Sparse(made)
    return replace(c, synapse=synapse, format=IntegerFormat(spec.WEIGHT_BITS))


def _describe(
    p: Population, neuron: ToyNeuron, scale: Array, exact: bool, pairs: list[tuple[Connection, Connection]]
) -> dict[str, Any]:
    assert isinstance(p.neuron, LIF)
    rows = {}
    for before, after in pairs:
        target = sp.diags(scale) @ before.synapse.matrix()
        made = after.synapse.matrix()
        error = np.abs((made - target).data)
        rows[before.name] = {
            "weights": int(target.nnz),
            "clipped": int(np.sum(np.abs(np.rint(target.data)) > spec.WEIGHT_LIMIT)),
            "zeroed": int(np.count_nonzero(target.data) - np.count_nonzero(made.data)),
            "error_max": float(error.max(initial=0)),
        }
    return {
        "layer": p.name,
        "neurons": p.n,
        "exact_weights": exact,
        "scale_min": float(scale.min(initial=np.inf)),
        "scale_max": float(scale.max(initial=0)),
        "decay_error_max": float(np.abs(decay_of(neuron.leak) - p.neuron.decay).max(initial=0)),
        "connections": rows,
    }
