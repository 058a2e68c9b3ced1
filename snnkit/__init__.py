"""snnkit: train spiking networks on event data and export them, with proof, to neuromorphic chips.

Importing this package loads neither torch, numpy nor numba: sub-packages are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.8.0"

_SUBPACKAGES = (
    "bench",
    "data",
    "descriptor",
    "emulator",
    "encoding",
    "errors",
    "export",
    "graph",
    "kernels",
    "mapping",
    "nn",
    "passes",
    "plasticity",
    "quantization",
    "surrogate",
    "targets",
    "training",
    "validation",
    "viz",
)

__all__ = ["__version__"]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"snnkit.{name}")
    raise AttributeError(f"module 'snnkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBPACKAGES])
