"""Phase code, weighted spikes: the binary digits of a value, the most significant first, over and over.

With q = min(⌊v·2^K⌋, 2^K − 1) of K bits, step t sends bit K − 1 − (t mod K) of q: in phase k of each period a spike
weighs 2^−(k + 1). `decode_weighted` with `phase_weights` gives q/2^K; v − q/2^K is in [0, 2^−K), for v = 1 it is 2^−K.

Source: Kim, Kim, Huh, Lee, Choi 2018, doi:10.1016/j.neucom.2018.05.087.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.encoding.base import Encoder, checked, steps_like, whole
from snnkit.errors import ParameterError

MOST_BITS = 24
"""More digits than float32 has."""


def _periods(T: int, bits: int) -> int:
    T, bits = whole("T", T, 1), whole("bits", bits, 1, MOST_BITS)
    if T % bits:
        raise ParameterError(f"T is {T}, which is no multiple of the {bits} bits", fix=f"give T={bits} or a multiple")
    return T // bits


def encode_phase(values: Tensor, T: int, bits: int = 8) -> Tensor:
    """Step t sends bit bits − 1 − (t mod bits) of q = min(⌊v·2^bits⌋, 2^bits − 1).

    Args:
        values: [B, features…], 0 … 1.
        T: steps, a multiple of `bits`.
        bits: binary digits, 1 … 24.

    Returns:
        [T, B, features…] of 0 and 1. No gradient.

    Raises:
        ParameterError: a value or setting outside its range.
    """
    _periods(T, bits)
    v = checked(values, 0.0, 1.0, "the phase code").detach()
    q = (v * 2**bits).floor().clamp(max=2**bits - 1).to(torch.int32)
    place = bits - 1 - steps_like(v, T) % bits
    return ((q >> place.to(torch.int32)) & 1).to(values.dtype)


def phase_weights(T: int, bits: int = 8, device: torch.device | str | None = None) -> Tensor:
    """What a spike weighs at each step: w_t = 2^−(1 + t mod bits) / (T/bits), float32 [T]; for `decode_weighted`.

    Args:
        T, bits: as in `encode_phase`.
        device: where the tensor lies.

    Raises:
        ParameterError: a setting outside its range.

    Source: Kim, Kim, Huh, Lee, Choi 2018, doi:10.1016/j.neucom.2018.05.087.
    """
    periods = _periods(T, bits)
    phase = torch.arange(T, device=device) % bits
    return torch.exp2(-(phase + 1).to(torch.float32)) / periods


class Phase(Encoder):
    """`encode_phase` as a module, the bits of q = min(⌊v·2^bits⌋, 2^bits − 1): [B, f…] → [T, B, f…].

    Args:
        T: steps, a multiple of `bits`.
        bits: binary digits, 1 … 24.

    Raises:
        ParameterError: a setting outside its range.

    Source: Kim, Kim, Huh, Lee, Choi 2018, doi:10.1016/j.neucom.2018.05.087.
    """

    def __init__(self, T: int, bits: int = 8) -> None:
        super().__init__(T)
        _periods(T, bits)
        self.bits = bits

    def encode(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        return encode_phase(values, self.T, self.bits)
