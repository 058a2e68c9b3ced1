"""Piecewise-linear surrogate.

g(d) = α·[α|d| < 1/2], the derivative of a straight ramp of width 1/α (a rectangle); integral 1; default α = 1
(peak 1, support −1/2 … 1/2).

Source: Wu et al. 2018, doi:10.3389/fnins.2018.00331 (their h₁).
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
    q = abs(scale * d)
    return peak if q + q < one else one - one


def derivative_triton(d: tl.tensor, peak: tl.tensor, scale: tl.tensor) -> tl.tensor:
    """The Triton form."""
    q = tl.abs(scale * d)
    return tl.where(q + q < 1.0, peak, 0.0)


@dataclass(frozen=True)
class PiecewiseLinear(Surrogate):
    """g(d) = α·[α|d| < 1/2]. Source: doi:10.3389/fnins.2018.00331."""

    alpha: float = 1.0
    name: ClassVar[str] = "piecewise_linear"
    kind: ClassVar[int] = 4

    def coefficients(self) -> tuple[float, float]:
        return self.alpha, self.alpha

    def derivative(self, d: Tensor) -> Tensor:
        return self.alpha * (2 * (self.alpha * d).abs() < 1).to(d.dtype)

    def ramp(self, d: Tensor) -> Tensor:
        return (self.alpha * d).clamp(-0.5, 0.5) + 0.5

    @property
    def integral(self) -> float:
        return 1.0

    @property
    def width(self) -> float:
        return 1 / self.alpha
