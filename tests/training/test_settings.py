"""The strict reader: keys, types, classes; nothing a recipe names runs unless it is allowed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch

from snnkit.errors import CodeNotAllowedError, RecipeError
from snnkit.training import recipes
from snnkit.training.settings import Reader, build, construct, find_class


@dataclass(frozen=True)
class Inner:
    size: int = 2
    name: str = "x"


class Thing:
    def __init__(
        self,
        n: int,
        rate: float = 0.5,
        kind: Literal["a", "b"] = "a",
        shape: tuple[int, int] = (1, 2),
        values: Sequence[float] | float = 1.0,
        inner: Inner | None = None,
        layer: torch.nn.Module | None = None,
        flag: bool = False,
    ) -> None:
        self.n, self.rate, self.kind, self.shape, self.values = n, rate, kind, shape, values
        self.inner, self.layer, self.flag = inner, layer, flag


def test_defaults_are_filled_in_and_objects_built() -> None:
    reader = Reader()
    layer = {"class_path": "snnkit.nn.Linear", "init_args": {"in_features": 3, "out_features": 2}}
    args = reader.arguments(Thing, {"n": 1, "inner": {"size": 5}, "layer": layer, "rate": 2}, "thing")
    assert args["rate"] == 2.0
    assert type(args["rate"]) is float
    assert args["inner"] == {"size": 5, "name": "x"}
    assert args["layer"]["init_args"]["bias"] is True
    thing = construct(Thing, args, reader)
    assert thing.inner == Inner(5)
    assert thing.shape == (1, 2)
    assert tuple(thing.layer.weight.shape) == (2, 3)
    assert reader.arguments(Thing, args, "thing") == args  # resolving again changes nothing


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"m": 1}, r"unknown key thing\.m"),
        ({"n": 1, "rat": 1}, r"unknown key thing\.rat \(did you mean 'rate'\?\)"),
        ({}, r"thing\.n is missing"),
        ({"n": 1.5}, r"thing\.n is 1\.5, of type float"),
        ({"n": True}, r"thing\.n is True, of type bool"),
        ({"n": 1, "kind": "c"}, r"thing\.kind is 'c'"),
        ({"n": 1, "shape": [1, 2, 3]}, r"thing\.shape has 3 values"),
        ({"n": 1, "shape": [1, "x"]}, r"thing\.shape\[1\] is 'x'"),
        ({"n": 1, "values": "many"}, r"thing\.values is 'many'"),
        ({"n": 1, "inner": {"siez": 1}}, r"unknown key thing\.inner\.siez \(did you mean 'size'\?\)"),
        ({"n": 1, "flag": 1}, r"thing\.flag is 1"),
        ({"n": 1, "layer": {"class_path": "snnkit.nn.Liner"}}, r"no class 'Liner' \(did you mean 'Linear'\?\)"),
        (
            {"n": 1, "layer": {"class_path": "snnkit.nn.Linear", "init_args": {"in_features": 3}}},
            r"thing\.layer\.init_args\.out_features is missing",
        ),
        ({"n": 1, "layer": {"class_path": "snnkit.data.Augment"}}, r"is no torch\.nn\.modules\.module\.Module"),
        ({"n": 1, "layer": {"class_path": "snnkit.nn.LI", "args": {}}}, r"unknown key thing\.layer\.args"),
    ],
)
def test_mistakes_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Reader().arguments(Thing, given, "thing")


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "torch.load",
        "snnkit.training.checkpoint.io.BytesIO",
        "evil.Net",
    ],
)
def test_classes_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(RecipeError):
        find_class(path, "model.net")


def test_a_class_that_snnkit_merely_imports_is_refused() -> None:
    with pytest.raises(CodeNotAllowedError, match="defined in"):
        find_class("snnkit.training.checkpoint.Path", "model.net")


def test_own_code_needs_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "my_network_for_settings.py"
    module.write_text(
        "import torch\nclass Net(torch.nn.Linear):\n    def __init__(self, n: int):\n        super().__init__(n, n)\n"
    )
    monkeypatch.chdir(tmp_path)
    spec = {"class_path": "my_network_for_settings.Net", "init_args": {"n": 3}}
    with pytest.raises(CodeNotAllowedError, match="--allow-code my_network_for_settings"):
        Reader().spec(spec, torch.nn.Module, "model.net")
    assert "my_network_for_settings" not in sys.modules
    path = list(sys.path)
    try:
        reader = Reader(["my_network_for_settings"])
        net = build(reader.spec(spec, torch.nn.Module, "model.net"), None, reader)
    finally:
        sys.path[:] = path
    assert net.in_features == 3


def test_sequential_of_layers() -> None:
    reader = Reader()
    layers = [
        {"class_path": "snnkit.nn.Flatten"},
        {"class_path": "snnkit.nn.Linear", "init_args": {"in_features": 8, "out_features": 2}},
        {"class_path": "snnkit.nn.LIF", "init_args": {"decay": 0.5, "surrogate": "sigmoid"}},
    ]
    spec = reader.spec({"class_path": "torch.nn.Sequential", "init_args": {"args": layers}}, torch.nn.Module, "net")
    net = build(spec, None, reader)
    assert [type(m).__name__ for m in net] == ["Flatten", "Linear", "LIF"]
    assert net(torch.zeros(2, 3, 2, 2, 2)).shape == (2, 3, 2)


def test_yaml_numbers_duplicates_and_top_keys() -> None:
    assert recipes.parse("seed_everything: 1\nmodel: {lr: 2e-3}")["model"]["lr"] == 2e-3
    with pytest.raises(RecipeError, match="stands twice"):
        recipes.parse("model: {a: 1, a: 2}")
    with pytest.raises(RecipeError, match="did you mean 'trainer'"):
        recipes.parse("trainr: {}")
    with pytest.raises(RecipeError, match="line 2"):
        recipes.parse("model: {}\ndata: [1")
    with pytest.raises(RecipeError, match="could not determine a constructor"):
        recipes.parse("model: !!python/object/apply:os.system ['true']")


def test_overrides() -> None:
    recipe = {"model": {"net": {"class_path": "a.B", "init_args": {"n": 1}}, "lr": 1}}
    words = ["--model.net.n", "2", "name", "--model.lr=2e-3", "--trainer.max_epochs", "5"]
    plain, pairs = recipes.split_words(words)
    assert plain == ["name"]
    changed = recipes.override(recipe, pairs)
    assert changed["model"] == {"net": {"class_path": "a.B", "init_args": {"n": 2}}, "lr": 2e-3}
    assert changed["trainer"] == {"max_epochs": 5}
    recipes.override(changed, {"model.net.class_path": "a.C"})
    assert changed["model"]["net"] == {"class_path": "a.C"}
