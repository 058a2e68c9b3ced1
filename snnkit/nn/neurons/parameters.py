"""Decays and thresholds of neurons: fixed or learnable, one number, one per channel or one per neuron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import ParameterError
from snnkit.nn.shapes import shape_error

Number = float | Sequence[float] | Tensor
"""A number, or one per channel ([C]) or neuron ([C, H, W])."""

DEFAULT_TAU = 2.0


def tensor_of(name: str, value: Any) -> Tensor:
    """A value in float64, cut from any graph; a number on the host, where it can be checked on any default device.

    Raises:
        ParameterError: no number and no tensor of numbers.
    """
    device = value.device if isinstance(value, Tensor) else "cpu"
    try:
        return torch.as_tensor(value, dtype=torch.float64, device=device).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(f"{name}={value!r} is neither a number nor a tensor of numbers") from error


def decay_value(suffix: str, tau: Number | None, decay: Number | None) -> Tensor:
    """The decay in float64 from a time constant in steps, decay = exp(−1/tau), or as given.

    Raises:
        ParameterError: both given, tau ≤ 0, or a decay outside [0, 1].
    """
    tau_name, decay_name = f"tau{suffix}", f"decay{suffix}"
    if tau is not None and decay is not None:
        raise ParameterError(
            f"both {tau_name}={tau!r} and {decay_name}={decay!r} given", fix="give one: decay = exp(-1/tau)"
        )
    if decay is not None:
        value = tensor_of(decay_name, decay)
        if not bool(((value >= 0) & (value <= 1)).all()):
            raise ParameterError(
                f"{decay_name}={decay!r} is outside 0 … 1",
                fix="decay is what remains of the state after a step; 1 keeps all, 0 nothing",
            )
        return value
    value = tensor_of(tau_name, DEFAULT_TAU if tau is None else tau)
    if not bool((value > 0).all()):
        raise ParameterError(f"{tau_name}={tau!r} is not positive", fix="tau is a time constant in steps")
    return torch.exp(-1 / value)


def threshold_value(threshold: Number) -> Tensor:
    """The threshold in float64.

    Raises:
        ParameterError: not positive and finite.
    """
    value = tensor_of("threshold", threshold)
    if not bool(((value > 0) & value.isfinite()).all()):
        raise ParameterError(f"threshold={threshold!r} is not positive and finite")
    return value


def spread(name: str, value: Tensor, shape: Sequence[int] | None) -> Tensor:
    """A value as a float32 tensor of the given shape (None: its own)."""
    if shape is not None:
        try:
            value = value.expand(tuple(shape))
        except RuntimeError as error:
            raise ParameterError(
                f"{name} of shape {tuple(value.shape)} does not spread to shape={tuple(shape)}"
            ) from error
    return _placed(value.to(torch.float32).contiguous().clone())


def _placed(value: Tensor) -> Tensor:
    """A value of the host on the default device: that of `with torch.device(…)`, where a layer is built in one."""
    return value.to(torch.get_default_device()) if value.device.type == "cpu" else value


def register_decay(module: torch.nn.Module, name: str, value: Tensor, learn: bool, shape: Sequence[int] | None) -> None:
    """Keep a decay in a module: fixed as buffer `<name>_fixed`, learnable as parameter `<name>_logit`."""
    if not learn:
        module.register_buffer(f"{name}_fixed", spread(name, value, shape))
        return
    rounded = value.to(torch.float32)
    if not bool(((rounded > 0) & (rounded < 1)).all()):
        raise ParameterError(
            f"a learnable {name} starts at {rounded.tolist()!r}, which is not strictly between 0 and 1",
            why="it is the sigmoid of an unconstrained parameter",
            fix="start from another value, or set learn_decay=False",
        )
    value = spread(name, value, shape)
    module.register_parameter(f"{name}_logit", torch.nn.Parameter(torch.logit(value.double()).float()))


def effective_decay(module: torch.nn.Module, name: str) -> Tensor:
    """The decay as the equations use it: a scalar, [C] or [C, H, W]."""
    logit = module._parameters.get(f"{name}_logit")
    if logit is not None:
        return torch.sigmoid(logit)
    fixed = module._buffers[f"{name}_fixed"]
    assert fixed is not None
    return fixed


def register_threshold(module: torch.nn.Module, value: Tensor, learn: bool, shape: Sequence[int] | None) -> None:
    """Keep a threshold in a module as `threshold`, a parameter or a buffer."""
    value = spread("threshold", value, shape)
    if learn:
        module.register_parameter("threshold", torch.nn.Parameter(value))
    else:
        module.register_buffer("threshold", value)


def along_features(module: torch.nn.Module, name: str, value: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """A value shaped to broadcast against x[t] = [B, features…]: a scalar, [C, 1, …] or [C, H, W].

    Raises:
        ShapeError: neither one number, nor one per channel, nor one per neuron of x.
    """
    value = value.to(dtype)
    features = x.shape[2:]
    if value.dim() == 0 or value.shape == features:
        return value
    if value.dim() == 1 and len(features) and value.shape[0] in (1, features[0]):
        return value.view(-1, *([1] * (len(features) - 1)))
    raise shape_error(
        module,
        x,
        f"features that fit its {name} of shape {tuple(value.shape)}",
        f"give {name} one value, one per channel [{features[0]}], or one per neuron {list(features)}",
    )


def describe(value: Tensor) -> str:
    """A value for `extra_repr`: the number, or the shape."""
    if value.numel() == 1:
        number = float(value.detach())
        return f"{number:.6g}" if math.isfinite(number) else str(number)
    return f"<{'×'.join(map(str, value.shape))}>"
