"""Fake-quantised weights: rows of trinary or 4-bit integers times one unit per neuron, with straight-through gradients.

The forward pass uses what the chip's crossbar holds; the backward pass goes to the real weights behind it unchanged
(Bengio et al. 2013, arXiv:1308.3432). The rule is that of `snnkit.targets.truenorth.integers`, in torch operations:
exact rows stay as they are, others become the nearest row in the sum of squares. A unit has few enough bits that
float32 adds its multiples without rounding, so a membrane of such weights is a whole number of units.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from snnkit.errors import ParameterError
from snnkit.targets.truenorth.integers import CLIPS, CLOSE, FAN_IN, FOUR_BIT, K_MAX, K_MIN, TRINARY, UNIT_BITS

M = TypeVar("M", bound=torch.nn.Module)


def straight_through(value: Tensor, source: Tensor) -> Tensor:
    """`value` exactly, with the gradient of `source`."""
    return value.detach() + (source - source.detach())


def few_bits(unit: Tensor) -> Tensor:
    """A positive float64 tensor with its mantissas rounded to `UNIT_BITS` bits."""
    mantissa, exponent = torch.frexp(unit)
    return torch.ldexp(torch.round(mantissa * 2.0**UNIT_BITS) * 2.0**-UNIT_BITS, exponent)


def _exact(rows: Tensor) -> Tensor:
    """[R] bool: rows that are a unit times integers of 4 bits already."""
    top = rows.abs().amax(1, keepdim=True).clamp(min=1e-300)
    found = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    for most in range(1, -K_MIN + 1):
        unit = top / most
        k = torch.round(rows / unit)
        low, high = k.amin(1), k.amax(1)
        inside = ((low >= K_MIN) & (high <= K_MAX)) | ((low >= -K_MAX) & (high <= -K_MIN))
        found = found | (inside & ((rows - k * unit).abs() <= CLOSE * unit).all(1))
    return found


def _trinary(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(unit [R, 1], k [R, N]): the largest magnitudes at their mean, as many as keep most of the sum of squares."""
    size, order = torch.sort(rows.abs(), dim=1, descending=True, stable=True)
    count = torch.arange(1, rows.shape[1] + 1, dtype=rows.dtype, device=rows.device)
    first = size.cumsum(1)
    kept = (first.square() / count).argmax(1, keepdim=True)
    unit = first.gather(1, kept) / (kept + 1)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(rows.shape[1], device=rows.device).expand_as(order))
    return unit, torch.where(rank <= kept, rows.sign(), 0.0)


