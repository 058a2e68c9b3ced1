"""The bridge from torch to the chip half: `to_graph` turns a trained model into a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnkit.export.torch_export import to_graph

__all__ = ["to_graph"]


def __getattr__(name: str) -> Any:
    if name == "to_graph":
        from snnkit.export.torch_export import to_graph

        return to_graph
    raise AttributeError(f"module 'snnkit.export' has no attribute {name!r}")
