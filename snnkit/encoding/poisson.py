"""Poisson rate code: spikes come at random times, on average rate · v of them per step.

The number of spikes of a step is N ~ Poisson(λ), λ = rate · v, independently at every step. With `counts` the output is
N; without, it is s = [N ≥ 1], which is 1 with probability 1 − e^−λ: spikes that share a step are sent once.

Source: the input of Diehl & Cook 2015, doi:10.3389/fncom.2015.00099.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.encoding.base import Encoder, checked, number, source, straight_through, uniform, whole


def encode_poisson(
    values: Tensor,
    T: int,
    rate: float = 1.0,
    counts: bool = False,
    *,
    generator: torch.Generator | None = None,
    seed: int | None = None,
) -> Tensor:
    """Spikes of a Poisson process with λ = rate · v per step.

    Args:
        values: [B, features…], 0 … 1.
        T: steps.
        rate: mean spikes per step of the value 1, above 0.
        counts: give the number of spikes of each step instead of whether there was one.
        generator, seed: where the draws come from (one of them); None: torch's own generator. The same seed gives the
            same bits on the same kind of device, and leaves torch's own generator alone.

    Returns:
        [T, B, features…] of 0 and 1, or of counts. Gradient: that of the mean (straight-through), rate with counts,
        rate · e^−λ without.

    Raises:
        ParameterError: a value or setting outside its range.
    """
    v = checked(values, 0.0, 1.0, "the Poisson code")
    mean = number("rate", rate, 0.0) * v
    T, draw_from = whole("T", T, 1), source(values, generator, seed)
    if counts:
        spikes = torch.poisson(mean.detach().expand(T, *mean.shape).contiguous(), draw_from)
    else:
        mean = -torch.expm1(-mean)
        spikes = uniform(mean.detach(), T, draw_from) < mean.detach()
    return straight_through(spikes.to(values.dtype), mean)


class Poisson(Encoder):
    """`encode_poisson` as a module: s = [N ≥ 1] or N, N ~ Poisson(rate · v); [B, features…] → [T, B, features…].

    Args:
        T: steps.
        rate: mean spikes per step of the value 1, above 0.
        counts: give the number of spikes of each step instead of whether there was one.
        seed: every call draws the same numbers; None: torch's own generator, or the one given with the call.

    Raises:
        ParameterError: a setting outside its range.

    Source: the input of Diehl & Cook 2015, doi:10.3389/fncom.2015.00099.
    """

    random = True

    def __init__(self, T: int, rate: float = 1.0, counts: bool = False, seed: int | None = None) -> None:
        super().__init__(T)
        self.rate, self.counts, self.seed = number("rate", rate, 0.0), bool(counts), seed
        self.binary = not self.counts

    def encode(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        seed = self.seed if generator is None else None
        return encode_poisson(values, self.T, self.rate, self.counts, generator=generator, seed=seed)
