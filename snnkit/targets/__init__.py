"""Chips. Importing this package imports none of them; `get("loihi")` does."""

from snnkit.targets.base import FILES, Target
from snnkit.targets.registry import get, names, resolve

__all__ = ["FILES", "Target", "get", "names", "resolve"]
