"""What can be said of a leaf module before it is converted, and of one that cannot be."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from snnkit import nn as snn
from snnkit.encoding import Delta, Encoder
from snnkit.errors import did_you_mean
from snnkit.export.tracer import known_base
from snnkit.graph.findings import Finding
from snnkit.nn.check import OURS


class Checks:
    """Reports findings about leaf modules."""

    def __init__(self, report: Callable[[Finding], None]) -> None:
        self.report = report
        self.finite: dict[str, bool] = {}

    def error(self, code: str, where: str, what: str, remedy: str = "") -> None:
        """Report an error."""
        self.report(Finding(code, where, what, remedy=remedy))

    def check_finite(self, path: str, module: nn.Module) -> None:
        """A finding for each parameter or buffer with NaN or infinity."""
        if path in self.finite:
            return
        self.finite[path] = True
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in tensors:
            bad = int((~torch.isfinite(tensor)).sum()) if tensor.is_floating_point() else 0
            if bad:
                self.error(
                    "WEIGHT_NOT_FINITE",
                    path,
                    f"{bad} of {tensor.numel()} values of {name} are NaN or infinite",
                    "training diverged: lower the learning rate or go back to an earlier checkpoint",
                )

    def overrides(self, path: str, m: nn.Module) -> bool:
        """A finding, and True, if a class derived from a layer of snnkit computes something of its own."""
        base = known_base(type(m))
        if base is None or base is type(m):
            return False
        own = [
            n
            for n in ("forward", "sequence", "step", "decay", "effective_weight", "gain")
            if getattr(type(m), n, None) is not getattr(base, n, None)
        ]
        if own:
            self.error(
                "UNKNOWN_MODULE",
                path,
                f"{type(m).__name__} derives from snn.{base.__name__} but has its own {', '.join(own)}",
                f"use snn.{base.__name__} itself: what a derived class computes cannot be told from its weights",
            )
        return bool(own)

    def unknown(self, path: str, m: nn.Module) -> None:
        """The finding for a module that no converter knows."""
        name = type(m).__name__
        hint = did_you_mean(name, snn.__all__)
        ours = OURS.get(type(m))
        if ours is not None:
            self.error(
                "BARE_TORCH_LAYER", path, f"torch.nn.{name} does not know the time axis of [T, B, ...]", f"use {ours}"
            )
        elif isinstance(m, Encoder | Delta):
            self.error("UNKNOWN_MODULE", path, f"{name} is a code: the host turns values into spikes, not the chip",
                        "leave it out of the model and name it in the recipe under data: encoding:")  # fmt: skip
        else:
            self.error("UNKNOWN_MODULE", path, f"{type(m).__module__}.{name} has no counterpart on a chip{hint}",
                        "compose the model from snnkit.nn layers")  # fmt: skip
