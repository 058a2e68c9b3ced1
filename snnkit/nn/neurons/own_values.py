"""Parameters of users' own neurons: which are tensors, which are learned, and within which bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import ParameterError, did_you_mean
from snnkit.nn.neurons.parameters import spread, tensor_of

_BOUNDS: dict[str, tuple[str, str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]]
_BOUNDS = {
    "free": ("free", "finite", lambda v: v.isfinite(), lambda v: v, lambda raw: raw),
    "sigmoid": ("logit", "strictly between 0 and 1", lambda v: (v > 0) & (v < 1), torch.logit, torch.sigmoid),
    "positive": ("log", "positive and finite", lambda v: (v > 0) & v.isfinite(), torch.log, torch.exp),
}  # name → what the unconstrained parameter is called, the range, whether a value is in it, to it and back


def map_values(change: Callable[[str, Any], Any], params: Any, path: str = "") -> Any:
    """The same dict or NamedTuple, nested or not, with every value changed by `change(path, value)`."""
    if isinstance(params, Mapping):
        return {key: map_values(change, value, f"{path}{key}.") for key, value in params.items()}
    if isinstance(params, tuple) and hasattr(params, "_fields"):
        return type(params)(*(map_values(change, v, f"{path}{k}.") for k, v in zip(params._fields, params)))
    return change(path.removesuffix("."), params)


def is_number(value: Any) -> bool:
    """Whether a value becomes a tensor: a float, a list of numbers, or a floating-point tensor."""
    if isinstance(value, Tensor):
        return value.is_floating_point()
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(v, float | int) and not isinstance(v, bool) for v in value)
    return isinstance(value, float)


class Values:
    """Where the tensors of a neuron's parameters are kept in its module: path → name of the parameter or buffer."""

    def __init__(
        self,
        module: torch.nn.Module,
        params: Any,
        learn: Mapping[str, str] | Sequence[str],
        shape: Sequence[int] | None,
    ) -> None:
        if params is not None and not isinstance(params, Mapping) and not hasattr(params, "_fields"):
            raise ParameterError(
                f"params is a {type(params).__name__}", fix='give a dict, {"decay": 0.9}, or a NamedTuple of values'
            )
        if isinstance(learn, str):
            learn = [learn]
        wanted = dict(learn) if isinstance(learn, Mapping) else dict.fromkeys(learn, "free")
        self.kept: dict[str, tuple[str, str]] = {}
        self.given = (
            None if params is None else map_values(lambda p, v: self._keep(module, p, v, wanted, shape), params)
        )
        for path in set(wanted) - set(self.kept):
            raise ParameterError(
                f"learn names {path!r}, which is no number among the parameters{did_you_mean(path, self.kept)}",
                why="what is learned is a float, a list of them or a floating-point tensor",
                fix="the numbers are " + (", ".join(map(repr, self.kept)) or "none"),
            )

    def _keep(
        self, module: torch.nn.Module, path: str, value: Any, learn: Mapping[str, str], shape: Sequence[int] | None
    ) -> Any:
        if isinstance(value, torch.nn.Parameter):
            raise ParameterError(
                f"the parameter {path!r} is a torch.nn.Parameter", fix=f'give its value, and learn={{"{path}": "free"}}'
            )
        if isinstance(value, Tensor) and not value.is_floating_point():
            raise ParameterError(
                f"the parameter {path!r} is a tensor of {value.dtype}", fix="give a floating-point tensor, or an int"
            )
        if not is_number(value):
            return value
        bound = learn.get(path)
        if bound is not None and bound not in _BOUNDS:
            raise ParameterError(
                f"learn={{{path!r}: {bound!r}}}{did_you_mean(str(bound), _BOUNDS)}", fix="use " + ", ".join(_BOUNDS)
            )
        number = tensor_of(path, value)
        field = path.replace(".", "_")
        if any(field == other.replace(".", "_") for other in self.kept):
            raise ParameterError(f"two parameters would be kept as {field!r}", fix="call one of them something else")
        if bound is None:
            name = f"{field}_fixed"
            module.register_buffer(name, spread(path, number, shape))
        else:
            suffix, described, within, inwards, _ = _BOUNDS[bound]
            name = f"{field}_{suffix}"
            if not bool(within(number.float()).all()):
                raise ParameterError(
                    f"{path}={value!r} is learned as {bound!r} and is not {described}", fix="start from another value"
                )
            raw = inwards(spread(path, number, shape).double()).float()
            module.register_parameter(name, torch.nn.Parameter(raw))
        self.kept[path] = (name, bound or "free")
        return None

    def value(self, module: torch.nn.Module, path: str) -> Tensor:
        """The effective value of one parameter, float32: a scalar, [C] or [C, H, W]."""
        name, bound = self.kept[path]
        tensor: Tensor | None = module._parameters.get(name)
        if tensor is None:
            tensor = module._buffers[name]
        assert tensor is not None
        return _BOUNDS[bound][4](tensor)

    def filled(self, value_of: Callable[[str], Any]) -> Any:
        """The parameters as they were given, with value_of(path) for each tensor."""
        if self.given is None:
            return None
        return map_values(lambda path, value: value_of(path) if path in self.kept else value, self.given)
