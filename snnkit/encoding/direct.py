"""Direct current: no spikes at all; the value itself is the input of every step.

x_t = v; the first spiking layer makes the spikes. A chip whose input must be binary cannot take it.

Source: the analog input of Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682; trained in Rathi & Roy 2021,
doi:10.1109/TNNLS.2021.3111897.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.encoding.base import Encoder, whole
from snnkit.errors import ParameterError, ShapeError


def encode_direct(values: Tensor, T: int) -> Tensor:
    """x_t = v at each of T steps.

    Args:
        values: [B, features…], any floating-point numbers.
        T: steps.

    Returns:
        [T, B, features…], a view of the values (`.contiguous()` copies). Gradient: ∂x_t/∂v = 1, exact.

    Raises:
        ParameterError: no step, or values that are no floating-point numbers.
        ShapeError: values without a batch.
    """
    if values.dim() < 1:
        raise ShapeError("direct current was given a single number", fix="give [B, features…]")
    if not values.is_floating_point():
        raise ParameterError(f"direct current was given values of type {values.dtype}", fix="give values.float()")
    return values.unsqueeze(0).expand(whole("T", T, 1), *values.shape)


class Direct(Encoder):
    """`encode_direct` as a module: x_t = v at every step; [B, features…] → [T, B, features…].

    Args:
        T: steps.

    Raises:
        ParameterError: no step.

    Source: Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682.
    """

    binary = False

    def encode(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        return encode_direct(values, self.T)
