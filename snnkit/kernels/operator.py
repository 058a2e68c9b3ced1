"""Kernels as torch operators, so that torch.compile and autograd see them as one node."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor, is_legacy_batchedtensor

from snnkit.errors import UsageError
from snnkit.surrogate.heaviside import transformed

_library = torch.library.Library("snnkit", "DEF")


_PLAIN = (Tensor, torch.nn.Parameter)


def is_wrapped(x: Tensor) -> bool:
    """Whether x stands for several tensors, or for one of a transform; one that has no memory of its own."""
    return is_functorch_wrapped_tensor(x) or is_legacy_batchedtensor(x)


def _place(tensors: Sequence[Tensor]) -> str:
    """The kind of device of all of these, where nothing but autograd looks at operations on them; else nothing: there
    is a compiler, transform, mode, profiler or subclass."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or transformed():
        return ""
    if torch._C._len_torch_dispatch_stack() or torch._C._autograd._profiler_enabled():
        return ""
    kind = tensors[0].device.type if tensors else ""
    for t in tensors:
        if type(t) not in _PLAIN or t.device.type != kind or is_wrapped(t):
            return ""
    return kind


class Operator:
    """A torch operator `snnkit::<name>` with a CPU implementation, and one for GPUs where `on_gpu` names it.

    torch.library.custom_op would do the same, but imports torch's compiler (seconds) when the operator first runs.
    """

    def __init__(self, name: str, schema: str, implementation: Callable[..., Any]) -> None:
        self.name = f"snnkit::{name}"
        _library.define(name + schema)
        _library.impl(name, implementation, "CPU")
        self._call = getattr(torch.ops.snnkit, name).default
        self._direct: dict[str, Callable[..., Any]] = {"cpu": implementation}
        self._keeping: dict[str, Callable[..., Any]] = {}
        self._loads: dict[str, Callable[[], Callable[..., Any]]] = {}
        self._apply: Any = None

    def __call__(self, *args: Any) -> Any:
        """The operator. Where only autograd can see the call, it does not go through torch's dispatcher, which takes
        longer than a small kernel does."""
        tensors = [a for a in args if isinstance(a, Tensor)]
        place = _place(tensors)
        direct = self._direct.get(place)
        if direct is None:
            if place not in self._loads:
                return self._call(*args)
            # The first call saves what later ones do: a checkpoint that runs again asks for just that.
            direct = self._loads[place]()
        if not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors):
            return direct(*args)
        return self._call(*args) if self._apply is None else self._apply(*args)

    def is_direct(self, *args: Any) -> bool:
        """Whether such a call does not go through torch's dispatcher."""
        place = _place([a for a in args if isinstance(a, Tensor)])
        return place in self._direct or place in self._loads

    def on_gpu(self, module: str, function: str, *first: Any, keeping: str = "") -> None:
        """The implementation for CUDA tensors, of `first` and the same arguments; its module is imported when one is
        seen.

        keeping: the module's function of `first`, of which arguments need a gradient and of the same arguments; it
            leaves something for the way back: (outputs, that, which `gradient` finds in `ctx.kept`).
        """

        def load() -> Callable[..., Any]:
            found = self._direct.get("cuda")
            if found is None:
                loaded = importlib.import_module(module)
                if keeping:
                    self._keeping["cuda"] = partial(getattr(loaded, keeping), *first)
                found = self._direct["cuda"] = partial(getattr(loaded, function), *first)
            return found

        self._loads["cuda"] = load
        _library.impl(self.name.removeprefix("snnkit::"), lambda *args: load()(*args), "CUDA")

    def shapes(self, fake: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: gives outputs without values, for torch.compile."""
        torch.library.register_fake(self.name, fake, lib=_library)
        return fake

    def gradient(self, setup: Callable[..., None], backward: Callable[..., Any]) -> None:
        """Register the backward pass; `setup` saves what it needs."""
        torch.library.register_autograd(self.name, backward, setup_context=setup, lib=_library)
        by_device, keeping = self._direct, self._keeping

        class Direct(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *args: Any) -> Any:
                kind = next(a.device.type for a in args if isinstance(a, Tensor))
                if kind in keeping:
                    output, ctx.kept = keeping[kind](ctx.needs_input_grad, *args)
                else:
                    output = by_device[kind](*args)
                setup(ctx, args, output)
                return output

        Direct.backward = staticmethod(backward)  # type: ignore[method-assign]
        Direct.__name__ = Direct.__qualname__ = self.name
        # Past what torch does for tensors of functorch's transforms, of which `_place` lets none through.
        self._apply = super(torch.autograd.Function, Direct).apply

    def no_gradient(self) -> None:
        """Refuse to be differentiated: a backward pass whose own derivative nobody has written."""

        def refuse(ctx: Any, *grads: Any) -> Any:
            raise _no_second(self.name)

        self.gradient(lambda ctx, inputs, output: None, refuse)


def _no_second(name: str) -> UsageError:
    return UsageError(
        f"second derivatives through {name} are not available",
        why="the fused kernels have a first derivative only",
        fix="run the model inside `with snnkit.kernels.reference_only():`",
    )


class _Once(torch.autograd.Function):
    """Passes its first tensor on, and has no derivative."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, name: str, *inputs: Tensor) -> Tensor:
        ctx.name = name
        return grad.view_as(grad)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise _no_second(ctx.name)


def refuse_second(name: str, grads: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradients that an autograd.Function worked out from `inputs` without a graph, and refuse to be differentiated."""
    if not torch.is_grad_enabled() or not any(t.requires_grad for t in inputs):
        return list(grads)
    return [None if g is None else _Once.apply(g, name, *inputs) for g in grads]
