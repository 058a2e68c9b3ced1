"""Classes that a recipe names, and the parameters of their constructors."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import typing
from collections.abc import Iterable
from typing import Any

from snnkit.errors import CodeNotAllowedError, RecipeError, did_you_mean


def find_class(path: Any, key: str, allow: Iterable[str] = ()) -> type:
    """The class named by a `class_path`.

    Only classes defined in snnkit, layers of `torch.nn`, and classes of the modules in `allow` (and their
    sub-modules) are looked up; nothing else is imported.

    Raises:
        CodeNotAllowedError: the path leads elsewhere.
        RecipeError: there is no such class.
    """
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")) or "." not in path:
        raise RecipeError(
            f"{key}.class_path is {path!r}", fix="give a dotted path such as snnkit.models.ConvClassifier"
        )
    allowed = tuple(allow)
    module_name, name = path.rsplit(".", 1)
    user_code = any(module_name == a or module_name.startswith(a + ".") for a in allowed)
    ours = module_name == "snnkit" or module_name.startswith("snnkit.")
    if not (user_code or ours or module_name == "torch.nn"):
        raise CodeNotAllowedError(
            f"{key} names {path}, a class outside snnkit",
            why="using it runs code of that module",
            fix=f"if you trust it, add --allow-code {module_name}",
        )
    if user_code and (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # a console script does not see modules that lie in the working folder
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise RecipeError(f"{key}: cannot import {module_name} ({error})", fix="check the class_path") from error
    cls = getattr(module, name, None)
    if not inspect.isclass(cls):
        classes = [n for n in dir(module) if inspect.isclass(getattr(module, n, None))]
        raise RecipeError(f"{key}: {module_name} has no class {name!r}{did_you_mean(name, classes)}")
    home = cls.__module__
    if not user_code and not (home.split(".")[0] == "snnkit" or home.startswith("torch.nn.")):
        raise CodeNotAllowedError(
            f"{key} names {path}, which is defined in {home}", fix="name a class that snnkit defines"
        )
    return cls


def parameters(target: Any) -> dict[str, inspect.Parameter]:
    """Named parameters of a constructor, with evaluated annotations; `*args` is kept under its name."""
    init = target.__init__ if inspect.isclass(target) else target
    try:
        hints = typing.get_type_hints(init)
    except (NameError, TypeError):
        hints = {}
    found = {}
    for name, p in inspect.signature(target).parameters.items():
        if p.kind is not inspect.Parameter.VAR_KEYWORD:
            found[name] = p.replace(annotation=hints.get(name, Any))
    return found
