"""Instantiates a chip's `arithmetic` module for a back end: the same source for Python, numpy, numba and torch."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any


def instantiate(
    module: ModuleType, *, where: Callable[..., Any], compiler: Callable[[Any], Any] | None = None
) -> SimpleNamespace:
    """The functions that `module.DIALECT` lists, bound to this `where` and to each other.

    Each function sees only `where` and the functions before it: no builtins, no imports, no module state.

    Args:
        module: a chip's arithmetic, for example `snnkit.targets.loihi.arithmetic`.
        where: `where(c, a, b)` of the back end, for example `numpy.where` or `torch.where`.
        compiler: applied to every function, for example `numba.njit`.

    Returns:
        A namespace with one callable per name.
    """
    scope: dict[str, Any] = {"__builtins__": {}, "__name__": module.__name__, "where": where}
    for name in module.DIALECT:
        plain = getattr(module, name)
        bound = FunctionType(plain.__code__, scope, name, plain.__defaults__)
        bound.__module__ = module.__name__
        scope[name] = compiler(bound) if compiler is not None else bound
    return SimpleNamespace(**{name: scope[name] for name in module.DIALECT})
