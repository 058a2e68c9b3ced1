"""Latency code, time to first spike: each value sends one spike, and the larger it is the earlier.

The spike comes at step t = ⌊(1 − v)·(T − 1) + ½⌋: the value 1 at once, 0 at the last step. Values below `silence` send
none. `decode_first_spike` gives 1 − t/(T − 1), which lies within ½/(T − 1) of v.

Source: Thorpe, Delorme, Van Rullen 2001, doi:10.1016/S0893-6080(01)00083-1; such latencies in the retina: Gollisch &
Meister 2008, doi:10.1126/science.1149639.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.encoding.base import Encoder, checked, steps_like, whole
from snnkit.errors import ParameterError


def encode_latency(values: Tensor, T: int, silence: float = 0.0) -> Tensor:
    """One spike per value at step t = ⌊(1 − v)·(T − 1) + ½⌋; none where v < silence.

    Args:
        values: [B, features…], 0 … 1.
        T: steps, at least 2.
        silence: values below it send no spike, 0 … 1; 0: every value sends one.

    Returns:
        [T, B, features…] of 0 and 1. No gradient.

    Raises:
        ParameterError: a value or setting outside its range.
    """
    v = checked(values, 0.0, 1.0, "the latency code").detach()
    T, silence = whole("T", T, 2), checked_silence(silence)
    step = torch.floor((1 - v) * (T - 1) + 0.5)
    # A compiled or distant NaN is neither below silence nor equal to a step.
    return ((steps_like(v, T) == step) & (v >= silence)).to(values.dtype)


def checked_silence(silence: float) -> float:
    """The level below which values are silent.

    Raises:
        ParameterError: outside 0 … 1.
    """
    if isinstance(silence, bool) or not isinstance(silence, int | float) or not 0.0 <= silence <= 1.0:
        raise ParameterError(f"silence is {silence!r}", fix="give a level from 0 to 1")
    return float(silence)


class Latency(Encoder):
    """`encode_latency` as a module, one spike at t = ⌊(1 − v)·(T − 1) + ½⌋: [B, f…] → [T, B, f…].

    Args:
        T: steps, at least 2.
        silence: values below it send no spike, 0 … 1; 0: every value sends one.

    Raises:
        ParameterError: a setting outside its range.

    Source: Thorpe, Delorme, Van Rullen 2001, doi:10.1016/S0893-6080(01)00083-1.
    """

    def __init__(self, T: int, silence: float = 0.0) -> None:
        super().__init__(whole("T", T, 2))
        self.silence = checked_silence(silence)

    def encode(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        return encode_latency(values, self.T, self.silence)
