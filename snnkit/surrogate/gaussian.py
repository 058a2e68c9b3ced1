"""Gaussian surrogate.

g(d) = α/√(2π)·exp(−(αd)²/2), the derivative of the normal distribution function with standard deviation 1/α;
integral 1; default α = 2 (standard deviation 1/2, peak 0.8).

Source: Yin, Corradi & Bohté 2021, doi:10.1038/s42256-021-00397-w; Wu et al. 2018, doi:10.3389/fnins.2018.00331 (h₄).
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
    """The numba form; `scale` already holds 1/√2."""
    q = scale * d
    return peak * math.exp(-(q * q))


def derivative_triton(d: tl.tensor, peak: tl.tensor, scale: tl.tensor) -> tl.tensor:
    """The Triton form."""
    q = scale * d
    return peak * tl.exp(-(q * q))


@dataclass(frozen=True)
class Gaussian(Surrogate):
    """g(d) = α/√(2π)·exp(−(αd)²/2). Source: doi:10.1038/s42256-021-00397-w."""

    alpha: float = 2.0
    name: ClassVar[str] = "gaussian"
    kind: ClassVar[int] = 5

    def coefficients(self) -> tuple[float, float]:
        return self.alpha / math.sqrt(2 * math.pi), self.alpha / math.sqrt(2)

    def derivative(self, d: Tensor) -> Tensor:
        peak, scale = self.coefficients()
        return peak * (-(scale * d).square()).exp()

    def ramp(self, d: Tensor) -> Tensor:
        return ((self.alpha / math.sqrt(2)) * d).erf() / 2 + 0.5

    @property
    def integral(self) -> float:
        return 1.0

    @property
    def width(self) -> float:
        return 2 * math.sqrt(2 * math.log(2)) / self.alpha
