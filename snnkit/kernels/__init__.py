"""Recurrences over whole sequences: one folder each, the step-by-step reference first, fused kernels beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnkit.kernels.compiled import warm_up
    from snnkit.kernels.layout import reference_only
    from snnkit.kernels.memory import keep_freed_memory, release_memory

_HOME = {
    "reference_only": "snnkit.kernels.layout",
    "keep_freed_memory": "snnkit.kernels.memory",
    "release_memory": "snnkit.kernels.memory",
    "warm_up": "snnkit.kernels.compiled",
}

__all__ = ["keep_freed_memory", "reference_only", "release_memory", "warm_up"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'snnkit.kernels' has no attribute {name!r}")
