"""The public names of snnkit in one place: what the packages below list in `__all__`, and nothing else.

`python -m snnkit.api` prints them with their signatures; `snnkit docs` makes pages of their docstrings. A name that is
not listed may change without notice.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

PACKAGES = (
    "snnkit.nn",
    "snnkit.surrogate",
    "snnkit.encoding",
    "snnkit.plasticity",
    "snnkit.quantization",
    "snnkit.models",
    "snnkit.data",
    "snnkit.data.files",
    "snnkit.training",
    "snnkit.quantization",
    "snnkit.export",
    "snnkit.export.nir",
    "snnkit.graph",
    "snnkit.passes",
    "snnkit.mapping",
    "snnkit.descriptor",
    "snnkit.targets",
    "snnkit.emulator",
    "snnkit.live",
    "snnkit.validation",
    "snnkit.viz",
    "snnkit.loops",
    "snnkit.kernels",
    "snnkit.errors",
)


def public() -> Iterator[tuple[str, str, Any]]:
    """(package, name, object) of everything public, in a fixed order."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in sorted(module.__all__):
            yield package, name, getattr(module, name)


def methods(cls: type) -> Iterator[tuple[str, Any]]:
    """(name, function or property) that a class itself defines for its users."""
    for name, value in sorted(vars(cls).items()):
        if name.startswith("_"):
            continue
        if isinstance(value, classmethod | staticmethod):
            value = value.__func__
        if inspect.isfunction(value) or isinstance(value, property):
            yield name, value


def signature(thing: Any) -> str:
    """How it is called, with annotations as they are written; empty for what is not called."""
    if isinstance(thing, property) or not callable(thing):
        return ""
    try:
        text = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return ""
    return text.replace("'", "").replace('"', "")


def listing() -> list[str]:
    """One line per public name and per method of public classes."""
    lines = []
    for package, name, thing in public():
        lines.append(f"{package}.{name}{signature(thing)}")
        if inspect.isclass(thing):
            lines += [f"{package}.{name}.{method}{signature(value)}" for method, value in methods(thing)]
    return lines


if __name__ == "__main__":
    print("\n".join(listing()))
