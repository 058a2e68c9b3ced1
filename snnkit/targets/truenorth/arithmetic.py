"""The integer update of a TrueNorth neuron, in the dialect that `snnkit._dialect` instantiates for every back end.

Plain functions of + - * & ^ >> <<, comparisons and `where(c, a, b)`: no branches, divisions or imports. The same
source runs on Python integers, numpy int64 arrays, compiled scalars and torch int64 tensors. Potentials are int64 and
never wrap; the chip's have 20 bits, and who runs these functions counts what `beyond` says.

Source: Cassidy et al. 2013 (`spec.SOURCES`); order and readings: `spec.UPDATE_ORDER`, `spec.OPTIONS`.
"""

# The bodies see only `where` and the functions above them. They carry no annotations because the type is the caller's:
# int, numpy array or tensor.
from __future__ import annotations

from typing import Any

DIALECT = ("sign", "magnitude", "drawn", "leak", "mask", "fire", "beyond", "step", "mix", "draw")
"""The functions of this module in order of definition."""


def where(c: Any, a: Any, b: Any) -> Any:
    """The scalar form of the dialect's only choice; back ends put their own in its place."""
    return a if c else b


def sign(x: Any) -> Any:
    """-1, 0 or 1."""
    return where(x > 0, x * 0 + 1, where(x < 0, x * 0 - 1, x * 0))


def magnitude(x: Any) -> Any:
    """|x|."""
    return where(x < 0, -x, x)


def drawn(x: Any, stochastic: Any, rho: Any) -> Any:
    """What a weight or leak x adds: x, or if stochastic sgn(x) where |x| >= rho, else 0. rho: 8 bits."""
    return where(stochastic > 0, where(magnitude(x) >= rho, sign(x), x * 0), x)


def leak(v: Any, amount: Any, reversal: Any, stop: Any) -> Any:
    """V after the leak; v is the integrated V. `reversal` (epsilon): the leak takes the sign of V.

    `stop`: a reversed leak that would carry V over zero ends there (`spec.OPTIONS` T2).
    """
    after = v + where(reversal > 0, sign(v), v * 0 + 1) * amount
    crossed = (sign(v) * sign(after) < 0) & (reversal > 0) & (stop > 0)
    return where(crossed, v * 0, after)


def mask(rho: Any, bits: Any) -> Any:
    """eta = rho AND (2**bits - 1): the random part of the thresholds. rho: 17 bits, bits 0..17."""
    return rho & ((1 << bits) - 1)


def fire(v: Any, alpha: Any, eta: Any, beta: Any, saturate: Any, mode: Any, reset: Any) -> Any:
    """(V, s) after the comparison: s = [V >= alpha + eta]; below -beta - eta (-beta if `saturate`) V is set back.

    mode (gamma) 0: to `reset`, at the negative side to -reset. 1: subtract. 2: keep.
    """
    top = alpha + eta
    low = where(saturate > 0, beta, beta + eta)
    s = v >= top
    up = where(mode > 0, where(mode > 1, v, v - top), reset)
    down = where(saturate > 0, -beta, where(mode > 0, where(mode > 1, v, v + low), -reset))
    return where(s, up, where(v < -low, down, v)), s


def beyond(v: Any) -> Any:
    """True where V does not fit the chip's 20 bits."""
    return (v > 524287) | (v < -524288)


def step(
    v: Any, x: Any, lam: Any, reversal: Any, leak_stochastic: Any, alpha: Any, bits: Any, beta: Any, saturate: Any,
    mode: Any, reset: Any, rho_leak: Any, rho_threshold: Any, stop: Any,
) -> Any:  # fmt: skip
    """One tick of a neuron: (V, s, V before the comparison). x: what its active axons add."""
    before = leak(v + x, drawn(lam, leak_stochastic, rho_leak), reversal, stop)
    after, s = fire(before, alpha, mask(rho_threshold, bits), beta, saturate, mode, reset)
    return after, s, before


def mix(x: Any) -> Any:
    """A permutation of 0..2**31 - 1: two rounds of xor-shift and odd multiplication, within 63 bits throughout."""
    x = x & 2147483647
    x = ((x ^ (x >> 16)) * 73244475) & 2147483647
    x = ((x ^ (x >> 15)) * 569420461) & 2147483647
    return x ^ (x >> 16)


def draw(seed: Any, tick: Any, core: Any, axon: Any, neuron: Any) -> Any:
    """17 random bits of our own generator, from the numbers of tick, core, axon and neuron: no state, no order.

    Axon 256 stands for the leak, 257 for the threshold. Leaks and synapses take the low 8 bits. The chip's own
    generator is not public.
    """
    return mix(mix(mix(mix(seed) + tick) + core) + axon * 256 + neuron) >> 14
