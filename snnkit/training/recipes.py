"""Recipes: YAML files, shipped with the package or the user's own; reading them and changing single values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from snnkit.errors import RecipeError, UsageError, did_you_mean

TOP_KEYS = ("seed_everything", "model", "data", "trainer")


class _Loader(yaml.SafeLoader):
    """YAML without objects, with the floats of YAML 1.2 (2e-3 is a number) and without duplicate keys."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def recipes_folder() -> Path:
    """Where the shipped recipes are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "_recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def names() -> list[str]:
    """Names of the shipped recipes, such as `nmnist/loihi`."""
    root = recipes_folder()
    return sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.rglob("*.yaml"))


def find(name: str | Path) -> Path:
    """The file of a recipe given by path or by shipped name.

    Raises:
        RecipeError: neither a file nor a shipped recipe.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = names()
    plain = str(name).removesuffix(".yaml").removeprefix("recipes/")
    if plain in known:
        return recipes_folder() / f"{plain}.yaml"
    raise RecipeError(
        f"there is no recipe {str(name)!r}{did_you_mean(plain, known)}",
        fix="give a YAML file or one of: " + ", ".join(known),
    )


def describe(path: Path) -> str:
    """A recipe's first comment line."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").strip()
        if line.strip():
            break
    return ""


def parse(text: str, source: str = "recipe") -> dict[str, Any]:
    """A recipe's text as a dictionary.

    Raises:
        RecipeError: no YAML, a duplicate key, or no mapping; names file and line.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(
            f"{source}{where}: {getattr(error, 'problem', None) or error}", fix="mend the YAML"
        ) from error
    if not isinstance(value, dict):
        raise RecipeError(f"{source} holds no settings", fix="a recipe is a YAML mapping with " + ", ".join(TOP_KEYS))
    for key in value:
        if key not in TOP_KEYS:
            raise RecipeError(
                f"{source}: unknown key {key!r}{did_you_mean(str(key), TOP_KEYS)}", fix="known: " + ", ".join(TOP_KEYS)
            )
    return value


def load(recipe: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A recipe as a dictionary: from a path, a shipped name, or a mapping (copied)."""
    if isinstance(recipe, Mapping):
        return parse(dump(recipe))
    path = find(recipe)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is no text file ({error.reason})", fix="give a YAML file") from error
    return parse(text, str(path))


def dump(recipe: Mapping[str, Any]) -> str:
    """A recipe as YAML text."""
    return yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def split_words(rest: Sequence[str]) -> tuple[list[str], list[tuple[str, Any]]]:
    """A command line's words as (plain words, settings): `--key.sub value` or `--key.sub=value`; values are YAML.

    Raises:
        UsageError: a setting without a value, or a value that is no YAML.
    """
    plain: list[str] = []
    pairs: list[tuple[str, Any]] = []
    words = list(rest)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or word == "--":
            plain.append(word)
            continue
        key, equals, text = word[2:].partition("=")
        if not equals:
            if not words or words[0].startswith("--"):
                raise UsageError(f"--{key} has no value", fix=f"give --{key} VALUE")
            text = words.pop(0)
        try:
            pairs.append((key, yaml.load(text, Loader=_Loader)))
        except yaml.YAMLError as error:
            raise UsageError(f"--{key}: {text!r} is no YAML value", fix="quote special signs") from error
    return plain, pairs


_HOMES = {"data": "snnkit.data", "model.net": "snnkit.models"}
"""Where classes are looked for that are given by name alone."""


def _class_named(key: str, value: Any) -> tuple[str, Any]:
    if key not in _HOMES or not isinstance(value, str):
        return key, value
    return f"{key}.class_path", value if "." in value else f"{_HOMES[key]}.{value}"


def override(recipe: dict[str, Any], changes: Sequence[tuple[str, Any]] | Mapping[str, Any]) -> dict[str, Any]:
    """Set values by dotted key, in place; `init_args` may be left out of a key.

    `model.net.channels` means `model.net.init_args.channels` where `model.net` has a class_path. `data NAME` and
    `model.net NAME` choose a class of `snnkit.data` or `snnkit.models` by its name alone (or by its class_path).

    Raises:
        RecipeError: the first part is no top key, or a part leads into something that holds no settings.
    """
    pairs = [_class_named(*pair) for pair in (changes.items() if isinstance(changes, Mapping) else changes)]
    # Classes first: they decide which arguments there are, and a new one has none of the old one's.
    for key, value in sorted(pairs, key=lambda pair: not pair[0].endswith("class_path")):
        parts = key.split(".")
        if parts[0] not in TOP_KEYS:
            raise RecipeError(
                f"unknown option --{key}{did_you_mean(parts[0], TOP_KEYS)}",
                fix="settings start with " + ", ".join(f"--{k}" for k in TOP_KEYS),
            )
        here: Any = recipe
        for i, part in enumerate(parts):
            if not isinstance(here, dict):
                raise RecipeError(f"--{key}: {'.'.join(parts[:i])} holds no settings")
            if "class_path" in here and part not in ("class_path", "init_args"):
                here = here.setdefault("init_args", {})
            if i == len(parts) - 1:
                if part == "class_path" and here.get(part) not in (None, value):
                    here.pop("init_args", None)  # another class has other arguments
                here[part] = value
            else:
                if here.get(part) is None:
                    here[part] = {}
                here = here[part]
    return recipe
