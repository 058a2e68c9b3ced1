"""Burst code: a value empties itself in bursts, and within a burst each spike weighs β times as much as the one before.

A membrane starts at r = v and the weight of the next spike at g = unit. At each step: s = [r ≥ g]; r ← r − g·s;
g ← β·g where s = 1, else unit. `decode_weighted` with `burst_weights` sums the same weights up again, so it gives
v − r, r ≥ 0 being what is left at the end. Given steps enough, r < unit; for unit 1/16 and β 2, T = 10 are enough.

Source: the burst function of Park, Kim, Choe, Yoon 2019, arXiv:1809.03142.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.encoding.base import Encoder, checked, number, whole
from snnkit.errors import ParameterError, ShapeError


def _settings(beta: float, unit: float) -> tuple[float, float]:
    beta = number("beta", beta, 0.0)
    if beta < 1.0:
        raise ParameterError(f"beta is {beta!r}", fix="give 1 (spikes of equal weight) or more")
    return beta, number("unit", unit, 0.0, 1.0)


def encode_burst(values: Tensor, T: int, beta: float = 2.0, unit: float = 1 / 16) -> Tensor:
    """s = [r ≥ g]; r ← r − g·s; g ← β·g after a spike, else unit; from r = v, g = unit.

    Args:
        values: [B, features…], 0 … 1.
        T: steps.
        beta: growth of a spike's weight within a burst, at least 1.
        unit: weight of a burst's first spike, above 0 up to 1: the resolution.

    Returns:
        [T, B, features…] of 0 and 1. No gradient.

    Raises:
        ParameterError: a value or setting outside its range.
    """
    beta, unit = _settings(beta, unit)
    r = checked(values, 0.0, 1.0, "the burst code").detach()
    first = torch.full_like(r, unit)
    g, out = first, []
    for _ in range(whole("T", T, 1)):
        fires = r >= g
        r = torch.where(fires, r - g, r)
        g = torch.where(fires, beta * g, first)
        out.append(fires)
    return torch.stack(out).to(values.dtype)


def burst_weights(spikes: Tensor, beta: float = 2.0, unit: float = 1 / 16) -> Tensor:
    """What each spike weighs: g_0 = unit; g_{t+1} = β·g_t after a spike at t, else unit.

    Args:
        spikes: [T, B, features…] of 0 and 1.
        beta, unit: as in `encode_burst`.

    Returns:
        [T, B, features…], at least float32; for `decode_weighted`.

    Raises:
        ParameterError: a setting outside its range.
        ShapeError: no step.

    Source: Park, Kim, Choe, Yoon 2019, arXiv:1809.03142.
    """
    beta, unit = _settings(beta, unit)
    if spikes.dim() < 2 or not len(spikes):
        raise ShapeError(f"spikes of shape {tuple(spikes.shape)}", fix="give [T, B, features…]")
    first = torch.full_like(spikes[0], unit, dtype=torch.promote_types(spikes.dtype, torch.float32))
    g, out = first, []
    for s in spikes.unbind(0):
        out.append(g)
        g = torch.where(s > 0, beta * g, first)
    return torch.stack(out)


class Burst(Encoder):
    """`encode_burst` as a module: [B, features…] → [T, B, features…].

    Equation, from r = v and g = unit, at each step: s = [r ≥ g]; r ← r − g·s; g ← β·g where s = 1, else unit.

    Args:
        T: steps.
        beta: growth of a spike's weight within a burst, at least 1.
        unit: weight of a burst's first spike, above 0 up to 1.

    Raises:
        ParameterError: a setting outside its range.

    Source: Park, Kim, Choe, Yoon 2019, arXiv:1809.03142.
    """

    def __init__(self, T: int, beta: float = 2.0, unit: float = 1 / 16) -> None:
        super().__init__(T)
        self.beta, self.unit = _settings(beta, unit)

    def encode(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        return encode_burst(values, self.T, self.beta, self.unit)
