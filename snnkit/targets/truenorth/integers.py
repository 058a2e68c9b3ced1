"""Rows of real weights as small integers times one factor per neuron: what the crossbar can hold.

Exact where the row is already s times integers in -8..7 (or a single magnitude). Else the nearest trinary row or 4-bit
row in the sum of squares, weighted by how often each source fires.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

TRINARY, FOUR_BIT = 2, 4
FAN_IN = {TRINARY: 128, FOUR_BIT: 64}
"""Inputs of a core whose neurons use all values of the code: 256 axons by 2 or 4 per input."""
K_MIN, K_MAX = -8, 7
CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
CLOSE = 1e-6
"""Relative difference below which two numbers are taken for one."""
UNIT_BITS = 12
"""Bits of the mantissa of a unit that is chosen here: float32 adds up to 4096 such units without rounding."""


@dataclass(frozen=True)
class Row:
    """weights = `unit` * `k`, k int64; `exact` if without error beyond float rounding; `clipped` of them were cut."""

    unit: float
    k: Array
    exact: bool
    clipped: int = 0


def exact(values: Array) -> Row | None:
    """The row as a unit times integers of 4 bits (either sign of -8), with the smallest integers."""
    v = np.asarray(values, np.float64)
    top = float(np.abs(v).max(initial=0))
    if top == 0:
        return Row(1.0, np.zeros(v.shape, np.int64), True)
    for most in range(1, -K_MIN + 1):
        unit = top / most
        k = np.rint(v / unit)
        inside = (k.min() >= K_MIN and k.max() <= K_MAX) or (k.min() >= -K_MAX and k.max() <= -K_MIN)
        if inside and np.all(np.abs(v - k * unit) <= CLOSE * unit):
            return Row(unit, k.astype(np.int64), True)
    return None


def nearest(values: Array, bits: int, use: Array) -> Row:
    """The nearest row of `bits` (2: trinary, 4) in sum(use * error**2); use: how often each source fires."""
    v, use = np.asarray(values, np.float64), np.maximum(np.asarray(use, np.float64), 1e-9)
    return _trinary(v, use) if bits == TRINARY else _four_bit(v, use)


def few_bits(unit: float) -> float:
    """A positive number with its mantissa rounded to `UNIT_BITS` bits."""
    mantissa, exponent = np.frexp(unit)
    return float(np.ldexp(np.round(mantissa * 2.0**UNIT_BITS) * 2.0**-UNIT_BITS, exponent))


def _trinary(v: Array, use: Array) -> Row:
    """Keep the largest magnitudes, all at their mean: the number that keeps most of the sum of squares."""
    size = np.abs(v)
    order = np.argsort(-size, kind="stable")
    weight, first = np.cumsum(use[order]), np.cumsum((use * size)[order])
    kept = int(np.argmax(first**2 / weight)) + 1
    unit = float(first[kept - 1] / weight[kept - 1])
    k = np.zeros(v.shape, np.int64)
    k[order[:kept]] = np.sign(v[order[:kept]]).astype(np.int64)
    return Row(few_bits(unit) if unit > 0 else 1.0, k, False)


def _four_bit(v: Array, use: Array) -> Row:
    top = float(np.abs(v).max())
    best: tuple[float, Row] | None = None
    for clip in CLIPS:
        unit = few_bits(top * clip / K_MAX)
        raw = np.rint(v / unit)
        k = np.clip(raw, K_MIN, K_MAX)
        error = float((use * (k * unit - v) ** 2).sum())
        if best is None or error < best[0] * (1 - 1e-9):
            best = (error, Row(unit, k.astype(np.int64), False, int((raw != k).sum())))
    assert best is not None
    row = best[1]
    common = int(np.gcd.reduce(row.k))  # the smallest integers, as `exact` finds them in what this row stands for
    return Row(row.unit * common, row.k // common, False, row.clipped) if common > 1 else row


@dataclass(frozen=True)
class Wanted:
    """What a neuron has beside its weights, in their scale; `floor` infinite for none.

    `leak` turns with the sign of V; `bias` does not.
    """

    threshold: float
    bias: float = 0.0
    leak: float = 0.0
    floor: float = float("inf")


@dataclass(frozen=True)
class Scaled:
    """Registers of one neuron: weights are `factor` * k, the others in the same unit; `floor` -1 for none.

    `error`: of threshold, bias, leak and floor, relative to the threshold; 0 if all are exact.
    """

    factor: int
    threshold: int
    bias: int
    error: float
    leak: int = 0
    floor: int = -1


def scale(unit: float, wanted: Wanted, *, subtract: bool, top: int, limit: int, leak: int) -> Scaled:
    """The factor 1..top at which what is wanted is nearest to whole numbers, the smallest of equals.

    With reset to zero and nothing else V is a whole number of units, so the next whole threshold is exact.

    Args:
        top: largest factor that the weights allow. limit: largest threshold and floor. leak: largest |bias|, |leak|.
    """
    best: Scaled | None = None
    deep = wanted.floor if np.isfinite(wanted.floor) else 0.0
    for factor in range(1, top + 1):
        t, b, o, f = (x / unit * factor for x in (wanted.threshold, wanted.bias, wanted.leak, deep))
        if round(t) > limit or round(f) > limit or max(abs(round(b)), abs(round(o))) > leak:
            break
        floor = round(f) if np.isfinite(wanted.floor) else -1
        if subtract or b or o or f:
            level = max(round(t), 1)
            if not subtract and abs(level - t) > CLOSE * max(t, 1):
                level = int(np.ceil(t))  # V moves in whole steps; below the next one it cannot fire
            away = abs(round(b) - b) + abs(round(o) - o) + abs(round(f) - f)
            error = (abs(level - t) * (1.0 if subtract else 0.5) + away) / t
        else:
            level, error = max(int(np.ceil(t - CLOSE * max(t, 1))), 1), 0.0
        error = 0.0 if error <= CLOSE else error
        if best is None or error < best.error * (1 - 1e-9):
            best = Scaled(factor, level, round(b), error, round(o), floor)
        if best.error == 0:
            break
    if best is None:  # even the smallest factor is too large: clip, the caller reports it
        t, b, o, f = (x / unit for x in (wanted.threshold, wanted.bias, wanted.leak, deep))
        small = [int(np.clip(round(x), -leak, leak)) for x in (b, o)]
        floor = int(min(round(f), limit)) if np.isfinite(wanted.floor) else -1
        return Scaled(1, int(min(max(round(t), 1), limit)), small[0], float("inf"), small[1], floor)
    return best
