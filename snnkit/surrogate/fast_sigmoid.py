"""Fast-sigmoid surrogate (SuperSpike).

g(d) = 1 / (1 + α|d|)², proportional to the derivative of the fast sigmoid αd / (1 + α|d|); integral 2/α; default
α = 10. The peak is 1 whatever α is, so that a steep surrogate does not enlarge gradients.

Source: Zenke & Ganguli 2018, doi:10.1162/neco_a_01086.
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
    """The numba form."""
    q = one + abs(scale * d)
    return peak / (q * q)


def derivative_triton(d: tl.tensor, peak: tl.tensor, scale: tl.tensor) -> tl.tensor:
    """The Triton form."""
    q = 1.0 + tl.abs(scale * d)
    return peak / (q * q)


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """g(d) = 1 / (1 + α|d|)². Source: doi:10.1162/neco_a_01086."""

    alpha: float = 10.0
    name: ClassVar[str] = "fast_sigmoid"
    kind: ClassVar[int] = 2

    def coefficients(self) -> tuple[float, float]:
        return 1.0, self.alpha

    def derivative(self, d: Tensor) -> Tensor:
        return 1 / (1 + (self.alpha * d).abs()).square()

    def ramp(self, d: Tensor) -> Tensor:
        return (d / (1 + (self.alpha * d).abs())) + 1 / self.alpha

    @property
    def integral(self) -> float:
        return 2 / self.alpha

    @property
    def width(self) -> float:
        return 2 * (math.sqrt(2) - 1) / self.alpha
