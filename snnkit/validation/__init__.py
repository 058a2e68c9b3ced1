"""Validation: torch model ↔ integer graph ↔ emulator, first divergence, reports."""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "ChipGraph": "pipeline",
    "check_graph": "pipeline",
    "check_model": "pipeline",
    "deploy": "runs",
    "graph_to_chip": "pipeline",
    "to_chip": "pipeline",
    "validate": "threeway",
    "validate_run": "runs",
    "write_descriptor": "pipeline",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"snnkit.validation.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'snnkit.validation' has no attribute {name!r}")
