"""Population code: each value is seen by K neurons, each of which likes another value best.

The receptive fields are Gaussians a_k = exp(−(v − μ_k)² / 2σ²) with K centres μ_k = low + (2k − 1)/2 · h, k = 0 … K−1,
h = (high − low)/(K − 2) and σ = h / width: the first and the last centre lie half a step outside the range. Each
activity is sent by latency code, strong ones early and those below `silence` not at all.

`decode_population`, the population vector v̂ = Σ a_k·μ_k / Σ a_k (Georgopoulos, Schwartz, Kettner 1986,
doi:10.1126/science.3749885), gives v back within h/6 for the default width, silence up to 0.2 and T from 8 on.

Source: Bohte, Kok, La Poutré 2002, doi:10.1016/S0925-2312(01)00658-0, section 5 (there m neurons, γ = width = 1.5).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snnkit.encoding.base import Encoder, checked, number, whole
from snnkit.encoding.latency import checked_silence, encode_latency
from snnkit.errors import ParameterError, ShapeError


def _range(low: float, high: float) -> tuple[float, float]:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ParameterError(f"the range is {low!r} to {high!r}", fix="give finite numbers low < high")
    return float(low), float(high)


def field_centres(
    neurons: int = 8, low: float = 0.0, high: float = 1.0, device: torch.device | str | None = None
) -> Tensor:
    """The centres μ_k = low + (2k − 1)/2 · (high − low)/(neurons − 2), float32 [neurons], on `device`.

    Args:
        neurons: K, at least 3.
        low, high: the range of values.
        device: where the tensor lies.

    Raises:
        ParameterError: fewer than 3 neurons, or no range.

    Source: Bohte, Kok, La Poutré 2002, doi:10.1016/S0925-2312(01)00658-0.
    """
    low, high = _range(low, high)
    step = (high - low) / (whole("neurons", neurons, 3) - 2)
    return low + (torch.arange(neurons, dtype=torch.float32, device=device) - 0.5) * step


def receptive_fields(
    values: Tensor, neurons: int = 8, low: float = 0.0, high: float = 1.0, width: float = 1.5
) -> Tensor:
    """Activities a_k = exp(−(v − μ_k)² / 2σ²), σ = (high − low)/(neurons − 2)/width; differentiable.

    Args:
        values: [B, features…], low … high.
        neurons: K, at least 3.
        low, high: the range of values.
        width: a larger one gives narrower fields, above 0.

    Returns:
        [B, features…, K], 0 … 1, of the values' dtype.

    Raises:
        ParameterError: a value or setting outside its range.

    Source: Bohte, Kok, La Poutré 2002, doi:10.1016/S0925-2312(01)00658-0.
    """
    centres = field_centres(neurons, low, high, values.device)
    v = checked(values, float(low), float(high), "the population code")
    sigma = (high - low) / (neurons - 2) / number("width", width, 0.0)
    return torch.exp(-((v.unsqueeze(-1) - centres) / sigma).square() / 2).to(values.dtype)


def encode_population(
    values: Tensor,
    T: int,
    neurons: int = 8,
    low: float = 0.0,
    high: float = 1.0,
    width: float = 1.5,
    silence: float = 0.1,
) -> Tensor:
    """The activities a_k = exp(−(v − μ_k)² / 2σ²) of `receptive_fields`, each sent by `encode_latency`.

    Args:
        values: [B, features…], low … high.
        T: steps, at least 2.
        neurons: K, at least 3.
        low, high: the range of values.
        width: a larger one gives narrower fields, above 0.
        silence: activities below it send no spike, 0 … 1.

    Returns:
        [T, B, features…, K] of 0 and 1. No gradient.

    Raises:
        ParameterError: a value or setting outside its range.
    """
    return encode_latency(receptive_fields(values, neurons, low, high, width), T, silence)


def decode_population(activities: Tensor, centres: Tensor) -> Tensor:
    """The population vector v̂ = Σ a_k·μ_k / Σ a_k; where all are silent, the mean of the centres.

    Args:
        activities: […, K] ≥ 0, such as what `decode_first_spike` or `decode_rate` gives.
        centres: [K], from `field_centres`.

    Returns:
        […].

    Raises:
        ShapeError: the last dimension is not that of the centres.

    Source: Georgopoulos, Schwartz, Kettner 1986, doi:10.1126/science.3749885.
    """
    if centres.dim() != 1 or activities.dim() < 1 or activities.shape[-1] != len(centres):
        raise ShapeError(
            f"activities of shape {tuple(activities.shape)} with centres of shape {tuple(centres.shape)}",
            fix="give [..., K] activities and [K] centres",
        )
    total = activities.sum(-1)
    silent = total == 0
    mean = (activities * centres).sum(-1) / torch.where(silent, torch.ones_like(total), total)
    return torch.where(silent, centres.mean().to(mean.dtype), mean)


class Population(Encoder):
    """`encode_population` as a module: [B, features…] → [T, B, features…, K].

    Equation: a_k = exp(−(v − μ_k)² / 2σ²), sent at t = ⌊(1 − a_k)·(T − 1) + ½⌋ where a_k ≥ silence.

    Args:
        T: steps, at least 2.
        neurons: K, at least 3.
        low, high: the range of values.
        width: a larger one gives narrower fields, above 0.
        silence: activities below it send no spike, 0 … 1.

    Raises:
        ParameterError: a setting outside its range.

    Source: Bohte, Kok, La Poutré 2002, doi:10.1016/S0925-2312(01)00658-0.
    """

    def __init__(
        self,
        T: int,
        neurons: int = 8,
        low: float = 0.0,
        high: float = 1.0,
        width: float = 1.5,
        silence: float = 0.1,
    ) -> None:
        super().__init__(whole("T", T, 2))
        self.neurons = whole("neurons", neurons, 3)
        self.low, self.high = _range(low, high)
        self.width, self.silence = number("width", width, 0.0), checked_silence(silence)

    def encode(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        return encode_population(values, self.T, self.neurons, self.low, self.high, self.width, self.silence)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The features of a step for values of these features: one dimension more, of K."""
        return (*shape, self.neurons)
