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
_CLOSE = 1e-6


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
        if inside and np.all(np.abs(v - k * unit) <= _CLOSE * unit):
            return Row(unit, k.astype(np.int64), True)
    return None


def nearest(values: Array, bits: int, use: Array) -> Row:
    """The nearest row of `bits` (2: trinary, 4) in sum(use * error**2); use: how often each source fires."""
    v, use = np.asarray(values, np.float64), np.maximum(np.asarray(use, np.float64), 1e-9)
    return _trinary(v, use) if bits == TRINARY else _four_bit(v, use)


def _trinary(v: Array, use: Array) -> Row:
    """Keep the largest magnitudes, all at their mean: the number that keeps most of the sum of squares."""
    size = np.abs(v)
    order = np.argsort(-size, kind="stable")
    weight, first = np.cumsum(use[order]), np.cumsum((use * size)[order])
    kept = int(np.argmax(first**2 / weight)) + 1
    unit = float(first[kept - 1] / weight[kept - 1])
    k = np.zeros(v.shape, np.int64)
    k[order[:kept]] = np.sign(v[order[:kept]]).astype(np.int64)
    return Row(unit if unit > 0 else 1.0, k, False)


def _four_bit(v: Array, use: Array) -> Row:
    top = float(np.abs(v).max())
    best: tuple[float, Row] | None = None
    for clip in CLIPS:
        unit = top * clip / K_MAX
        raw = np.rint(v / unit)
        k = np.clip(raw, K_MIN, K_MAX)
        error = float((use * (k * unit - v) ** 2).sum())
        if best is None or error < best[0] * (1 - 1e-9):
            best = (error, Row(unit, k.astype(np.int64), False, int((raw != k).sum())))
    assert best is not None
    return best[1]


@dataclass(frozen=True)
class Scaled:
    """Registers of one neuron: weights are `factor` * k; `threshold` and `bias` in the same unit.

    `error`: of threshold and bias, relative to the threshold; 0 if both are exact.
    """

    factor: int
    threshold: int
    bias: int
    error: float


def scale(unit: float, threshold: float, bias: float, *, subtract: bool, top: int, limit: int, leak: int) -> Scaled:
    """The factor 1..top at which threshold and bias are nearest to whole numbers, the smallest of equals.

    With reset to zero and no bias V is a whole number of units, so the next whole threshold is exact.

    Args:
        top: largest factor that the weights allow. limit: largest threshold. leak: largest |bias|.
    """
    best: Scaled | None = None
    for factor in range(1, top + 1):
        t, b = threshold / unit * factor, bias / unit * factor
        if round(t) > limit or abs(round(b)) > leak:
            break
        if subtract or bias:
            level = max(round(t), 1)
            if not subtract and abs(level - t) > _CLOSE * max(t, 1):
                level = int(np.ceil(t))  # V moves in whole steps; below the next one it cannot fire
            error = (abs(level - t) * (1.0 if subtract else 0.5) + abs(round(b) - b)) / t
        else:
            level, error = max(int(np.ceil(t - _CLOSE * max(t, 1))), 1), 0.0
        error = 0.0 if error <= _CLOSE else error
        if best is None or error < best.error * (1 - 1e-9):
            best = Scaled(factor, level, round(b), error)
        if best.error == 0:
            break
    if best is None:  # even the smallest factor is too large: clip, the caller reports it
        t, b = threshold / unit, bias / unit
        return Scaled(1, int(min(max(round(t), 1), limit)), int(np.clip(round(b), -leak, leak)), float("inf"))
    return best
