"""The integer update of a Loihi compartment, in the dialect that `snnkit._dialect` instantiates for every back end.

Plain functions of + - * & ^ >> <<, comparisons and `where(c, a, b)`: no branches, divisions or imports. The same
source runs on Python integers, numpy int64 arrays, compiled scalars and torch int64 tensors. All values are at most
64 bits wide; |x| < 2**50 wherever `dec` is used.

Rule and readings of disputed points: `spec.UPDATE_ORDER`, `spec.OPTIONS`. Sources: nengo-loihi 1.1.0
emulator/interface.py, lava-nc 0.10.0 lif/models.py, brian2-loihi 0.5.2 loihi_neuron_group.py.
"""

# The bodies see only `where` and the functions above them. They carry no annotations because the type is the caller's:
# int, numpy array or tensor.
from __future__ import annotations

from typing import Any

DIALECT = ("wrap22", "wrap24", "dec", "clip", "current", "drive", "voltage", "fire", "step", "effective_weight")
"""The functions of this module in order of definition."""


def where(c: Any, a: Any, b: Any) -> Any:
    """The scalar form of the dialect's only choice; back ends put their own in its place."""
    return a if c else b


def wrap22(x: Any) -> Any:
    """Two's complement of 22 bits: the accumulator of synaptic input."""
    return ((x + 2097152) & 4194303) - 2097152


def wrap24(x: Any) -> Any:
    """Two's complement of 24 bits: u, and u + bias."""
    return ((x + 8388608) & 16777215) - 8388608


def dec(x: Any, d: Any) -> Any:
    """sign(x) * floor(|x| * (4096 - d) / 4096): the loss is rounded away from zero.

    A shift rounds down; adding 4095 to negative products first makes it round toward zero.
    """
    return (x * (4096 - d) + ((x >> 63) & 4095)) >> 12


def clip(x: Any, low: Any, high: Any) -> Any:
    """min(max(x, low), high)."""
    return where(x < low, low, where(x > high, high, x))


def current(u: Any, q: Any, du: Any) -> Any:
    """u before its wrap, from wrapped input q; `du` is the effective decay 0..4096, offset included."""
    return dec(u, du) + q


def drive(u: Any, bias: Any, noise: Any) -> Any:
    """u + bias + membrane noise before the wrap."""
    return u + bias + noise


def voltage(v: Any, g: Any, dv: Any) -> Any:
    """v before the clip, from the wrapped drive g."""
    return dec(v, dv) + g


def fire(v: Any, r: Any, level: Any, refract: Any) -> Any:
    """(v, r, s) from clipped v: hold at 0 while r > 0, fire strictly above `level`, reset to 0, count down."""
    v = where(r > 0, v * 0, v)
    s = v > level
    r = where(s, refract, r)
    return where(s, v * 0, v), where(r > 0, r - 1, r), s


def step(
    u: Any,
    v: Any,
    r: Any,
    q: Any,
    noise_u: Any,
    noise_v: Any,
    du: Any,
    dv: Any,
    level: Any,
    bias: Any,
    vmin: Any,
    vmax: Any,
    refract: Any,
) -> Any:
    """One step of a compartment: (u, v, r, s).

    u, v, r: current, voltage, refractory counter. q: sum of the weights that arrive in this step, unwrapped.
    noise_u, noise_v: injected draws. du 0..4096: effective decay of u. dv 0..4095. level = 64 * vth mantissa.
    bias = mantissa * 2**exponent. refract 1..63.
    """
    u = wrap24(current(u, wrap22(q + noise_u), du))
    v = clip(voltage(v, wrap24(drive(u, bias, noise_v)), dv), vmin, vmax)
    v, r, s = fire(v, r, level, refract)
    return u, v, r, s


def effective_weight(mantissa: Any, exponent: Any) -> Any:
    """Weight in units of u: floor(mantissa * 2**exponent) * 2**6, clipped to +-(2**21 - 2**6).

    The floor is taken per weight; `exponent` is -8..7.
    """
    up = where(exponent > 0, exponent, exponent * 0)
    return clip(((mantissa << up) >> (up - exponent)) << 6, -2097088, 2097088)
