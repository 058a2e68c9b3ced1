"""Rules of the neurons with real numbers, in float32 and in the order of operations of the training side.

LIF: v <- decay*v + x. CubaLIF: i <- decay_syn*i + x; v <- decay_mem*v + i. LI and CubaLI: without spikes.
s = [v >= threshold]; reset in the same step to 0 or by subtracting the threshold. After a spike `refractory` updates
of v are skipped: v stays, LIF loses the input of those steps, CubaLIF's current goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.model import Connection
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF, LinearLeakIF
from snnkit.graph.rules.products import Part, by_delay

Array = np.ndarray[Any, Any]


def parts(connection: Connection) -> list[Part]:
    """Weights as float64, so that sums of float32 weights are rounded once."""
    return by_delay(connection, sp.csr_matrix(connection.synapse.matrix(), dtype=np.float64))


def _f32(value: Array) -> Array:
    return np.asarray(value, np.float32)


class _Membrane:
    """Threshold, reset and refractory period, shared by the firing neurons."""

    def __init__(self, threshold: Array, reset: str, refractory: int, batch: int, n: int) -> None:
        self.threshold, self.reset, self.refractory = _f32(threshold), reset, int(refractory)
        self.v = np.zeros((batch, n), np.float32)
        self.wait = np.zeros((batch, n), np.int32)

    def advance(self, decay: Array, drive: Array) -> Array:
        v = decay * self.v + drive
        if self.refractory:
            free = self.wait == 0
            v = np.where(free, v, self.v)
            spikes = free & (v >= self.threshold)
            self.wait = np.where(spikes, self.refractory, np.maximum(self.wait - 1, 0)).astype(np.int32)
        else:
            spikes = v >= self.threshold
        after = v - self.threshold if self.reset == "subtract" else np.float32(0)
        self.v = np.where(spikes, after, v)
        return spikes


def _drive(x: Array, bias: Array | None) -> Array:
    drive = x.astype(np.float32)
    return drive if bias is None else drive + _f32(bias)


class LIFRule:
    """v <- decay*v + x; s = [v >= threshold]; reset."""

    u: Array | None = None

    def __init__(self, neuron: LIF, bias: Array | None, batch: int, n: int) -> None:
        self.decay, self.bias = _f32(neuron.decay), bias
        self.membrane = _Membrane(neuron.threshold, neuron.reset, neuron.refractory, batch, n)

    @property
    def v(self) -> Array:
        return self.membrane.v

    def step(self, x: Array, noise: Array | None) -> Array:
        return self.membrane.advance(self.decay, _drive(x, self.bias))


class CubaLIFRule:
    """i <- decay_syn*i + x; v <- decay_mem*v + i; s = [v >= threshold]; reset."""

    def __init__(self, neuron: CubaLIF, bias: Array | None, batch: int, n: int) -> None:
        self.decay_syn, self.decay_mem, self.bias = _f32(neuron.decay_syn), _f32(neuron.decay_mem), bias
        self.u: Array | None = np.zeros((batch, n), np.float32)
        self.membrane = _Membrane(neuron.threshold, neuron.reset, neuron.refractory, batch, n)

    @property
    def v(self) -> Array:
        return self.membrane.v

    def step(self, x: Array, noise: Array | None) -> Array:
        self.u = self.decay_syn * self.u + _drive(x, self.bias)
        return self.membrane.advance(self.decay_mem, self.u)


class LinearLeakIFRule:
    """v <- v + x; v <- v + leak*sgn(v); s = [v >= threshold]; reset, or at least -floor."""

    u: Array | None = None

    def __init__(self, neuron: LinearLeakIF, bias: Array | None, batch: int, n: int) -> None:
        self.leak, self.threshold, self.floor = _f32(neuron.leak), _f32(neuron.threshold), _f32(neuron.floor)
        self.reset, self.bias = neuron.reset, bias
        self.v = np.zeros((batch, n), np.float32)

    def step(self, x: Array, noise: Array | None) -> Array:
        v = self.v + _drive(x, self.bias)
        v = v + self.leak * np.sign(v)
        spikes = v >= self.threshold
        after = v - self.threshold if self.reset == "subtract" else np.float32(0)
        self.v = np.where(spikes, after, np.maximum(v, -self.floor))
        return np.asarray(spikes)


class LIRule:
    """v <- decay*v + x, without spikes."""

    u: Array | None = None

    def __init__(self, neuron: LI, bias: Array | None, batch: int, n: int) -> None:
        self.decay, self.bias = _f32(neuron.decay), bias
        self.v = np.zeros((batch, n), np.float32)

    def step(self, x: Array, noise: Array | None) -> Array:
        self.v = self.decay * self.v + _drive(x, self.bias)
        return np.zeros(self.v.shape, bool)


class CubaLIRule:
    """i <- decay_syn*i + x; v <- decay_mem*v + i, without spikes."""

    def __init__(self, neuron: CubaLI, bias: Array | None, batch: int, n: int) -> None:
        self.decay_syn, self.decay_mem, self.bias = _f32(neuron.decay_syn), _f32(neuron.decay_mem), bias
        self.u: Array | None = np.zeros((batch, n), np.float32)
        self.v = np.zeros((batch, n), np.float32)

    def step(self, x: Array, noise: Array | None) -> Array:
        self.u = self.decay_syn * self.u + _drive(x, self.bias)
        self.v = self.decay_mem * self.v + self.u
        return np.zeros(self.v.shape, bool)
