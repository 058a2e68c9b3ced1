"""Any torch module without time as a layer over [T, B, …]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from snnkit.errors import ParameterError, StateError
from snnkit.nn.context import current_pass, is_streaming
from snnkit.nn.shapes import layer_name, refuse_list, shape_error

_PACKAGE = __name__.rsplit(".", 2)[0]  # snnkit.nn


class OverTime(torch.nn.Module):
    """y[t] = module(x[t]) for all steps in one call: T and B are folded into one batch and unfolded behind it.

    For modules that know no time: `snn.over_time(torchvision.models.resnet18())`, a `torch.nn.GELU()`, a patch
    embedding. x: [T, B, …] → module([T·B, …]) → y: [T, B, …]; several inputs and nested outputs are folded and
    unfolded alike. What the module takes over its batch, such as the statistics of a torch.nn.BatchNorm2d, it takes
    over time and batch; what it draws at random, such as the mask of a torch.nn.Dropout, it draws for each step.

    Raises:
        ParameterError: the module contains layers of snnkit, which know time themselves.
        ShapeError: an input without T and B, or an output that is not [T·B, …].
        StateError: a batch norm of torch inside takes statistics of a chunk of a stream, or beside `lengths` (it would
            take in the padding).
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        for name, inner in module.named_modules():
            if any(c.__module__.startswith(_PACKAGE + ".") for c in type(inner).__mro__):
                raise ParameterError(
                    f"over_time of a module that contains {type(inner).__name__}" + (f" at {name!r}" if name else ""),
                    why="layers of snnkit expect [T, B, …] and would be given [T·B, …]",
                    fix="leave over_time out, or split the module",
                )
        self.module = module

    def forward(self, x: Tensor, *others: Tensor) -> Any:
        refuse_list(x, self)
        if x.dim() < 2:
            raise shape_error(self, x, "at least 2 dimensions [T, B, …]", "time comes first, then the batch")
        self._refuse_statistics()
        steps = x.shape[:2]
        for other in others:
            if other.shape[:2] != steps:
                raise shape_error(self, other, f"inputs that all begin with [T, B] = {list(steps)}")
        out = self.module(*(part.flatten(0, 1) for part in (x, *others)))

        def unfold(y: Any) -> Any:
            if not isinstance(y, Tensor):
                return y
            if y.dim() == 0 or y.shape[0] != steps[0] * steps[1]:
                raise shape_error(
                    self,
                    x,
                    f"its module to give [T·B, …] = [{steps[0] * steps[1]}, …], which gives {tuple(y.shape)}",
                    "the module must keep its batch as the first dimension",
                )
            return y.unflatten(0, steps)

        return unfold(out) if isinstance(out, Tensor) else pytree.tree_map(unfold, out)

    def _refuse_statistics(self) -> None:
        going = current_pass()
        if going is None or not (is_streaming() or going.lengths is not None):
            return
        for name, inner in self.module.named_modules():
            if isinstance(inner, _BatchNorm) and (inner.training or inner.running_mean is None):
                chunk = is_streaming()
                raise StateError(
                    f"torch.nn.{type(inner).__name__} at {name!r} in layer {layer_name(self)} takes statistics "
                    + ("of a chunk of a stream" if chunk else "of a batch with lengths"),
                    why="those of a chunk are not those of the sequence" if chunk else "it takes in the padding",
                    fix="put the norm in evaluation mode (norm.eval()), or use snn.BatchNorm outside over_time",
                )


def over_time(module: torch.nn.Module) -> OverTime:
    """A module that knows no time as a layer over [T, B, …]: y[t] = module(x[t]), run once over all steps.

    See `OverTime` for what it takes and refuses.

    Args:
        module: any torch module over [B, …], without layers of snnkit inside.

    Raises:
        ParameterError: the module contains layers of snnkit.
    """
    return OverTime(module)
