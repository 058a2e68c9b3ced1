"""The strict reader of recipes: YAML with `class_path` / `init_args`, checked before anything is built.

A recipe has the layout of a LightningCLI configuration. It is read by this module instead of LightningCLI because a
recipe must never run code that it names: a class is looked up only inside snnkit (and `torch.nn` for layers), or in a
module that the user allowed; and because a misspelt key is answered with its full path and the nearest known one.

Reading has two steps. `resolve` checks keys and types against the constructors' signatures and fills in the defaults:
the result is plain JSON, which is what a run keeps. `build` makes the objects.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union

from snnkit.errors import CodeNotAllowedError, RecipeError, SnnkitError, did_you_mean
from snnkit.training.classes import find_class, parameters

_PLAIN = (bool, int, float, str, type(None))


class Reader:
    """Checks values against types. `allow` are the modules whose code a recipe may name."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self.allow = tuple(allow)

    def arguments(
        self, target: Any, given: Any, key: str, links: Mapping[str, Any] | None = None, skip: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The complete keyword arguments of `target` as plain values.

        Args:
            target: a class or function; its signature is what is allowed.
            given: mapping of arguments from the recipe.
            key: where this is in the recipe.
            links: values for parameters of these names where the recipe gives none.
            skip: parameters that are filled in by the caller.

        Raises:
            RecipeError: an unknown key, a wrong type, a missing value; names the key.
        """
        given = {} if given is None else given
        if not isinstance(given, Mapping):
            raise RecipeError(f"{key} is {given!r}", fix=f"{key} is a mapping of settings")
        known = {n: p for n, p in parameters(target).items() if n not in skip}
        for name in given:
            if name not in known:
                raise RecipeError(
                    f"unknown key {_join(key, name)}{did_you_mean(str(name), known)}",
                    fix="known here: " + (", ".join(known) or "nothing"),
                )
        out: dict[str, Any] = {}
        for name, p in known.items():
            here = _join(key, name)
            if p.kind is inspect.Parameter.VAR_POSITIONAL:
                if name in given:
                    out[name] = self.value(given[name], list[_layer_type(target, p.annotation)], here)  # type: ignore[misc]
            elif name in given:
                out[name] = self.value(given[name], p.annotation, here)
            elif links and name in links:
                out[name] = self.value(links[name], p.annotation, here)
            elif p.default is not inspect.Parameter.empty:
                plain = _plain(p.default)
                if plain is not inspect.Parameter.empty:
                    out[name] = plain
            else:
                short = here.replace(".init_args.", ".")
                raise RecipeError(f"{here} is missing", fix=f"add it to the recipe, or give --{short} VALUE")
        return out

    def spec(self, value: Any, base: Any, key: str, links: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A complete `{class_path, init_args}` for an object of class `base`."""
        if isinstance(value, str):
            value = {"class_path": value}
        if not isinstance(value, Mapping) or "class_path" not in value:
            raise RecipeError(f"{key} is {_show(value)}", fix=f"{key} needs class_path: and init_args:")
        for name in value:
            if name not in ("class_path", "init_args"):
                raise RecipeError(
                    f"unknown key {key}.{name}{did_you_mean(str(name), ('class_path', 'init_args'))}",
                    fix=f"arguments of the class belong under {key}.init_args",
                )
        cls = find_class(value["class_path"], key, self.allow)
        if inspect.isclass(base) and not issubclass(cls, base):
            raise RecipeError(f"{key}: {value['class_path']} is no {base.__module__}.{base.__name__}")
        args = self.arguments(cls, value.get("init_args"), f"{key}.init_args", links)
        return {"class_path": value["class_path"], "init_args": args}

    def value(self, value: Any, hint: Any, key: str) -> Any:
        """`value` as a plain value of type `hint`.

        Raises:
            RecipeError: it is of another type; names the key.
        """
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if hint is Any or hint is inspect.Parameter.empty or isinstance(hint, typing.TypeVar):
            return _plain_or_fail(value, key)
        if origin in (Union, types.UnionType):
            return self._union(value, args, hint, key)
        if origin is Literal:
            if value not in args or isinstance(value, bool) != isinstance(args[0], bool):
                options = [str(a) for a in args]
                raise RecipeError(
                    f"{key} is {value!r}{did_you_mean(str(value), options)}", fix="one of " + ", ".join(options)
                )
            return value
        if origin is typing.Annotated:
            return self.value(value, args[0], key)
        if origin is tuple and args and args[-1] is not Ellipsis:
            items = self._items(value, key)
            if len(items) != len(args):
                raise RecipeError(f"{key} has {len(items)} values", fix=f"{key} needs {len(args)}")
            return [self.value(v, a, f"{key}[{i}]") for i, (v, a) in enumerate(zip(items, args))]
        if inspect.isclass(origin) and issubclass(origin, Mapping):
            if not isinstance(value, Mapping):
                raise _type_error(key, value, "a mapping")
            return {str(k): self.value(v, args[1] if len(args) > 1 else Any, f"{key}.{k}") for k, v in value.items()}
        if inspect.isclass(origin) and issubclass(origin, Iterable):
            item = args[0] if args else Any
            return [self.value(v, item, f"{key}[{i}]") for i, v in enumerate(self._items(value, key))]
        if hint in (list, tuple, Sequence):
            return [_plain_or_fail(v, f"{key}[{i}]") for i, v in enumerate(self._items(value, key))]
        if hint in _PLAIN or hint is None:
            return self._scalar(value, type(None) if hint is None else hint, key)
        if inspect.isclass(hint) and issubclass(hint, Path):
            return self._scalar(value, str, key)
        if dataclasses.is_dataclass(hint) and not (isinstance(value, Mapping) and "class_path" in value):
            return self.arguments(hint, value, key)
        if inspect.isclass(hint):
            return self.spec(value, hint, key)
        raise RecipeError(f"{key} cannot be given in a recipe (its type is {hint})")

    def _items(self, value: Any, key: str) -> list[Any]:
        if isinstance(value, (list, tuple)):
            return list(value)
        raise _type_error(key, value, "a list")

    def _union(self, value: Any, options: tuple[Any, ...], hint: Any, key: str) -> Any:
        if value is None and type(None) in options:
            return None
        # Exact scalar types first, so that 2 stays an integer in `float | int` and a name a name in `str | Class`.
        for option in options:
            if option in _PLAIN and type(value) is option:
                return value
        problems: list[SnnkitError] = []
        for option in options:
            if option is type(None):
                continue
            try:
                return self.value(value, option, key)
            except RecipeError as error:
                problems.append(error)
        # A mapping with a mistake inside is better explained by the mistake than by the union.
        inner = [p for p in problems if isinstance(p, CodeNotAllowedError) or (isinstance(value, Mapping) and p.fix)]
        if inner or len(problems) == 1:
            raise (inner or problems)[0]
        raise _type_error(key, value, " or ".join(_name(o) for o in options))

    def _scalar(self, value: Any, kind: Any, key: str) -> Any:
        if kind is type(None) and value is None:
            return None
        if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if kind is str and isinstance(value, (str, os.PathLike)):
            return os.fspath(value)
        if kind in (int, bool) and type(value) is kind:
            return value
        raise _type_error(key, value, _name(kind))


def build(value: Any, hint: Any, reader: Reader) -> Any:
    """The object that a resolved value describes, for a parameter of type `hint`."""
    if isinstance(value, Mapping) and "class_path" in value:
        cls = find_class(value["class_path"], "class_path", reader.allow)
        return construct(cls, value.get("init_args", {}), reader)
    for option in _options(hint):
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return construct(option, value, reader)
    if isinstance(value, (list, tuple)):
        tuples = any(typing.get_origin(o) is tuple or o is tuple for o in _options(hint))
        items = [build(v, _item(hint, i), reader) for i, v in enumerate(value)]
        return tuple(items) if tuples else items
    return value


def construct(target: Any, arguments: Mapping[str, Any], reader: Reader, **extra: Any) -> Any:
    """Call `target` with resolved arguments, building the objects among them."""
    positional: list[Any] = []
    named = dict(extra)
    known = parameters(target)
    for name, value in arguments.items():
        p = known[name]
        if p.kind is inspect.Parameter.VAR_POSITIONAL:
            positional += [build(v, _layer_type(target, p.annotation), reader) for v in value]
        else:
            named[name] = build(value, p.annotation, reader)
    return target(*positional, **named)


def _layer_type(target: Any, annotation: Any) -> Any:
    """The item type of `*args`: torch.nn.Sequential leaves it open, and its items are layers."""
    import torch

    if inspect.isclass(target) and issubclass(target, torch.nn.Sequential):
        return torch.nn.Module
    return annotation


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def _item(hint: Any, i: int) -> Any:
    for option in _options(hint):
        args = [a for a in typing.get_args(option) if a is not Ellipsis]
        if args:
            return args[i] if i < len(args) and typing.get_origin(option) is tuple else args[0]
    return Any


def _plain(value: Any) -> Any:
    """A default as a plain value; `Parameter.empty` where it has no plain form (it then stays a default)."""
    if isinstance(value, _PLAIN):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, (list, tuple)):
        items = [_plain(v) for v in value]
        return inspect.Parameter.empty if inspect.Parameter.empty in items else items
    if isinstance(value, Mapping):
        pairs = {str(k): _plain(v) for k, v in value.items()}
        return inspect.Parameter.empty if inspect.Parameter.empty in pairs.values() else pairs
    return inspect.Parameter.empty


def _plain_or_fail(value: Any, key: str) -> Any:
    plain = _plain(value)
    if plain is inspect.Parameter.empty:
        raise _type_error(key, value, "a number, a text, a list or a mapping")
    if isinstance(plain, dict) and "class_path" in plain:
        raise RecipeError(f"{key} takes no class", fix="give a number, a text, a list or a mapping")
    return plain


def _type_error(key: str, value: Any, wanted: str) -> RecipeError:
    return RecipeError(f"{key} is {_show(value)}, of type {type(value).__name__}", fix=f"{key} must be {wanted}")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _name(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(kind) or getattr(kind, "__name__", None) or str(kind)


def _join(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


__all__ = ["Reader", "build", "construct", "find_class", "parameters"]
