"""What all codes share: the module, checks of steps and values, seeded draws.

Values are `[B, features…]`, spikes `[T, B, features…]` of the same device and dtype. A value outside a code's range is
a `ParameterError` on the CPU. To look at values on another device would make the host wait for it, and a compiled graph
cannot raise: there they are clamped to the range, and NaN sends no spike.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from snnkit.errors import ParameterError, ShapeError


class Encoder(torch.nn.Module):
    """A code as a module: values [B, features…] → [T, B, features…], without parameters and without state.

    A sub-class defines `encode`; its constructor's arguments are attributes of the same names.

    Attributes:
        T: steps of the output.
        binary: every output is 0 or 1, as a chip's input must be.
    """

    binary: bool = True
    random: ClassVar[bool] = False

    def __init__(self, T: int) -> None:
        super().__init__()
        self.T = whole("T", T, 1)

    def encode(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        """Spikes [T, B, …] of values [B, features…]; a random code draws from `generator`, or from its own seed."""
        raise NotImplementedError

    def forward(self, values: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Spikes [T, B, …] of values [B, features…]."""
        return self.encode(values, generator)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The features of a step for values of these features."""
        return tuple(shape)

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON values."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.settings().items() if value is not None)


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """`value` as an int within its limits.

    Raises:
        ParameterError: it is no whole number, or outside.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        limits = f"a whole number from {least}" + (" on" if most is None else f" to {most}")
        raise ParameterError(f"{name} is {value!r}", fix=f"give {limits}")
    return value


def number(name: str, value: Any, above: float, most: float = float("inf")) -> float:
    """`value` as a float with above < value ≤ most.

    Raises:
        ParameterError: it is no number, or outside.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not above < value <= most
        or value == float("inf")
    ):
        upper = "" if most == float("inf") else f" and at most {most:g}"
        raise ParameterError(f"{name} is {value!r}", fix=f"give a finite number above {above:g}{upper}")
    return float(value)


def checked(values: Tensor, low: float, high: float, code: str, dims: int = 1) -> Tensor:
    """Values in the dtype that codes compute in, at least float32, known to lie in [low, high] and to be finite.

    Raises:
        ShapeError: fewer than `dims` dimensions.
        ParameterError: values that are no floating-point numbers; on the CPU also values outside the range.
    """
    if values.dim() < dims:
        wanted = "[B, features…]" if dims == 1 else "[T, B, features…]"
        raise ShapeError(f"{code} was given values of shape {tuple(values.shape)}", fix=f"give {wanted}")
    if not values.is_floating_point():
        raise ParameterError(
            f"{code} was given values of type {str(values.dtype).removeprefix('torch.')}",
            fix="give floating-point numbers, for example image.float() / 255",
        )
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    if values.device.type != "cpu" or torch.compiler.is_compiling():
        return values.clamp(low, high)
    if values.numel():
        least, most = (float(v) for v in torch.aminmax(values.detach()))
        if not (low <= least and most <= high and math.isfinite(least) and math.isfinite(most)):
            limits = f"from {low:g} to {high:g}" if math.isfinite(low) else "finite numbers"
            raise ParameterError(
                f"{code} was given values from {least:g} to {most:g}",
                why=f"its values are {limits}",
                fix="scale or clamp them first",
            )
    return values


def source(values: Tensor, generator: torch.Generator | None, seed: int | None) -> torch.Generator | None:
    """Where a code draws from: `generator`, a fresh one with `seed`, or None for torch's own of that device.

    Raises:
        ParameterError: both are given, or the generator belongs to another device.
    """
    if generator is None:
        return None if seed is None else torch.Generator(values.device).manual_seed(whole("seed", seed, 0, 2**63 - 1))
    if seed is not None:
        raise ParameterError("both generator and seed are given", fix="give one of them")
    if generator.device.type != values.device.type:
        raise ParameterError(
            f"the generator is on {generator.device}, the values are on {values.device}",
            fix=f"torch.Generator({str(values.device)!r})",
        )
    return generator


def uniform(values: Tensor, T: int, generator: torch.Generator | None) -> Tensor:
    """Independent draws from [0, 1) of shape [T, *values.shape]."""
    return torch.rand((T, *values.shape), dtype=values.dtype, device=values.device, generator=generator)


def steps_like(values: Tensor, T: int) -> Tensor:
    """The step numbers 0 … T−1, int64 [T, 1, …], beside values [B, …]."""
    return torch.arange(T, device=values.device).view(T, *[1] * values.dim())


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, mean: Tensor) -> Tensor:
        return spikes.view_as(spikes)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, grads[0]


def straight_through(spikes: Tensor, mean: Tensor) -> Tensor:
    """Random spikes [T, B, …] with the gradient of their mean [B, …], the same at every step.

    Source: Bengio, Léonard, Courville 2013, arXiv:1308.3432.
    """
    if not (mean.requires_grad and torch.is_grad_enabled()):
        return spikes
    out: Tensor = _StraightThrough.apply(spikes, mean.to(spikes.dtype).expand_as(spikes))
    return out