def _four_bit(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(unit, k): the largest magnitude, or a part of it, at 7; the part with the smallest sum of squared errors."""
    top = rows.abs().amax(1, keepdim=True)
    best_unit, best_k, best = top, torch.zeros_like(rows), torch.full_like(top, math.inf)
    for clip in CLIPS:
        unit = few_bits(top * clip / K_MAX).clamp(min=1e-300)
        k = torch.round(rows / unit).clamp(K_MIN, K_MAX)
        error = (k * unit - rows).square().sum(1, keepdim=True)
        better = error < best * (1 - 1e-9)
        best_unit, best_k = torch.where(better, unit, best_unit), torch.where(better, k, best_k)
        best = torch.where(better, error, best)
    return best_unit, best_k


class RowWeights(torch.nn.Module):
    """What a synapse of integer rows uses in the place of its weights [out, …]: unit·k, k trinary or of 4 bits.

    Args:
        bits: 2 for -1, 0, 1; 4 for -8 to 7; None: 4 where a row has at most 64 weights that are not 0, else 2.
        unit: of all rows; None: one per row, chosen with k for the smallest squared error. A power of two keeps every
            sum exact; the threshold then is what sets a neuron's scale.

    Shapes: w [out, …] → [out, …]; gradients pass unchanged.

    Raises:
        ParameterError: other bits, or a unit that is not positive.

    Source: Li & Liu 2016, arXiv:1605.04711, for trinary weights; here the best number of weights is kept, not theirs.
    """

    def __init__(self, bits: int | None = TRINARY, unit: float | None = None) -> None:
        super().__init__()
        if bits not in (None, TRINARY, FOUR_BIT):
            raise ParameterError(f"bits={bits!r}", fix="2 for trinary weights, 4 for weights from -8 to 7, or None")
        if unit is not None and not 0 < unit < math.inf:
            raise ParameterError(
                f"unit={unit!r} is not positive", fix="leave it out, or give a power of two such as 0.25"
            )
        self.bits, self.unit = bits, unit

    def integers(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """(unit [out, 1], k [out, N]) in float64 of weights [out, …]; the unit that `unit` sets has no part in k."""
        rows = w.detach().flatten(1).double()
        if self.bits == TRINARY:
            unit, k = _trinary(rows)
        elif self.bits == FOUR_BIT:
            unit, k = _four_bit(rows)
        else:
            few = (rows != 0).sum(1, keepdim=True) <= FAN_IN[FOUR_BIT]
            (unit2, k2), (unit4, k4) = _trinary(rows), _four_bit(rows)
            unit, k = torch.where(few, unit4, unit2), torch.where(few, k4, k2)
        return few_bits(unit), k

    def forward(self, w: Tensor) -> Tensor:
        unit, k = self.integers(w)
        if self.unit is not None:
            return straight_through((k * self.unit).to(w.dtype).view_as(w), w)
        rows = w.detach().flatten(1).double()
        used = torch.where(_exact(rows)[:, None], rows, k * unit)
        return straight_through(used.to(w.dtype).view_as(w), w)

    def right_inverse(self, w: Tensor) -> Tensor:
        """The weights given are the real ones behind the integers."""
        return w

    def extra_repr(self) -> str:
        return f"bits={self.bits}, unit={self.unit}"


class GridWeights(torch.nn.Module):
    """A parameter as the nearest multiple of `unit`, at most `MOST` to either side; gradients pass unchanged."""

    MOST = 127

    def __init__(self, unit: float) -> None:
        super().__init__()
        if not 0 < unit < math.inf:
            raise ParameterError(f"unit={unit!r} is not positive", fix="give a power of two such as 0.25")
        self.unit = unit

    def forward(self, value: Tensor) -> Tensor:
        k = torch.round(value.detach() / self.unit).clamp(-self.MOST, self.MOST)
        return straight_through(k * self.unit, value)

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value given is the real one."""
        return value

    def extra_repr(self) -> str:
        return f"unit={self.unit}"


class WholeUnits(torch.nn.Module):
    """A parameter as the nearest whole number of units, from `least` to `most` of them; gradients pass unchanged."""

    def __init__(self, unit: float, least: int = 1, most: int = 2**18 - 1) -> None:
        super().__init__()
        if not 0 < unit < math.inf:
            raise ParameterError(f"unit={unit!r} is not positive", fix="give a power of two such as 0.25")
        self.unit, self.least, self.most = unit, least, most

    def forward(self, value: Tensor) -> Tensor:
        whole = torch.round(value.detach() / self.unit).clamp(self.least, self.most) * self.unit
        return straight_through(whole, value)

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value given is the real one."""
        return value

    def extra_repr(self) -> str:
        return f"unit={self.unit}"


def quantize_weights(layer: M, bits: int | None = TRINARY, unit: float | None = None) -> M:
    """Let a synapse layer use `RowWeights(bits, unit)` of its weights, from now on; returns the layer.

    `layer.weight` then is what the chip holds, `layer.parametrizations.weight.original` what is trained.
    """
    parametrize.register_parametrization(layer, "weight", RowWeights(bits, unit))
    return layer


def quantize_threshold(neuron: M, unit: float) -> M:
    """Let a neuron layer use whole numbers of units as its thresholds, from now on; returns the layer."""
    parametrize.register_parametrization(neuron, "threshold", WholeUnits(unit))
    return neuron


def unquantized(model: torch.nn.Module) -> torch.nn.Module:
    """Take all parametrisations off a model, in place; the real weights remain."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=False)
    return model


__all__ = [
    "GridWeights",
    "RowWeights",
    "WholeUnits",
    "quantize_threshold",
    "quantize_weights",
    "straight_through",
    "unquantized",
]
