"""How weights are kept within bounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snnkit.errors import ParameterError, did_you_mean

KINDS = ("hard", "soft", "none")


class Bounds:
    """Bounds of weights.

    - `"hard"`: changes do not depend on the weight; weights that leave [w_min, w_max] are set to the border.
    - `"soft"`: potentiation is multiplied by (w_max − w)^mu, depression by (w − w_min)^mu, so that weights approach the
      border ever more slowly; what one large step takes across is set to the border.
    - `"none"`: no bounds.

    Raises:
        ParameterError: an unknown kind, w_min ≥ w_max, soft bounds that are not finite, mu < 0.

    Source: hard and soft (multiplicative, mu = 1): Morrison, Diesmann, Gerstner 2008, doi:10.1007/s00422-008-0233-1,
    section 4.1.3; between them, 0 < mu < 1: Gütig et al. 2003, doi:10.1523/JNEUROSCI.23-09-03697.2003.
    """

    def __init__(self, kind: str, w_min: float, w_max: float, mu: float) -> None:
        if kind not in KINDS:
            raise ParameterError(
                f"bound={kind!r}{did_you_mean(str(kind), KINDS)}", fix="the bounds are " + ", ".join(map(repr, KINDS))
            )
        self.kind, self.w_min, self.w_max, self.mu = kind, float(w_min), float(w_max), float(mu)
        if kind == "none":
            return
        if not self.w_min < self.w_max:
            raise ParameterError(f"w_min={w_min!r} is not below w_max={w_max!r}")
        if kind == "soft" and not (math.isfinite(self.w_min) and math.isfinite(self.w_max)):
            raise ParameterError(
                f"soft bounds w_min={w_min!r}, w_max={w_max!r}",
                why="changes are measured by the distance to the border",
                fix="give finite bounds, or use bound='hard'",
            )
        if not 0 <= self.mu < math.inf:
            raise ParameterError(f"mu={mu!r} is not an exponent ≥ 0")

    @property
    def depend(self) -> bool:
        """Whether changes depend on the weights."""
        return self.kind == "soft" and self.mu > 0

    def change(self, weight: Tensor, up: Tensor, down: Tensor) -> Tensor:
        """The change of weights by a potentiation and a depression, of which soft bounds leave a part."""
        if not self.depend:
            return up - down
        return (self.w_max - weight).clamp(min=0) ** self.mu * up - (weight - self.w_min).clamp(min=0) ** self.mu * down

    @torch.no_grad()
    def keep(self, weight: Tensor) -> None:
        """Set weights outside of the bounds to the border, in place."""
        if self.kind != "none":
            weight.clamp_(self.w_min, self.w_max)

    def refuse(self, weight: Tensor, what: str) -> None:
        """Raise ParameterError where weights lie outside already: the first change would cut them off."""
        if self.kind == "none" or not weight.numel():
            return
        low, high = weight.detach().aminmax()
        if low < self.w_min or high > self.w_max:
            raise ParameterError(
                f"{what}: weights from {float(low):.4g} to {float(high):.4g} are outside the bounds "
                f"{self.w_min:g} … {self.w_max:g}",
                why="the first change would cut them off",
                fix=f"start inside, e.g. torch.nn.init.uniform_(layer.weight, {self.w_min:g}, {self.w_max:g}), "
                "or give other bounds: w_min, w_max, bound='none'",
            )

    def __repr__(self) -> str:
        if self.kind == "none":
            return "bound='none'"
        text = f"bound={self.kind!r}, w_min={self.w_min:g}, w_max={self.w_max:g}"
        return text + (f", mu={self.mu:g}" if self.kind == "soft" else "")
