"""The toy neuron's integer update, in the dialect that `snnkit._dialect` instantiates for every back end.

Plain functions of + - * & | ^ >> <<, comparisons and `where(c, a, b)`: no branches, divisions or imports, constants
written out (a test compares them with `spec.py`). The same source runs on Python integers, numpy int64 arrays, compiled
scalars and torch int64 tensors. All values stay below 2**32.
"""

from __future__ import annotations

from typing import Any

DIALECT = ("clip", "leak", "integrate", "fire", "step")
"""The functions of this module in order of definition."""


def where(c: Any, a: Any, b: Any) -> Any:
    """The scalar form of the dialect's only choice; back ends put their own in its place."""
    return a if c else b


def clip(x: Any) -> Any:
    """A potential has 24 bits and saturates."""
    return where(x < -8388608, x * 0 - 8388608, where(x > 8388607, x * 0 + 8388607, x))


def leak(v: Any, k: Any) -> Any:
    """What v loses: v >> k, nothing for k = 15."""
    return where(k == 15, v * 0, v >> k)


def integrate(v: Any, q: Any, k: Any) -> Any:
    """v before it saturates."""
    return v - leak(v, k) + q


def fire(v: Any, threshold: Any, subtract: Any) -> Any:
    """(v, s): fires at the threshold or above."""
    s = v >= threshold
    return where(s, where(subtract > 0, v - threshold, v * 0), v), s


def step(v: Any, q: Any, k: Any, threshold: Any, subtract: Any) -> Any:
    """One step: (v, s). q: sum of the weights that arrive; k 0..15; threshold 1..65535; subtract 0 or 1."""
    return fire(clip(integrate(v, q, k)), threshold, subtract)
