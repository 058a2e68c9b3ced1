"""The public API: listed, typed, and documented with equation, shapes, units and source where they apply."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from snnkit.api import PACKAGES, listing, methods, public
from snnkit.nn import Neuron
from snnkit.nn.module import Stateful
from snnkit.surrogate import Surrogate

LISTING = Path(__file__).parent / "public_api.txt"

EVERYTHING = [(f"{package}.{name}", thing) for package, name, thing in public()]
FUNCTIONS = [(path, thing) for path, thing in EVERYTHING if inspect.isfunction(thing)]
CLASSES = [(path, thing) for path, thing in EVERYTHING if inspect.isclass(thing)]


def test_the_listing_is_up_to_date() -> None:
    """A change of the public API shows in this file's diff: `python -m snnkit.api > tests/public_api.txt`."""
    assert LISTING.read_text(encoding="utf-8").splitlines() == listing()


def test_every_public_package_is_listed() -> None:
    import importlib
    import pkgutil

    import snnkit

    private = {"snnkit._isolated", "snnkit.bench", "snnkit.cli", "snnkit._recipes"}
    found = {
        f"snnkit.{info.name}" for info in pkgutil.iter_modules(snnkit.__path__) if info.ispkg or info.name == "errors"
    }
    assert found - private == {p for p in PACKAGES if p.count(".") == 1}
    for package in PACKAGES:
        module = importlib.import_module(package)
        assert list(module.__all__) == list(dict.fromkeys(module.__all__)), package


