"""SpiNNaker 1 as sPyNNaker 7.4.1 computes it: the derived constants and one step of a core, in plain numpy.

IF_curr_exp and IF_curr_delta in s16.15 (int32 / 2**15) and u0.32 (uint32 / 2**32). Products floor and wrap, sums wrap,
nothing rounds. Sources (SpiNNakerManchester, Apache-2.0): sPyNNaker neural_modelling/src/neuron/neuron.c,
neuron/models/neuron_model_lif_impl.h, neuron/synapse_types/exp_synapse_utils.h, neuron/decay.h, common/maths-util.h;
spinn_common src/stdfix-exp.c.

u is the input current of the step, S_e - S_i + offset (of the scaled S for delta); v the membrane after the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.errors import GraphError
from snnkit.graph.model import Connection
from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.graph.rules.products import Part, by_delay
from snnkit.graph.synapses import SpinnakerWeightFormat

Array = np.ndarray[Any, Any]

FULL = 0xFFFF  # a slot of the ring buffer
ONE = 1 << 15
LOWEST_EXPONENT = -340695  # below, both exponentials are 0
SERIES = (5294, 4293434720, 2081624032)  # 1 - exp(-x) = c0 + x*(c1 - c2*x) in u0.32 for x below 1/16


# ----------------------------------------------------------------------------------------------------------- constants
@cache
def _exp_of_integers() -> dict[int, int]:
    """exp(z) in 32.32, to nearest, for whole z."""
    with localcontext() as context:
        context.prec = 60
        return {z: int((Decimal(z).exp() * 2**32).to_integral_value()) for z in range(-13, 13)}


@cache
def _loss_of_sixteenths() -> list[int]:
    """1 - exp(-k/16) in u0.32, to nearest."""
    with localcontext() as context:
        context.prec = 60
        return [int(((1 - (Decimal(-k) / 16).exp()) * 2**32).to_integral_value()) for k in range(16)]


def _share(value: int, fraction: int) -> int:
    """value * fraction / 2**32: the low word's product is rounded, up from 2**31 - 1 on."""
    high, low = divmod(value, 1 << 32)
    whole, rest = divmod(low * fraction, 1 << 32)
    return high * fraction + whole + (1 if rest >= 2**31 - 1 else 0)


