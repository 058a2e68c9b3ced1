"""Surrogate gradients: one file each, with formula, integral, default width and source, torch, numba and Triton forms.

>>> from snnkit import surrogate
>>> surrogate.get("arctan")
Arctan(alpha=2.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snnkit.errors import ParameterError, did_you_mean
from snnkit.surrogate.arctan import Arctan
from snnkit.surrogate.base import Surrogate
from snnkit.surrogate.fast_sigmoid import FastSigmoid
from snnkit.surrogate.gaussian import Gaussian
from snnkit.surrogate.piecewise_linear import PiecewiseLinear
from snnkit.surrogate.sigmoid import Sigmoid
from snnkit.surrogate.smooth import Smooth
from snnkit.surrogate.triangle import Triangle

if TYPE_CHECKING:
    from snnkit.surrogate.heaviside import spike

SURROGATES: dict[str, type[Surrogate]] = {
    cls.name: cls for cls in (Arctan, Sigmoid, FastSigmoid, Triangle, PiecewiseLinear, Gaussian)
}
"""Every surrogate by name; the position is its `kind`."""


def get(surrogate: str | Surrogate, alpha: float | None = None) -> Surrogate:
    """The surrogate of that name, or the one given.

    Args:
        surrogate: a name (`"arctan"`, `"sigmoid"`, `"fast_sigmoid"`, `"triangle"`, `"piecewise_linear"`,
            `"gaussian"`) or a `Surrogate`, which is returned as it is.
        alpha: steepness for a name; the surrogate's own default where None.

    Raises:
        ParameterError: no such name, or a steepness for a surrogate that already has one.
    """
    if isinstance(surrogate, Surrogate):
        if alpha is not None:
            raise ParameterError(
                f"alpha={alpha} beside {surrogate!r}, which has its own steepness", fix="give the name, or no alpha"
            )
        return surrogate
    if surrogate not in SURROGATES:
        raise ParameterError(
            f"unknown surrogate {surrogate!r}{did_you_mean(str(surrogate), SURROGATES)}",
            fix="use one of " + ", ".join(SURROGATES),
        )
    cls = SURROGATES[surrogate]
    return cls() if alpha is None else cls(alpha=alpha)


def __getattr__(name: str) -> Any:
    if name == "spike":  # the only part that needs torch
        import importlib

        return importlib.import_module("snnkit.surrogate.heaviside").spike
    raise AttributeError(f"module 'snnkit.surrogate' has no attribute {name!r}")


__all__ = [
    "SURROGATES",
    "Arctan",
    "FastSigmoid",
    "Gaussian",
    "PiecewiseLinear",
    "Sigmoid",
    "Smooth",
    "Surrogate",
    "Triangle",
    "get",
    "spike",
]
