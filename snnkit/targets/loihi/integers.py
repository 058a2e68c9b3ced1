"""Loihi's integers for real numbers: mantissas with exponents, decay registers, bounds of leaky sums, few levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from snnkit.graph.model import Array, Connection
from snnkit.graph.neurons import CubaLIF
from snnkit.graph.synapses import Conv, Dense, LoihiWeightFormat, Sparse
from snnkit.targets.loihi import spec

K_MAX = 127  # mixed-sign mantissas 2k, |2k| <= 254
UNIT = 1 << spec.WEIGHT_SHIFT  # smallest weight step: mantissa 2, exponent -1
E_MIN = -1
LEVEL_MAX = spec.VTH_MANTISSA_MAX << spec.VTH_SHIFT
Q_LIMIT = (1 << (spec.Q_BITS - 1)) - 1
U_LIMIT = (1 << (spec.U_BITS - 1)) - 1
V_LIMIT = spec.vmax(spec.VMAX_EXPONENT_MAX)
"""-vmin and vmax of the neurons that are made here."""
REACH = K_MAX << (7 + spec.WEIGHT_EXPONENT_MAX)
"""The largest weight."""
BIAS_REACH = spec.BIAS_MANTISSA_LIMIT << spec.BIAS_EXPONENT_MAX
DECAY_ONE = 1 << spec.DECAY_BITS


@dataclass(frozen=True)
class Incoming:
    """One connection as the quantiser sees it: its synapses as flat arrays."""

    connection: Connection
    values: Array  # weight of each synapse slot that is stored (a kernel entry counts once)
    group: Array  # scale group of each value
    source: Array  # representative source index, -1 for shared weights
    is_bias: bool


def flatten(connection: Connection, group: Array, is_bias: bool) -> Incoming:
    """A connection's stored weights; `group` [n_dst] is the scale group of each neuron."""
    synapse = connection.synapse
    if isinstance(synapse, Conv):
        c_out = synapse.weight.shape[0]
        per = group.size // c_out
        values = synapse.weight.reshape(-1)
        own = np.repeat(group[::per], values.size // c_out)
        return Incoming(connection, values, own, np.full(0, -1), is_bias)
    if isinstance(synapse, Dense):
        n_dst, n_src = synapse.weight.shape
        source = np.tile(np.arange(n_src), n_dst)
        return Incoming(connection, synapse.weight.reshape(-1), np.repeat(group, n_src), source, is_bias)
    matrix = synapse.matrix()
    own = np.repeat(group, np.diff(matrix.indptr))
    return Incoming(connection, matrix.data, own, matrix.indices.astype(np.int64), is_bias)


def integer_connection(connection: Connection, k: Array, e: int) -> Connection:
    """The connection with mantissas 2k in the shape of its synapse."""
    mantissa = (2 * k).astype(np.int32)
    synapse = connection.synapse
    made: Conv | Dense | Sparse
    if isinstance(synapse, Conv):
        made = replace(synapse, weight=mantissa.reshape(synapse.weight.shape))
    elif isinstance(synapse, Dense):
        made = Dense(mantissa.reshape(synapse.weight.shape))
    else:
        old = synapse.matrix()
        made = Sparse(sp.csr_matrix((mantissa, old.indices, old.indptr), shape=old.shape))
    return replace(connection, synapse=made, format=LoihiWeightFormat(e, spec.MIXED, spec.WEIGHT_MAGNITUDE_BITS))


def stored_k(connection: Connection) -> Array:
    """k of each stored weight of an integer connection."""
    synapse = connection.synapse
    if isinstance(synapse, Conv | Dense):
        return synapse.weight.reshape(-1) / 2.0
    return synapse.matrix().data / 2.0


def format_of(connection: Connection) -> LoihiWeightFormat:
    """The weight format of an integer connection."""
    assert isinstance(connection.format, LoihiWeightFormat)
    return connection.format


def exponent_for(size: float) -> int:
    """The smallest exponent e >= -1 whose largest weight 127 * 2**(7 + e) reaches `size`."""
    e = E_MIN
    while K_MAX * float(2 ** (7 + e)) < size * (1 - 1e-9) and e < spec.WEIGHT_EXPONENT_MAX:
        e += 1
    return e


def round_k(target: Array, e: int) -> Array:
    """The nearest k of k * 2**(7 + e), |k| <= 127."""
    return np.clip(np.rint(target / 2.0 ** (7 + e)), -K_MAX, K_MAX).astype(np.int64)


def dv_register(decay: Array) -> Array:
    """The voltage decay register: 4096 * (1 - decay), at most 4095."""
    return np.clip(np.rint(DECAY_ONE * (1.0 - np.asarray(decay, np.float64))), 0, spec.DECAY_MAX).astype(np.int64)


def current_decay(neuron: CubaLIF) -> Array:
    """The effective current decay du + ds_offset, 0..4096."""
    return np.rint(DECAY_ONE * (1.0 - np.asarray(neuron.decay_syn, np.float64))).astype(np.int64)


def geometric(decay: Array, ticks: int | None) -> Array:
    """Sum of (1 - decay/4096)**t over the run: the largest factor by which a leaky sum exceeds one step's input."""
    keep = 1.0 - decay / DECAY_ONE
    endless = np.where(decay > 0, DECAY_ONE / np.maximum(decay, 1), np.inf)
    if ticks is None:
        return endless
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(decay > 0, (1 - keep**ticks) / np.maximum(1 - keep, 1e-12), float(ticks))


def times(size: Array, factor: Array) -> Array:
    """size * factor, where 0 times infinity is 0."""
    return np.where(size > 0, size * np.where(size > 0, factor, 0.0), 0.0)


def levels(wanted: Array, limit: int) -> Array:
    """At most `limit` levels, spread evenly in ratio between the smallest and the largest wanted one."""
    low, high = float(wanted.min()), float(wanted.max())
    distinct = np.unique(wanted)
    if distinct.size <= limit:
        return distinct
    return np.unique(np.floor(np.geomspace(low, high, limit) + 1e-9))


def cluster(rows: Array, limit: int) -> Array:
    """Rows [n, k] of integers with at most `limit` distinct ones: Lloyd's algorithm from evenly spaced rows."""
    unique, inverse, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    if len(unique) <= limit:
        return rows
    centres = unique[np.linspace(0, len(unique) - 1, limit).round().astype(int)].astype(np.float64)
    for _ in range(50):
        nearest = np.argmin(((unique[:, None, :] - centres[None]) ** 2).sum(axis=2), axis=1)
        weight = np.bincount(nearest, counts, minlength=limit)
        new = np.stack(
            [np.bincount(nearest, counts * unique[:, j], minlength=limit) for j in range(unique.shape[1])], axis=1
        )
        new = np.where(weight[:, None] > 0, new / np.maximum(weight, 1)[:, None], centres)
        if np.array_equal(new, centres):
            break
        centres = new
    return np.rint(centres[nearest]).astype(rows.dtype)[inverse]
