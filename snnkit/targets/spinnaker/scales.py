"""Scales at which weights become words without rounding, thresholds that keep ties, and where a membrane rests.

A membrane moves by v' = v + ceil((1 - a) * (I*R + v_rest - v)), all raw s16.15 (R is a power of two, so that I*R is
whole): every step rounds up.

- Words that are exact: v is never too low for the rounding, so a sum that equals the threshold fires. What is left is
  an exponential synapse (its floors) and a decay that no time constant gives; `tie_margin` lowers the threshold by at
  most 2**-12 for them.
- Words that are not: v_rest = -1/(2 (1 - a)) makes the step round to nearest.
- Pure integrate and fire: the largest a is 1 - 2**-14 (the core's exponential of -2**-15 is 32766/32768, that of 0 is 1
  but then no input arrives), and with R = 2**14 the step is v' = v + I + ceil((v_rest - v) / 2**14): exactly v + I as
  long as v_rest <= v < v_rest + 2**14. Whole multiples of a unit (trinary weights) fit that window: one unit is
  one raw step, the threshold is its upper end, and v falls by up to 2**14 - threshold units without any leak. Below, v
  rises by one unit a step (two from 2**14 below, ...).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.targets.spinnaker import spec

Array = np.ndarray[Any, Any]

WINDOW = 1 << 14
"""Raw steps between which a pure integrator does not leak: 1 / (1 - a) for the largest a."""
SAME = 2.0**-20
"""Multiples of a unit and ties are recognised to this share: the model itself computes in float32."""
TIE_SHARE = 2.0**-12
"""A threshold is lowered by at most this share of it."""
SCREEN = 6
"""Weights of a neuron that are looked at first."""
PARTS = 16
"""A unit is the smallest weight divided by up to this number, or a power of two."""


def units(matrices: Sequence[sp.csr_matrix], bias: Array) -> Array:
    """For each neuron a unit of which all its weights and its bias are whole multiples, up to 65535; NaN if none is.

    Args:
        matrices: real weights [n, sources]. bias: float64 [n].
    """
    n = len(bias)
    joined = sp.csr_matrix(sp.hstack([*matrices, sp.csr_matrix(bias[:, None])]))
    joined.eliminate_zeros()
    row = np.repeat(np.arange(n), np.diff(joined.indptr))
    size = np.abs(joined.data).astype(np.float64)
    largest, smallest = np.zeros(n), np.full(n, np.inf)
    np.maximum.at(largest, row, size)
    np.minimum.at(smallest, row, size)
    found = np.full(n, np.nan)
    found[largest == 0] = 1.0
    first = np.arange(len(row)) - joined.indptr[row] < SCREEN
    for unit in (*(smallest / k for k in range(1, PARTS + 1)), _dyadic(row, size, n)):  # coarse ones first
        good = np.isnan(found) & np.isfinite(unit) & (unit > 0) & (largest <= (spec.WEIGHT_MAX + 0.5) * unit)
        for some in (first, slice(None)):  # a few weights of every neuron rule most units out
            if good.any():
                mine = row[some]
                times = size[some] / np.where(good, unit, 1.0)[mine]
                wrong = np.abs(times - np.rint(times)) > SAME * times
                good = good & (np.bincount(mine[wrong], minlength=n) == 0)
        found = np.where(good, unit, found)
    return found


def _dyadic(row: Array, size: Array, n: int) -> Array:
    """The largest power of two that divides all values of a row."""
    mantissa, exponent = np.frexp(size)
    bits = (mantissa * 2.0**53).astype(np.int64)
    lowest = np.log2((bits & -bits).astype(np.float64)) + exponent - 53
    found = np.full(n, np.inf)
    np.minimum.at(found, row, lowest)
    return np.asarray(np.exp2(np.where(np.isfinite(found), found, 0.0)))


def tie_margin(level: Array, decay_error: Array, floors: Array) -> Array:
    """By how much exact words may make v too low for a tie, raw, and at most `TIE_SHARE` of the level.

    Args:
        level: threshold in units of v. decay_error: |a - decay| / (1 - decay). floors: raw steps lost to rounding.
    """
    return np.asarray(np.minimum(decay_error * level + floors, TIE_SHARE * level))


def rest_to_nearest(a: Array) -> Array:
    """v_rest with which a membrane of decay a (s16.15) rounds to nearest: -1/(2 (1 - a))."""
    return np.asarray(-(spec.ONE // (2 * np.maximum(spec.ONE - a, 1))))
