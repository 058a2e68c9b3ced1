"""Targets registered for a process and the processes that it starts: which package holds their files.

The emulator looks here, so this sees no chip, no graph and no registry. The table travels to child processes in an
environment variable.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

VARIABLE = "SNNKIT_SESSION_TARGETS"
_packages: dict[str, str] = {}


def packages() -> dict[str, str]:
    """Package by target name."""
    return {**json.loads(os.environ.get(VARIABLE, "{}")), **_packages}


def add(name: str, package: str) -> None:
    """Register a target's package."""
    _packages[name] = package


def remove(name: str) -> None:
    """Forget a target's package, if there is one."""
    _packages.pop(name, None)


def environment() -> dict[str, str]:
    """Variables with which a child process knows the same targets."""
    return {VARIABLE: json.dumps(packages())} if packages() else {}


def folders() -> list[str]:
    """Folders that a child process needs on its path to import the packages, each once."""
    found: dict[str, None] = {}
    for package in packages().values():
        top = package.partition(".")[0]
        spec = importlib.util.find_spec(top)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            found[str(Path(place).resolve().parent)] = None
    return list(found)