# ----------------------------------------------------------------------------------------------------------- docstrings
def doc(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


def own_doc(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


@pytest.mark.parametrize(("path", "thing"), EVERYTHING, ids=[p for p, _ in EVERYTHING])
def test_every_public_name_has_a_docstring(path: str, thing: Any) -> None:
    if not callable(thing) or isinstance(thing, types.GenericAlias | types.ModuleType):
        return  # a constant or a type alias is explained beside it
    if typing.get_origin(thing) is not None:
        return
    text = own_doc(thing) if inspect.isclass(thing) else doc(thing)
    assert len(text) > 15, path
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing):
            assert not text.startswith(f"{thing.__name__}("), f"{path} has the docstring that dataclass makes"
        for name, method in methods(thing):
            inherited = any(name in vars(base) for base in thing.__mro__[1:])
            assert doc(method) or inherited, f"{path}.{name}"


EQUATION = re.compile(r"[←=Σ∂⌊≥·^]")
REFERENCE = re.compile(r"^`(\w+)` as a module")
SHAPE = re.compile(r"\[T, |\[B, |\[B\]|\[T\]|\[N\]|\[C|\[out|\[M\]")
SOURCE = re.compile(r"Source|doi:|arXiv:|jmlr|ISBN|https?://")


def public_layers() -> Iterator[tuple[str, type]]:
    for path, cls in CLASSES:
        if path.startswith("snnkit.nn.") and issubclass(cls, torch.nn.Module) and cls not in (Neuron, Stateful):
            yield path, cls


LAYERS = list(public_layers())
NO_EQUATION = {"Flatten", "OverTime"}
"""Layers that only move values."""

LAYERS_WITH_SOURCE = {"BatchNorm", "ThresholdBatchNorm", "Dropout", "LIF", "CubaLIF", "LI"}
"""Layers that somebody has published; the others are textbook synapses."""


@pytest.mark.parametrize(("path", "cls"), LAYERS, ids=[p for p, _ in LAYERS])
def test_layers_say_equation_shapes_and_errors(path: str, cls: type) -> None:
    text = own_doc(cls)
    name = path.rsplit(".", 1)[1]
    assert SHAPE.search(text), f"{path} names no shapes"
    assert name in NO_EQUATION or EQUATION.search(text), f"{path} has no equation"
    assert "Raises" in text or "ShapeError" in text, f"{path} names no errors"
    assert name not in LAYERS_WITH_SOURCE or SOURCE.search(text), f"{path} has no source"


MATHEMATICS = [
    (path, thing)
    for path, thing in EVERYTHING
    if callable(thing)
    and path.rsplit(".", 1)[0] in ("snnkit.surrogate", "snnkit.encoding", "snnkit.plasticity")
    and not (inspect.isclass(thing) and (inspect.isabstract(thing) or thing is Surrogate))
]
PLAIN = {
    "snnkit.surrogate.by_name", "snnkit.surrogate.get", "snnkit.encoding.Encoder", "snnkit.encoding.describe",
    "snnkit.encoding.from_description", "snnkit.plasticity.Rule", "snnkit.plasticity.learning",
    "snnkit.surrogate.spike", "snnkit.plasticity.Bounds", "snnkit.plasticity.attached",
}  # fmt: skip
"""Names without mathematics of their own."""


@pytest.mark.parametrize(("path", "thing"), MATHEMATICS, ids=[p for p, _ in MATHEMATICS])
def test_mathematics_has_its_equation_and_source(path: str, thing: Any) -> None:
    if path in PLAIN:
        return
    text = own_doc(thing) if inspect.isclass(thing) else doc(thing)
    if found := REFERENCE.match(text):
        text += doc(getattr(inspect.getmodule(thing), found[1]))
    assert EQUATION.search(text), f"{path} has no equation"
    module = inspect.getdoc(inspect.getmodule(thing)) or ""
    assert SOURCE.search(text) or SOURCE.search(module), f"{path} has no source"


LOSSES = ("van_rossum", "first_spike_time", "FiringRateBand", "SynapticOperationBudget", "ClassificationLoss")


@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_their_source(name: str) -> None:
    from snnkit import training

    text = doc(getattr(training, name))
    assert SOURCE.search(text)
    assert SHAPE.search(text) or "mean" in text


@pytest.mark.parametrize(("path", "function"), FUNCTIONS, ids=[p for p, _ in FUNCTIONS])
def test_functions_explain_their_arguments(path: str, function: Callable[..., Any]) -> None:
    text = doc(function)
    names = [n for n in inspect.signature(function).parameters if n not in ("args", "kwargs")]
    if len(names) < 3:
        return  # the summary line says it
    missing = [n for n in names if not re.search(rf"\b{re.escape(n)}\b", text)]
    assert not missing, f"{path} does not explain {', '.join(missing)}"


# ---------------------------------------------------------------------------------------------------------------- types
def bare_any(hint: Any) -> bool:
    """Whether Any stands for itself: not inside an array's type, nor as the values of a mapping (JSON)."""
    if hint is Any:
        return True
    origin = typing.get_origin(hint)
    name = getattr(origin, "__name__", "")
    if name in ("ndarray", "dtype", "dict", "Mapping", "MutableMapping", "Callable", "NamedTuple"):
        return False
    return any(bare_any(a) for a in typing.get_args(hint))


STATES = {"state", "states", "like", "memory", "params", "outputs", "return"}
"""A state is whatever NamedTuple its layer defines, and users' own layers have their own; outputs are Lightning's."""


def called(path: str, thing: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    if inspect.isfunction(thing):
        yield path, thing
    if inspect.isclass(thing) and not issubclass(thing, tuple):
        for name, method in vars(thing).items():
            if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
                yield f"{path}.{name}", method


CALLS = [call for path, thing in EVERYTHING for call in called(path, thing)]


@pytest.mark.parametrize(("path", "function"), CALLS, ids=[p for p, _ in CALLS])
def test_public_signatures_are_typed(path: str, function: Callable[..., Any]) -> None:
    signature = inspect.signature(function)
    raw = inspect.get_annotations(function)
    for name, parameter in signature.parameters.items():
        if name in ("self", "cls") or name.startswith("_"):
            continue
        assert name in raw, f"{path}: {name} has no type"
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or name in STATES:
            continue
        assert raw[name] not in ("Any", Any), f"{path}: {name} is Any"
    if function.__name__ != "__init__":
        assert "return" in raw, f"{path} has no return type"
    try:
        hints = typing.get_type_hints(function)
    except NameError:
        return  # a name that is imported for type checkers only
    leaks = [n for n, h in hints.items() if n not in STATES and bare_any(h)]
    leaks = [n for n in leaks if n in signature.parameters and signature.parameters[n].kind not in (2, 4)]
    assert not leaks, f"{path}: Any in {', '.join(leaks)}"
