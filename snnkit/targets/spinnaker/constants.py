"""Time constants whose exponentials, as a core computes them, come nearest to given decays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from snnkit.targets.spinnaker import setup, spec

Array = np.ndarray[Any, Any]

ZERO_TAU = 3000
"""s16.15 with exp(-1/tau) = 0 in both formats."""
WORTH = 2.0**-15
"""A decay may be off by so much more for a resistance that is a power of two."""
TAU_LONGEST = 2**30
"""s16.15: 32768 steps, the longest whose ts/tau is not 0."""


@dataclass(frozen=True, eq=False)
class Membrane:
    """tau, c raw s16.15; a s16.15; r the resistance as a number; gain (1 - a) * r, all [n].

    r is the power of two next to 1/(1 - a): its product with a current is whole."""

    tau: Array
    c: Array
    a: Array
    r: Array
    gain: Array


@dataclass(frozen=True, eq=False)
class Synapse:
    """tau raw s16.15; decay u0.32; gain: the scale of its input as a number, all [n]."""

    tau: Array
    decay: Array
    gain: Array


def membrane(decay: Array) -> Membrane:
    """Constants of membranes with these decays (0 to 1)."""
    return Membrane(*_each(_membrane, decay))


def synapse(decay: Array) -> Synapse:
    """Constants of exponential synapses with these decays (0 to 1)."""
    return Synapse(*_each(_synapse, decay))


def _each(function: Any, decay: Array) -> list[Array]:
    values, where = np.unique(np.asarray(decay, np.float64), return_inverse=True)
    table = [function(float(v)) for v in values]
    return [np.array(column)[where.reshape(-1)] for column in zip(*table)]


@cache
def _membrane(decay: float) -> tuple[int, int, int, float, float]:
    def made(tau: int) -> int:
        return setup.expk(-setup.divide(spec.ONE, tau))

    near = made(_nearest(decay, lambda t: made(t) / spec.ONE, below=spec.ONE))
    resistance = 1 << max(round(math.log2(spec.ONE / (spec.ONE - near))), 0)
    tau = _nearest(decay, lambda t: made(t) / spec.ONE, below=spec.ONE, multiple=resistance)
    a, c = made(tau), tau // resistance
    r = setup.divide(tau, c) / spec.ONE
    return tau, c, a, r, (spec.ONE - a) / spec.ONE * r


@cache
def _synapse(decay: float) -> tuple[int, int, float]:
    tau = _nearest(decay, lambda t: setup.synapse_decay(spec.ONE, t) / 2.0**32, below=1.0)
    return tau, setup.synapse_decay(spec.ONE, tau), setup.synapse_scale(spec.ONE, tau) / 2.0**32


def _nearest(decay: float, made: Any, below: float, multiple: int = 1) -> int:
    """The raw tau whose exponential is nearest to `decay` among those around -1/ln(decay), and below 1.

    Multiples of `multiple` may be off by `WORTH` more.
    """
    if decay <= math.exp(-10.3):
        return ZERO_TAU
    if decay >= 1.0 - 2.0**-16:
        guess = TAU_LONGEST
    else:
        guess = round(-spec.ONE / math.log(decay))
    step = max(guess >> 12, 1)
    candidates = [min(max(guess + k * step, ZERO_TAU), TAU_LONGEST) for k in range(-8, 9)]
    candidates += [min(max(guess + k, ZERO_TAU), TAU_LONGEST) for k in range(-8, 9)]
    candidates += [max(t - t % multiple, ZERO_TAU) for t in candidates]
    usable = [t for t in candidates if made(t) < 1.0]
    return min(usable, key=lambda t: (abs(made(t) - decay) + WORTH * (t % multiple > 0), abs(t - guess)))
