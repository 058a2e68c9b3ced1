"""What a converter gives back for one layer, and how it refuses one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from snnkit.surrogate import Surrogate


class RefusedError(Exception):
    """A layer that cannot be converted; the walk collects them and raises one `ConversionError` at its end."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


@dataclass(frozen=True)
class Options:
    """The settings of one conversion."""

    exact: bool = False
    same_step_reset: bool = False
    surrogate: Surrogate | None = None
    rules: Mapping[type, Callable[..., nn.Module]] = field(default_factory=dict)


@dataclass
class Block:
    """What one layer became.

    `gain` is what the layer's input must be multiplied by, None for 1. `affine`: weight and bias can carry such a gain.
    `homogeneous`: a positive gain passes through. `axes`: the number of feature axes behind it, None where it keeps
    them. `neuron`: it has spikes, or a membrane, to compare.
    """

    module: nn.Module
    exact: bool = True
    why: str = ""
    was: str = ""
    gain: float | None = None
    affine: bool = False
    homogeneous: bool = False
    axes: int | None = None
    neuron: bool = False


def is_power_of_two(value: float) -> bool:
    """Whether multiplying by it rounds nothing (short of over- and underflow)."""
    return value > 0 and math.frexp(value)[0] == 0.5


def class_name(module: nn.Module) -> str:
    """Module path and name of a module's class."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


def describe(module: nn.Module) -> str:
    """A layer in one line."""
    if isinstance(module, nn.Sequential) and len(module):
        return " + ".join(describe(part) for part in module)
    inside = module.extra_repr() or ", ".join(describe(part) for part in module.children())
    return f"{type(module).__name__}({' '.join(inside.split())})"


def frozen_scale(gain: torch.Tensor | float) -> nn.Module:
    """A layer that multiplies by a constant: one number, one per channel or one per neuron."""
    from snnkit.nn.synapses import OneToOne

    value = torch.as_tensor(gain, dtype=torch.float64)
    layer = OneToOne(tuple(value.shape) or 1)
    with torch.no_grad():
        layer.weight.copy_(value.reshape(layer.weight.shape))
    return layer.requires_grad_(False)