def exponential(x: int) -> int:
    """exp(x / 2**15) in 32.32: from the next whole number up, less sixteenths, less the rest by a short series."""
    up = math.ceil(x / ONE)
    down = up * ONE - x
    value = _exp_of_integers()[up]
    if down:
        sixteenths, rest = divmod(down, ONE // 16)
        value -= _share(value, _loss_of_sixteenths()[sixteenths])
        y = rest << 17
        slope = SERIES[1] - (SERIES[2] * y >> 32)
        value -= _share(value, SERIES[0] + (slope * y >> 32))
    return value


def exp_accum(x: int) -> int:
    """exp of a negative s16.15 as s16.15, truncated."""
    return 0 if x < LOWEST_EXPONENT else exponential(x) >> 17


def exp_fract(x: int) -> int:
    """exp of a negative s16.15 as u0.32; exp(0) wraps to 0."""
    return 0 if x < LOWEST_EXPONENT else exponential(x) % 2**32


def quotient(a: int, b: int) -> int:
    """a / b of two positive s16.15 as s16.15, truncated to 32 bits."""
    q = ((a % 2**64) * ONE % 2**64) // b % 2**32
    return q - 2**32 if q >= 2**31 else q


def _per_value(function: Callable[..., int], *columns: Array) -> Array:
    """Apply a function of integers to columns, once per distinct row."""
    table = np.stack([np.asarray(c, np.int64) for c in columns], 1)
    rows, where = np.unique(table, axis=0, return_inverse=True)
    return np.array([function(*(int(x) for x in row)) for row in rows], np.int64)[where.reshape(-1)]


def _synapse(ts: int, tau: int) -> int:
    return exp_fract(-quotient(ts, tau))


def _mean_of_step(ts: int, tau: int) -> int:
    """tau/ts * (1 - exp(-ts/tau)) with 1 as the largest u0.32."""
    return (quotient(tau, ts) * (2**32 - 1 - _synapse(ts, tau)) >> 15) % 2**32


# ------------------------------------------------------------------------------------------------------------ weights
def parts(connection: Connection) -> list[Part]:
    """The words of a connection as a map to 2 n targets, excitatory ones first; one part per delay."""
    fmt = connection.format
    assert isinstance(fmt, SpinnakerWeightFormat)
    if fmt.pair is not None:
        return []  # they learn: `spinnaker_stdp.Learning`
    matrices = []
    for part in by_delay(connection, sp.csr_matrix(connection.synapse.matrix(), dtype=np.int64)):
        m = part.matrix
        if fmt.receptor is not None and m.data.min(initial=0) < 0:
            raise GraphError(f"connection {connection.name!r} has negative words for one receptor")
        up, down = (sp.csr_matrix((np.maximum(sign * m.data, 0), m.indices, m.indptr), m.shape) for sign in (1, -1))
        if fmt.receptor == 1:
            up, down = down, up
        matrices.append(Part(part.delay, sp.csr_matrix(sp.vstack([up, down]))))
    return matrices


# --------------------------------------------------------------------------------------------------------------- step
def wrap(x: Array) -> Array:
    """Two's complement of 32 bits."""
    return (x + 2**31) % 2**32 - 2**31


def times(a: Array, b: Array) -> Array:
    """Product of two s16.15: floored and wrapped."""
    return wrap(np.floor_divide(a * b, ONE))


def faded(x: Array, u: Array) -> Array:
    """s16.15 times u0.32, floored: by halves of u, so that nothing leaves 64 bits."""
    high, low = u // 2**16, u % 2**16
    return wrap(np.floor_divide(x * high + np.floor_divide(x * low, 2**16), 2**16))


class SpinnakerRule:
    """Neurons of one population; state S_e, S_i, v and the refractory counter, int64 [B, n]."""

    def __init__(self, neuron: SpinnakerNeuron, batch: int, n: int) -> None:
        raw = {k: np.asarray(x, np.int64) for k, x in vars(neuron).items() if isinstance(x, np.ndarray)}
        self.raw, self.neuron = raw, neuron
        self.resistance = _per_value(quotient, raw["tau_m"], raw["c_m"])
        self.decay = _per_value(lambda ts, tau: exp_accum(-quotient(ts, tau)), raw["ts"], raw["tau_m"])
        self.hold = _per_value(lambda tau, ts: -(-quotient(tau, ts) // ONE), raw["tau_refrac"], raw["ts"])
        taus = (raw["tau_syn_e"], raw["tau_syn_i"])
        self.exponential = neuron.model == "exp"
        if self.exponential:
            self.fade = [_per_value(_synapse, raw["ts"], tau) for tau in taus]
            self.scale = [_per_value(_mean_of_step, raw["ts"], tau) for tau in taus]
        else:
            self.gain = _per_value(quotient, np.full(n, ONE), raw["ts"])

        def full(x: Array) -> Array:
            return np.repeat(x[None], batch, 0)

        self.v, self.counter = full(raw["v_init"]), full(raw["refrac_init"])
        self.synapse = [np.zeros((batch, n), np.int64), np.zeros((batch, n), np.int64)]
        self.u: Array | None = np.zeros((batch, n), np.int64)

    def step(self, x: Array, noise: Array | None) -> Array:
        if noise is not None:
            raise GraphError("SpiNNaker's neurons have no noise input")
        n = self.v.shape[1]
        for receptor in (0, 1):  # the slot, saturated, goes to the synaptic state
            slot = np.minimum(x[:, receptor * n : receptor * n + n], FULL)
            entry = wrap(slot * 2 ** self.neuron.shift[receptor])
            entry = faded(entry, self.scale[receptor]) if self.exponential else entry
            self.synapse[receptor] = wrap(self.synapse[receptor] + entry)
        excitatory, inhibitory = self.synapse if self.exponential else [times(s, self.gain) for s in self.synapse]
        self.u = wrap(excitatory - inhibitory + self.raw["i_offset"])
        target = wrap(times(self.u, self.resistance) + self.raw["v_rest"])
        moved = wrap(target - times(self.decay, wrap(target - self.v)))
        free = self.counter <= 0
        v = np.where(free, moved, self.v)
        counter = np.where(free, self.counter, self.counter - 1)
        spikes = v >= self.raw["v_thresh"]  # tested while refractory, too
        self.v = np.where(spikes, self.raw["v_reset"], v)
        self.counter = np.where(spikes, self.hold, counter)
        self.synapse = [faded(s, f) if self.exponential else s * 0 for s, f in zip(self.synapse, self.fade_pair())]
        return spikes

    def fade_pair(self) -> list[Array]:
        """The decays of both receptors; anything for delta, whose state is emptied."""
        return self.fade if self.exponential else self.synapse
