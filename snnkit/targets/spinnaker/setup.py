"""What a core computes once, when it loads its parameters: divisions and exponentials, in integers.

Sources: sPyNNaker 7.4.1 common/maths-util.h (kdivk: unsigned 64-bit division, truncated), neuron/synapse_types/
exp_synapse_utils.h, neuron/models/neuron_model_lif_impl.h; spinn_common src/stdfix-exp.c and include/utils.h (tables of
exp(z) and 1 - exp(-k/16), products that round up from 2**31 - 1 on, a series of second order).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np

from snnkit.targets.spinnaker import spec

Array = np.ndarray[Any, Any]

_WORD = 1 << 32


@cache
def _tables() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """exp(z) in 32.32 for z = -13..12, and 1 - exp(-k/16) in u0.32 for k = 0..15, each to nearest."""
    with localcontext() as context:
        context.prec = 60
        whole = tuple(round(Decimal(z).exp() * _WORD) for z in range(-13, 13))
        part = tuple(round((1 - (Decimal(-k) / 16).exp()) * _WORD) for k in range(16))
    return whole, part


def _scaled(x: int, y: int) -> int:
    product = (x & (_WORD - 1)) * y
    return (product >> 32) + ((product & (_WORD - 1)) >= spec.ROUND_UP_FROM) + (x >> 32) * y


@cache
def exp_3232(x: int) -> int:
    """exp(x / 2**15) in 32.32 for x from -340695 to 363408."""
    whole, part = _tables()
    z, fraction = x >> 15, x & 32767
    if not fraction:
        return whole[13 + z]
    missing = 32768 - fraction
    value = whole[14 + z]
    value -= _scaled(value, part[missing >> 11])
    y = (missing & 2047) << 17
    c0, c1, c2 = spec.EXP_SERIES
    return value - _scaled(value, c0 + ((c1 - (c2 * y >> 32)) * y >> 32))


def expk(x: int) -> int:
    """exp of an s16.15 as s16.15: truncated, 0 below -340695, saturated above 363408."""
    if x > spec.EXP_MAX:
        return 2**31 - 1
    return 0 if x < spec.EXP_MIN else exp_3232(x) >> 17


def expulr(x: int) -> int:
    """exp of an s16.15 <= 0 as u0.32; exp(0) is 0, because 1 does not fit."""
    return 0 if x < spec.EXP_MIN else exp_3232(x) & (_WORD - 1)


def divide(a: int, b: int) -> int:
    """a / b of two positive s16.15 as s16.15: truncated, cut to 32 bits."""
    q = (((a & (2**64 - 1)) << 15) & (2**64 - 1)) // b & (_WORD - 1)
    return q - _WORD if q >> 31 else q


def synapse_decay(ts: int, tau: int) -> int:
    """exp(-ts/tau) in u0.32."""
    return expulr(-divide(ts, tau))


def synapse_scale(ts: int, tau: int) -> int:
    """tau/ts * (1 - exp(-ts/tau)) in u0.32, with the largest u0.32 for 1."""
    return (divide(tau, ts) * (_WORD - 1 - synapse_decay(ts, tau)) >> 15) & (_WORD - 1)


def refractory_steps(tau: int, ts: int) -> int:
    """tau_refrac in steps, rounded up."""
    return (divide(tau, ts) + 32767) >> 15


@dataclass(frozen=True, eq=False)
class Derived:
    """Constants of neurons, int64 [n]: R, decay s16.15; hold steps; u0.32 decays and scales; gain s16.15.

    For delta, decay 0, scale 2**32 (1) and gain 1/ts make `arithmetic.step` its step; the core itself has neither decay
    nor scale (`reported`).
    """

    resistance: Array
    decay: Array
    hold: Array
    decay_e: Array
    decay_i: Array
    scale_e: Array
    scale_i: Array
    gain: Array

    def reported(self, exponential: bool) -> dict[str, Array]:
        """The constants under the names of the reference vectors."""
        zero = np.zeros(len(self.hold), np.uint32)
        kept = {
            "decay_exc": self.decay_e,
            "decay_inh": self.decay_i,
            "init_exc": self.scale_e,
            "init_inh": self.scale_i,
        }
        return {
            "R": self.resistance.astype(np.int32),
            "exp_tc": self.decay.astype(np.int32),
            "t_refract": self.hold.astype(np.int32),
            **{k: x.astype(np.uint32) if exponential else zero for k, x in kept.items()},
        }


def derive(raw: Mapping[str, Array], exponential: bool) -> Derived:
    """The constants of a core from its raw parameters (s16.15 columns by name)."""

    def each(function: Any, *names: str) -> Array:
        rows, where = np.unique(np.stack([raw[k] for k in names], 1), axis=0, return_inverse=True)
        values = np.array([function(*(int(x) for x in row)) for row in rows], np.int64)
        return np.asarray(values[where.reshape(-1)])

    n = len(raw["tau_m"])
    columns = (
        each(divide, "tau_m", "c_m"),
        each(lambda ts, tau: expk(-divide(ts, tau)), "ts", "tau_m"),
        each(refractory_steps, "tau_refrac", "ts"),
    )
    if not exponential:
        none, one = np.zeros(n, np.int64), np.full(n, _WORD, np.int64)
        return Derived(*columns, none, none, one, one, each(lambda ts: divide(spec.ONE, ts), "ts"))
    return Derived(
        *columns,
        each(synapse_decay, "ts", "tau_syn_e"),
        each(synapse_decay, "ts", "tau_syn_i"),
        each(synapse_scale, "ts", "tau_syn_e"),
        each(synapse_scale, "ts", "tau_syn_i"),
        np.full(n, spec.ONE, np.int64),
    )
