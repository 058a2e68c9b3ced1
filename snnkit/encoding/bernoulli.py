"""Bernoulli rate code: at every step a coin is thrown, and a larger value makes a spike more likely.

P(s_t = 1) = max_rate · v, independently at every step, so the mean of T steps is max_rate · v with the standard error
√(p(1 − p)/T), p = max_rate · v. This is a Poisson process in steps so short that two spikes never share one.

Source: Dayan & Abbott 2001, Theoretical Neuroscience, section 1.4, ISBN 0-262-04199-5.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.encoding.base import Encoder, checked, number, source, straight_through, uniform, whole


def encode_bernoulli(
    values: Tensor,
    T: int,
    max_rate: float = 1.0,
    *,
    generator: torch.Generator | None = None,
    seed: int | None = None,
) -> Tensor:
    """Spikes with P(s_t = 1) = max_rate · v at each step.

    Args:
        values: [B, features…], 0 … 1.
        T: steps.
        max_rate: spikes per step of the value 1, above 0 up to 1.
        generator, seed: where the draws come from (one of them); None: torch's own generator. The same seed gives the
            same bits on the same kind of device, and leaves torch's own generator alone.

    Returns:
        [T, B, features…] of 0 and 1. Gradient: that of the mean, ∂s_t/∂v = max_rate (straight-through).

    Raises:
        ParameterError: a value or setting outside its range.
    """
    v = checked(values, 0.0, 1.0, "the Bernoulli code")
    mean = number("max_rate", max_rate, 0.0, 1.0) * v
    draws = uniform(mean.detach(), whole("T", T, 1), source(values, generator, seed))
    return straight_through((draws < mean.detach()).to(values.dtype), mean)


class Bernoulli(Encoder):
    """`encode_bernoulli` as a module: P(s_t = 1) = max_rate · v; [B, features…] → [T, B, features…].

    Args:
        T: steps.
        max_rate: spikes per step of the value 1, above 0 up to 1.
        seed: every call draws the same numbers; None: torch's own generator, or the one given with the call.

    Raises:
        ParameterError: a setting outside its range.

    Source: Dayan & Abbott 2001, Theoretical Neuroscience, section 1.4, ISBN 0-262-04199-5.
    """

    random = True

    def __init__(self, T: int, max_rate: float = 1.0, seed: int | None = None) -> None:
        super().__init__(T)
        self.max_rate, self.seed = number("max_rate", max_rate, 0.0, 1.0), seed

    def encode(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        seed = self.seed if generator is None else None
        return encode_bernoulli(values, self.T, self.max_rate, generator=generator, seed=seed)
