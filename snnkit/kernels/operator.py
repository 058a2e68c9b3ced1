"""Kernels as torch operators, so that torch.compile and autograd see them as one node."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

from snnkit.errors import UsageError

_library = torch.library.Library("snnkit", "DEF")


class Operator:
    """A torch operator `snnkit::<name>` with a CPU implementation, and one for GPUs where `on_gpu` names it.

    torch.library.custom_op would do the same, but imports torch's compiler (seconds) when the operator first runs.
    """

    def __init__(self, name: str, schema: str, implementation: Callable[..., Any]) -> None:
        self.name = f"snnkit::{name}"
        _library.define(name + schema)
        _library.impl(name, implementation, "CPU")
        self._call = getattr(torch.ops.snnkit, name).default

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def on_gpu(self, module: str, function: str, *first: Any) -> None:
        """The implementation for CUDA tensors, of `first` and the same arguments; its module is imported when one is
        seen."""

        def call(*args: Any) -> Any:
            return getattr(importlib.import_module(module), function)(*first, *args)

        _library.impl(self.name.removeprefix("snnkit::"), call, "CUDA")

    def shapes(self, fake: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: gives outputs without values, for torch.compile."""
        torch.library.register_fake(self.name, fake, lib=_library)
        return fake

    def gradient(self, setup: Callable[..., None], backward: Callable[..., Any]) -> None:
        """Register the backward pass; `setup` saves what it needs."""
        torch.library.register_autograd(self.name, backward, setup_context=setup, lib=_library)

    def no_gradient(self) -> None:
        """Refuse to be differentiated: a backward pass whose own derivative nobody has written."""

        def refuse(ctx: Any, *grads: Any) -> Any:
            raise UsageError(
                f"second derivatives through {self.name} are not available",
                why="the fused kernels have a first derivative only",
                fix="run the model inside `with snnkit.kernels.reference_only():`",
            )

        self.gradient(lambda ctx, inputs, output: None, refuse)
