"""Functions between the layers of a model: sums, products with a number, concatenations, flatten."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx

from snnkit.export.tracer import node_line
from snnkit.export.value import Value, concatenate
from snnkit.graph.synapses import Scale

_ADD = {operator.add, operator.iadd, torch.add}
_MUL = {operator.mul, operator.imul, torch.mul}
_CAT = {torch.cat, torch.concat, torch.concatenate}


class Calls(ABC):
    """What a function makes of symbolic values, or None after a finding."""

    lead = 2
    """Dimensions before the features: T and B, or T·B inside `over_time`."""

    @abstractmethod
    def error(self, code: str, where: str, what: str, remedy: str = "") -> None:
        """Report an error."""

    def call(self, node: fx.Node, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Value | None:
        values = [a for a in args if isinstance(a, Value)]
        if target in _ADD and len(args) >= 2:
            return self.add(node, args[0], args[1], kwargs)
        if target in _MUL and len(values) == 1 and all(isinstance(a, Value | int | float) for a in args):
            factor = float(next(a for a in args if not isinstance(a, Value)))
            return values[0].apply(Scale(np.full(values[0].n, factor)), values[0].shape)
        if target in _CAT:
            return self.cat(node, args, kwargs)
        if target is torch.flatten or target == "flatten":
            start = args[1] if len(args) > 1 else kwargs.get("start_dim", 0)
            end = args[2] if len(args) > 2 else kwargs.get("end_dim", -1)
            return self.flatten(node_line(node), args[0], start, end)
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        if target is getattr:
            self.error("UNSUPPORTED_CALL", node_line(node), f"the attribute .{args[1]} of a signal is used",
                       "snn.Flatten() or flatten(2) instead of view or reshape")  # fmt: skip
            return None
        if name in ("contiguous", "detach", "clone", "float") and values:
            return values[0]
        self.error("UNSUPPORTED_CALL", node_line(node), f"{name}() has no counterpart on a chip",
                   "use snnkit.nn layers, +, torch.cat and flatten(2)")  # fmt: skip
        return None

    def flatten(self, where: str, x: Value, start: int, end: int) -> Value | None:
        if start == self.lead and end in (-1, len(x.shape) + self.lead - 1):
            return replace(x, shape=(x.n,))
        self.error("UNSUPPORTED_CALL", where, f"flatten(start_dim={start}, end_dim={end}) would mix time or batch with "
                   "features, or flatten some of them only", f"flatten({self.lead}), or snn.Flatten()")  # fmt: skip
        return None

    def add(self, node: fx.Node, a: Any, b: Any, kwargs: Mapping[str, Any]) -> Value | None:
        if kwargs.get("alpha", 1) != 1:
            self.error("UNSUPPORTED_CALL", node_line(node), f"add with alpha={kwargs['alpha']}", "scale by * first")
            return None
        if isinstance(a, Value) and isinstance(b, Value):
            if a.shape != b.shape:
                self.error("SHAPE", node_line(node), f"+ of features {list(a.shape)} and {list(b.shape)}",
                           "equal shapes: broadcasting over features is not exported")  # fmt: skip
                return None
            return a + b
        value, constant = (a, b) if isinstance(a, Value) else (b, a)
        if isinstance(value, Value) and isinstance(constant, int | float):
            return value.shifted(np.full(value.n, float(constant)))
        self.error("UNSUPPORTED_CALL", node_line(node), "+ of something that is not a signal")
        return None

    def cat(self, node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Value | None:
        parts = list(args[0] if args else kwargs["tensors"])
        dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))
        axis = dim - self.lead if dim >= 0 else dim + len(parts[0].shape)
        shapes = [list(p.shape) for p in parts]
        others = [[s for k, s in enumerate(shape) if k != axis] for shape in shapes]
        if not 0 <= axis < len(shapes[0]) or any(o != others[0] for o in others):
            self.error("UNSUPPORTED_CALL", node_line(node), f"cat of {shapes} along dim {dim}",
                       f"concatenate along a feature axis (dim >= {self.lead}) with equal other axes")  # fmt: skip
            return None
        return concatenate(parts, axis)
