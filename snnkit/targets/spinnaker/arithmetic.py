"""The fixed-point step of a SpiNNaker neuron, in the dialect that `snnkit._dialect` instantiates for every back end.

Plain functions of + - * & ^ >> <<, comparisons and `where(c, a, b)`: no branches, divisions or imports. All values are
int64. s16.15 values are int32, decays u0.32 are 0..2**32 (2**32 stands for 1), so no product leaves 64 bits.

IF_curr_exp and IF_curr_delta are the same step with other constants (`setup.derive`): delta has gain 1 at the transfer,
decay 0, and its input is multiplied by 1/ts; exp has gain 1 there. Sources: sPyNNaker 7.4.1
neural_modelling/src/neuron (neuron.c, decay.h, models/neuron_model_lif_impl.h), see `spec.UPDATE_ORDER`.
"""

# The bodies see only `where` and the functions above them. They carry no annotations because the type is the caller's.
from __future__ import annotations

from typing import Any

DIALECT = ("wrap32", "mul", "dec", "add_saturated", "transfer", "current", "membrane", "fire", "step")
"""The functions of this module in order of definition."""


def where(c: Any, a: Any, b: Any) -> Any:
    """The scalar form of the dialect's only choice; back ends put their own in its place."""
    return a if c else b


def wrap32(x: Any) -> Any:
    """Two's complement of 32 bits."""
    return ((x + 2147483648) & 4294967295) - 2147483648


def mul(a: Any, b: Any) -> Any:
    """Product of two s16.15: floored and wrapped."""
    return wrap32((a * b) >> 15)


def dec(x: Any, u: Any) -> Any:
    """s16.15 times u0.32, floored: a negative x decays to -1, never to 0."""
    return wrap32((x * u) >> 32)


def add_saturated(slot: Any, weight: Any) -> Any:
    """(slot, 1 if it saturated): a slot of the ring buffer has 16 bits."""
    total = slot + weight
    over = total > 65535
    return where(over, total * 0 + 65535, total), over


def transfer(s: Any, slot: Any, shift: Any, scale: Any) -> Any:
    """The synaptic state with a slot of the ring buffer added: S + (slot << shift) * scale."""
    return wrap32(s + dec(wrap32(slot << shift), scale))


def current(s_e: Any, s_i: Any, gain: Any, offset: Any) -> Any:
    """Input current S_e * gain - S_i * gain + offset."""
    return wrap32(mul(s_e, gain) - mul(s_i, gain) + offset)


def membrane(v: Any, i: Any, resistance: Any, rest: Any, decay: Any) -> Any:
    """alpha = i * R + v_rest; alpha - decay * (alpha - v)."""
    alpha = wrap32(mul(i, resistance) + rest)
    return wrap32(alpha - mul(decay, wrap32(alpha - v)))


def fire(moved: Any, v: Any, r: Any, thresh: Any, reset: Any, hold: Any) -> Any:
    """(v, r, s): v stays while r > 0 and r counts down; the threshold is tested in any case."""
    v = where(r > 0, v, moved)
    r = where(r > 0, r - 1, r)
    s = v >= thresh
    return where(s, reset, v), where(s, hold, r), s


def step(
    v: Any, r: Any, s_e: Any, s_i: Any, gain: Any, offset: Any, resistance: Any, rest: Any, decay: Any, thresh: Any,
    reset: Any, hold: Any, decay_e: Any, decay_i: Any,
) -> Any:  # fmt: skip
    """One step after the transfer: (i, v, r, s, s_e, s_i)."""
    i = current(s_e, s_i, gain, offset)
    v, r, s = fire(membrane(v, i, resistance, rest, decay), v, r, thresh, reset, hold)
    return i, v, r, s, dec(s_e, decay_e), dec(s_i, decay_i)
