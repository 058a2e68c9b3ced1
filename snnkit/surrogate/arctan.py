"""Arctangent surrogate.

g(d) = (α/2) / (1 + (π/2·α·d)²), the derivative of arctan(π/2·α·d)/π + 1/2; integral 1; default α = 2 (peak 1,
full width at half maximum 2/π).

Source: Fang et al. 2021, doi:10.1109/ICCV48922.2021.00266.
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
    """The numba form: scalars of one dtype, `one` is 1 in it."""
    q = scale * d
    return peak / (one + q * q)


def derivative_triton(d: tl.tensor, peak: tl.tensor, scale: tl.tensor) -> tl.tensor:
    """The Triton form: tiles of one dtype."""
    q = scale * d
    return peak / (1.0 + q * q)


@dataclass(frozen=True)
class Arctan(Surrogate):
    """g(d) = (α/2) / (1 + (π/2·α·d)²). Source: doi:10.1109/ICCV48922.2021.00266."""

    alpha: float = 2.0
    name: ClassVar[str] = "arctan"
    kind: ClassVar[int] = 0

    def coefficients(self) -> tuple[float, float]:
        return self.alpha / 2, math.pi / 2 * self.alpha

    def derivative(self, d: Tensor) -> Tensor:
        peak, scale = self.coefficients()
        return peak / (1 + (scale * d).square())

    def ramp(self, d: Tensor) -> Tensor:
        return (self.coefficients()[1] * d).atan() / math.pi + 0.5

    @property
    def integral(self) -> float:
        return 1.0

    @property
    def width(self) -> float:
        return 4 / (math.pi * self.alpha)
