"""Time constants and delays that differ between the neurons of a layer, so that it sees several moments at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snnkit.errors import ParameterError


def check_spread(name: str, taus: tuple[float, float] | None, delays: int | None) -> None:
    """Raises ParameterError, naming the model, for time constants or delays that cannot be."""
    if taus is not None and min(taus) <= 0.0:
        raise ParameterError(f"{name}(taus={list(taus)})", fix="give two time constants above 0, in steps")
    if delays is not None and delays < 0:
        raise ParameterError(f"{name}(delays={delays})", fix="give a number of steps, or null")


def spread_decays(taus: tuple[float, float], n: int) -> Tensor:
    """Decays [n], exp(−1/τ) with τ from the first to the last, evenly on a logarithmic scale."""
    return torch.exp(-1.0 / torch.logspace(math.log10(taus[0]), math.log10(taus[1]), n))


def scattered_delays(longest: int, n: int) -> list[int]:
    """Delays [n], each of 0 … longest about equally often.

    The step is prime to most sizes: neighbours, whose time constants are alike, get delays far apart.
    """
    return [37 * i % (longest + 1) for i in range(n)]
