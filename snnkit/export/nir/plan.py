"""The plan in the metadata of our files: its key and version, and what makes plain values of a graph's facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from snnkit.export.nir.model import Array

FORMAT = 1
"""Version of the plan."""
KEY = "snnkit"
"""Its name in the metadata of the graph, and of what belongs to it in the metadata of nodes."""


def to_json(value: Mapping[str, Any]) -> str:
    """Facts as one line of JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def rename(plan: Any, paths: Mapping[str, str]) -> Any:
    """The plan with the paths of nodes that moved into a nested graph."""
    if isinstance(plan, dict):
        return {k: paths.get(v, v) if k == "node" and isinstance(v, str) else rename(v, paths) for k, v in plan.items()}
    return [rename(v, paths) for v in plan] if isinstance(plan, list) else plan


def per_channel(bias: Array, channels: int) -> Array | None:
    """The bias of each channel, or None if it varies within one."""
    table = bias.reshape(channels, -1)
    return table[:, 0] if bool(np.all(table == table[:, :1])) else None


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold of a mapping, without what it cannot."""

    def of(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): of(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [of(v) for v in value]
        if isinstance(value, np.generic):
            return value.item()
        return value if value is None or isinstance(value, str | int | float | bool) else str(value)

    return {str(k): of(v) for k, v in values.items()}
