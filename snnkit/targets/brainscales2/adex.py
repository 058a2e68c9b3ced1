"""AdEx: the adaptive exponential neuron of the chip, a numeric option beside the closed form of `solver.py`. Compiled.

    C dv/dt = -g (v - leak) + g D e^((v - v_exp)/D) - w + Ie - Ii;  tau_w dw/dt = a (v - leak) - w;  dI/dt = -I/tau_syn
    v >= v_peak: a spike, v = v_reset for t_hold, w += b

with C = 1 and g = 1/tau_mem, so that currents are in codes per us as in `solver.py`. There is no closed form:
Dormand-Prince 5(4) with adaptive steps, local error below RELATIVE * |state| + ABSOLUTE, and the time of a spike by
bisection of the last step to TIME us (1 ps). It runs single neurons under given events; networks run the LIF.
Source: Brette and Gerstner 2005, doi:10.1152/jn.00686.2005; that the chip has it: Billaudelle et al. 2022.
"""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from snnkit import _numba

_numba.configure()

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

RELATIVE, ABSOLUTE, TIME = 1e-9, 1e-9, 1e-6
_SAFETY = 0.9
_TABLEAU = np.array(
    [
        [1 / 5, 0, 0, 0, 0, 0],
        [3 / 40, 9 / 40, 0, 0, 0, 0],
        [44 / 45, -56 / 15, 32 / 9, 0, 0, 0],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0, 0],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    ]
)
_ERROR = np.array([71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])
"""Dormand and Prince 1980, doi:10.1016/0771-050X(80)90013-3."""


@dataclass(frozen=True)
class AdEx:
    """Parameters: times in us, potentials in codes, currents (a per code; b) in codes per us."""

    tau_mem: float
    tau_syn_e: float
    tau_syn_i: float
    v_leak: float
    v_reset: float
    v_exp: float
    delta: float
    v_peak: float
    tau_w: float
    a: float = 0.0
    b: float = 0.0
    t_hold: float = 0.5

    def values(self) -> Any:
        """Float64 [12], in the order of the fields."""
        return np.array([float(x) for x in vars(self).values()])


@njit(**_numba.OPTIONS)
def derivative(y, out, p, held):
    """dy/dt of y = (v, w, Ie, Ii) into out; the membrane rests while it is held."""
    v, w = y[0], y[1]
    rise = p[6] * math.exp(min((v - p[5]) / p[6], 100.0)) if p[6] > 0.0 else 0.0
    out[0] = 0.0 if held else (-(v - p[3]) + rise) / p[0] - w + y[2] - y[3]
    out[1] = (p[9] * (v - p[3]) - w) / p[8]
    out[2], out[3] = -y[2] / p[1], -y[3] / p[2]


@njit(**_numba.OPTIONS)
def _step(y, h, p, held, k, new):
    """One Dormand-Prince step of length h: the fifth-order result in new; returns the largest scaled error."""
    derivative(y, k[0], p, held)
    for stage in range(1, 7):
        for i in range(y.shape[0]):
            total = 0.0
            for j in range(stage):
                total += _TABLEAU[stage - 1, j] * k[j, i]
            new[i] = y[i] + h * total
        derivative(new, k[stage], p, held)
    worst = 0.0
    for i in range(y.shape[0]):
        error = 0.0
        for j in range(7):
            error += _ERROR[j] * k[j, i]
        worst = max(worst, abs(h * error) / (ABSOLUTE + RELATIVE * max(abs(y[i]), abs(new[i]))))
    return worst


@njit(**_numba.OPTIONS)
def _advance(y, t, end, p, held, k, new, spikes, count):
    """Bring y from t to `end`, or to the next spike if the membrane is free; returns the time reached."""
    h = min(0.01, end - t)
    while t < end:
        h = min(h, end - t)
        error = _step(y, h, p, held, k, new)
        if error > 1.0 and h > 1e-9:
            h *= max(0.2, _SAFETY * error**-0.2)
            continue
        if not held and new[0] >= p[7]:
            low, high = 0.0, h
            while high - low > TIME:
                middle = 0.5 * (low + high)
                _step(y, middle, p, held, k, new)
                low, high = (middle, high) if new[0] < p[7] else (low, middle)
            _step(y, high, p, held, k, new)
            for i in range(y.shape[0]):
                y[i] = new[i]
            y[0], y[1] = p[4], y[1] + p[10]
            spikes[count] = t + high
            return t + high
        for i in range(y.shape[0]):
            y[i] = new[i]
        t = end if h >= end - t else t + h
        h *= min(5.0, max(0.2, _SAFETY * max(error, 1e-10) ** -0.2))
    return end


@njit(**_numba.OPTIONS)
def _run(time, excite, inhibit, p, end, spikes):
    y = np.array([p[4], 0.0, 0.0, 0.0])
    k, new = np.zeros((7, 4)), np.zeros(4)
    t, free, count = 0.0, 0.0, 0
    for e in range(len(time) + 1):
        until = min(time[e], end) if e < len(time) else end
        while t < until:
            if t < free:
                t = _advance(y, t, min(free, until), p, True, k, new, spikes, count)
                continue
            before = t
            t = _advance(y, t, until, p, False, k, new, spikes, count)
            if t < until or (count < len(spikes) and spikes[count] > before):
                free = t + p[11]
                count += 1
                if count == len(spikes):
                    return count, y
        if e < len(time):
            y[2] += excite[e]
            y[3] += inhibit[e]
    return count, y


def adex_run(neuron: AdEx, time: Any, excite: Any, inhibit: Any, end: float, most: int = 10000) -> tuple[Any, Any]:
    """Spike times in us of one neuron that starts at reset, and its final state (v, w, Ie, Ii).

    Args:
        neuron: see `AdEx`.
        time: of the events, rising [K]. excite, inhibit: by how much each changes the currents, codes per us [K].
        end: of the run in us.
        most: spikes, at most; the run ends there.
    """
    spikes = np.zeros(most)
    arrays = [np.ascontiguousarray(a, np.float64) for a in (time, excite, inhibit)]
    count, state = _run(*arrays, neuron.values(), float(end), spikes)
    return spikes[:count].copy(), state
