"""Sigmoid surrogate.

g(d) = α·σ(αd)·(1 − σ(αd)), the derivative of the logistic function σ(αd); integral 1; default α = 4 (peak 1).

Source: Wu et al. 2018, doi:10.3389/fnins.2018.00331 (their h₃); Zenke & Vogels 2021, doi:10.1162/neco_a_01367.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from snnkit.surrogate.base import Surrogate

if TYPE_CHECKING:
    import triton.language as tl  # for the Triton form, which gets it when it is compiled
    from torch import Tensor


def derivative_numba(d: Any, peak: Any, scale: Any, one: Any) -> Any:
    """The numba form. σ(1 − σ) is even, and exp(−|q|) cannot overflow."""
    e = math.exp(-abs(scale * d))
    q = one + e
    return peak * e / (q * q)


def derivative_triton(d: tl.tensor, peak: tl.tensor, scale: tl.tensor) -> tl.tensor:
    """The Triton form."""
    e = tl.exp(-tl.abs(scale * d))
    q = 1.0 + e
    return peak * e / (q * q)


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """g(d) = α·σ(αd)·(1 − σ(αd)). Source: doi:10.3389/fnins.2018.00331."""

    alpha: float = 4.0
    name: ClassVar[str] = "sigmoid"
    kind: ClassVar[int] = 1

    def coefficients(self) -> tuple[float, float]:
        return self.alpha, self.alpha

    def derivative(self, d: Tensor) -> Tensor:
        e = (-(self.alpha * d).abs()).exp()
        return self.alpha * e / (1 + e).square()

    def ramp(self, d: Tensor) -> Tensor:
        return (self.alpha * d).sigmoid()

    @property
    def integral(self) -> float:
        return 1.0

    @property
    def width(self) -> float:
        return 2 * math.log(3 + 2 * math.sqrt(2)) / self.alpha
