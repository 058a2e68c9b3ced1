"""A smooth spike: the surrogate's own integral in the place of the step, in the forward pass as well.

s = ∫ g from −∞ to d, so that ∂s/∂d = g(d) exactly. A network of such neurons is an ordinary differentiable function,
whose gradients finite differences can check; surrogate gradients are the same formulas with the step's values in them.

Source: Neftci, Mostafa & Zenke 2019, doi:10.1109/MSP.2019.2931595.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snnkit.surrogate.arctan import Arctan
from snnkit.surrogate.base import Surrogate

if TYPE_CHECKING:
    from torch import Tensor

_ARCTAN = Arctan()


@dataclass(frozen=True, init=False)
class Smooth(Surrogate):
    """A neuron with it gives s = of.ramp(v − threshold), a number between 0 and `of.integral`, and runs step by step.

    What is no part of a differentiable function goes by the step [v ≥ threshold] as before: a detached reset, and the
    refractory time. An attached reset is smooth: v·(1 − s), or v − threshold·s.

    Args:
        of: the surrogate whose integral it is, such as `surrogate.get("arctan")`.
    """

    of: Surrogate = _ARCTAN

    name: ClassVar[str] = "smooth"
    smooth: ClassVar[bool] = True

    def __init__(self, of: Surrogate) -> None:
        object.__setattr__(self, "of", of)
        super().__init__(of.alpha)

    def derivative(self, d: Tensor) -> Tensor:
        return self.of.derivative(d)

    def ramp(self, d: Tensor) -> Tensor:
        return self.of.ramp(d)

    @property
    def integral(self) -> float:
        return self.of.integral

    @property
    def width(self) -> float:
        return self.of.width
