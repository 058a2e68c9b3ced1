"""Who emulates a target: one of our own folders, one of this session, or an installed package."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from snnkit.errors import DescriptorError
from snnkit.targets import session


def emulate_module(name: str) -> Any:
    """The `emulate` module of a target: our own folder, one of this session, or an entry point of `snnkit.targets`."""
    module = f"snnkit.targets.{name}.emulate"
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None and name in session.packages():
        module = f"{session.packages()[name]}.emulate"
    elif found is None:
        from importlib.metadata import entry_points

        for entry in entry_points(group="snnkit.targets", name=name):
            module = f"{entry.value.partition(':')[0]}.emulate"
            break
        else:
            raise DescriptorError(
                f"manifest.json: nothing here can emulate the target {name!r}",
                fix="install the package that provides this target",
            )
    return importlib.import_module(module)
