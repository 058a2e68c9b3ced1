"""What a surrogate is: the derivative that stands in for the spike's in the backward pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snnkit.errors import ParameterError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Surrogate:
    """The forward pass is the step s = [d ≥ 0] with d = v − threshold; the backward pass uses g(d) = `derivative(d)`.

    Subclass it for a surrogate of your own: define `derivative`; layers then take the eager path, because the fused
    kernels know only the surrogates of this package (those with `kind` ≥ 0).

    Args:
        alpha: steepness, the inverse of a width in units of the membrane; positive and finite.

    Raises:
        ParameterError: alpha is not positive and finite.
    """

    alpha: float = 1.0

    name: ClassVar[str] = "custom"
    kind: ClassVar[int] = -1
    """Number by which the fused kernels know the surrogate; stable, -1 for users' own."""
    smooth: ClassVar[bool] = False
    """Whether the forward pass has the ramp too: `Smooth` alone."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ParameterError(
                f"{type(self).__name__}(alpha={self.alpha!r}): alpha must be positive and finite",
                fix="alpha is the steepness; the default is " + repr(type(self).__dataclass_fields__["alpha"].default),
            )

    def coefficients(self) -> tuple[float, float]:
        """(peak, scale) as the numba and Triton forms take them."""
        raise NotImplementedError

    def derivative(self, d: Tensor) -> Tensor:
        """g(d), the torch form. `d`: v − threshold, any shape."""
        raise NotImplementedError

    def ramp(self, d: Tensor) -> Tensor:
        """The spike made smooth: the integral of g from −∞ to d, which rises from 0 to `integral`; see `Smooth`."""
        raise NotImplementedError

    @property
    def integral(self) -> float:
        """Area under g over the real line: 1 where g is the derivative of a step of height 1."""
        raise NotImplementedError

    @property
    def width(self) -> float:
        """Full width of g at half its maximum, in units of the membrane."""
        raise NotImplementedError
