"""Chips. Importing this package imports none of them; `get("loihi")` does."""

from snnkit.targets.base import FILES, Target
from snnkit.targets.capabilities import Capabilities
from snnkit.targets.registry import get, names, register, resolve, unregister

__all__ = ["FILES", "Capabilities", "Target", "get", "names", "register", "resolve", "unregister"]
