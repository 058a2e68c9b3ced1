"""Triangular surrogate.

g(d) = α·max(0, 1 − α|d|), the derivative of a step made of two parabolas of total width 2/α; integral 1; default
α = 1 (peak 1, support −1 … 1).

Source: Esser et al. 2016, doi:10.1073/pnas.1604850113.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from snnkit.surrogate.base import Surrogate

if TYPE_CHECKING:
    import triton.language as tl  # for the Triton form, which gets it when it is compiled
    from torch import Tensor


def derivative_numba(d: Any, peak: Any, scale: Any, one: Any) -> Any:
    """The numba form."""
    q = one - abs(scale * d)
    return one - one if q <= 0 else peak * q  # not a number where d is none


def derivative_triton(d: tl.tensor, peak: tl.tensor, scale: tl.tensor) -> tl.tensor:
    """The Triton form."""
    q = 1.0 - tl.abs(scale * d)
    return tl.where(q <= 0.0, 0.0, peak * q)


@dataclass(frozen=True)
class Triangle(Surrogate):
    """g(d) = α·max(0, 1 − α|d|). Source: doi:10.1073/pnas.1604850113."""

    alpha: float = 1.0
    name: ClassVar[str] = "triangle"
    kind: ClassVar[int] = 3

    def coefficients(self) -> tuple[float, float]:
        return self.alpha, self.alpha

    def derivative(self, d: Tensor) -> Tensor:
        return self.alpha * (1 - (self.alpha * d).abs()).clamp(min=0)

    def ramp(self, d: Tensor) -> Tensor:
        q = (self.alpha * d).clamp(-1, 1)
        return 0.5 + q - q * q.abs() / 2

    @property
    def integral(self) -> float:
        return 1.0

    @property
    def width(self) -> float:
        return 1 / self.alpha
