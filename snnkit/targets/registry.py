"""Which chips there are: the packages beside this file, and those that others offer as entry points.

Other packages join with an entry point of the group `snnkit.targets` that names a `Target`; `register` adds one for
this process. Listing imports no chip.
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from snnkit.errors import UsageError, did_you_mean
from snnkit.targets import session
from snnkit.targets.base import Target

GROUP = "snnkit.targets"
_registered: dict[str, Target] = {}


def _built_in() -> list[str]:
    folder = str(Path(__file__).parent)
    return [m.name for m in pkgutil.iter_modules([folder]) if m.ispkg and not m.name.startswith("_")]


def _offered() -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group=GROUP) if not e.value.startswith("snnkit.")}


def names() -> list[str]:
    """All chips, sorted."""
    return sorted({*_built_in(), *_offered(), *_registered})


def register(target: Target) -> None:
    """Add a chip for this process and those it starts, such as one that is being written; replaces one registered.

    Raises:
        UsageError: an installed chip has that name.
    """
    if target.name in {*_built_in(), *_offered()}:
        raise UsageError(f"there is a target {target.name!r} already", fix="give yours another name")
    _registered[target.name] = target
    session.add(target.name, target.package)


def unregister(name: str) -> None:
    """Take back `register`."""
    _registered.pop(name, None)
    session.remove(name)


def get(name: str) -> Target:
    """The chip of that name.

    Raises:
        UsageError: there is none, or an entry point does not give a `Target`.
    """
    if name in _registered:
        target: object = _registered[name]
    elif name in _built_in():
        target = importlib.import_module(f"snnkit.targets.{name}").TARGET
    else:
        offered = _offered()
        if name not in offered:
            raise UsageError(
                f"there is no target {name!r}{did_you_mean(name, names())}", fix=f"targets: {', '.join(names())}"
            )
        target = offered[name].load()
    if not isinstance(target, Target):
        raise UsageError(f"target {name!r} is a {type(target).__name__}, not a snnkit.targets.base.Target")
    return target


def resolve(choice: str) -> list[Target]:
    """The chips of a `--target` option: a name, names with commas, or `all`."""
    wanted = names() if choice == "all" else [c.strip() for c in choice.split(",") if c.strip()]
    if not wanted:
        raise UsageError(f"{choice!r} names no target", fix=f"all, or some of: {', '.join(names())}")
    return [get(name) for name in wanted]
