"""Every shipped recipe resolves completely, and its network builds, fits its data and can be exported later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from snnkit import nn as snn
from snnkit.data import FrameDataModule
from snnkit.errors import RecipeError
from snnkit.training import READOUTS, recipes
from snnkit.training.fitting import TrainerSettings
from snnkit.training.module import SpikingClassifier
from snnkit.training.settings import Reader, build, find_class, parameters

COUNTS = {
    "nmnist/spinnaker": "the one chip that takes several events of a line in a step",
    "nmnist/few_shot": "made for no chip",
    "saccade_digits/varied": "made for no chip",
    "braille/dense": "send on delta sends several events of a channel in a step",
    "fsdd/bands": "send on delta sends several events of a channel in a step",
}
"""Shipped recipes are made for chips, whose input is binary; these are not."""


IN_THE_FILES = {"SHD": 20, "SSC": 35}
"""Numbers of classes of data sets whose files name them."""


def needs_root(data: dict[str, Any]) -> bool:
    """Whether the data lie in files."""
    return "root" in parameters(find_class(data["class_path"], "data"))


def roots(data: dict[str, Any], key: str, folder: str) -> list[str]:
    """Words of a command line that give a folder to all data of a recipe that need one."""
    own = [f"--{key}.init_args.root={folder}"] if needs_root(data) else []
    parts = {k: v for k, v in data.get("init_args", {}).items() if is_class(v)}
    return own + [w for k, v in parts.items() for w in roots(v, f"{key}.init_args.{k}", folder)]


def _with_root(data: dict[str, Any], folder: str) -> dict[str, Any]:
    """A recipe's data, and those within it, with a folder where they lie in files."""
    args = {k: _with_root(v, folder) if is_class(v) else v for k, v in data.get("init_args", {}).items()}
    return {**data, "init_args": {**({"root": folder} if needs_root(data) else {}), **args}}


def is_class(value: Any) -> bool:
    return isinstance(value, dict) and "class_path" in value


def data_module(recipe: dict[str, Any], folder: Path) -> FrameDataModule:
    """The recipe's data; recordings that are not there, from an empty folder."""
    data = _with_root(recipe["data"], str(folder))
    reader = Reader()
    module: FrameDataModule = build(reader.spec(data, FrameDataModule, "data"), None, reader)
    return module


@pytest.mark.parametrize("name", recipes.names())
def test_recipe_resolves_and_its_network_fits(name: str, tmp_path: Path) -> None:
    (tmp_path / "Train" / "0").mkdir(parents=True)
    recipe = recipes.load(name)
    reader = Reader()
    data = data_module(recipe, tmp_path)
    assert (max(data.max_counts) > 1) == (name in COUNTS)
    classes = IN_THE_FILES.get(type(data).__name__) or data.num_classes
    shapes = [list(shape) for shape in data.input_shapes]
    links = {"num_classes": classes, "input_shape": shapes[0], "input_shapes": shapes}
    model = dict(recipe["model"])
    spec = reader.spec(model.pop("net"), torch.nn.Module, "model.net", links)
    resolved = reader.arguments(SpikingClassifier, model, "model", skip=("net",))
    reader.arguments(TrainerSettings, recipe["trainer"], "trainer")
    net = build(spec, None, reader).eval()
    inputs = [torch.zeros(min(data.T, 2), 1, *shape) for shape in shapes]  # time does not matter to shapes
    snn.check_model(net, *inputs)
    assert net(*inputs).shape == (len(inputs[0]), 1, classes)
    assert READOUTS[resolved["loss"]] in ("count", "mean", "max", "last")
    assert recipes.describe(recipes.find(name))


FULL = ("asl_dvs", "cifar10_dvs", "dvs_gesture", "dvs_lip", "n_caltech101", "ntidigits", "shd", "ssc", "st_mnist")


@pytest.mark.parametrize("name", [n for n in recipes.names() if n.startswith(FULL)] + ["nmnist/to_gesture"])
def test_settings_for_full_data_sets_say_that_nothing_was_measured(name: str) -> None:
    assert recipes.describe(recipes.find(name)).endswith("settings, not measured here")


def test_find_by_path_and_by_name() -> None:
    path = recipes.find("nmnist/loihi")
    assert recipes.find(path) == path
    assert recipes.find("nmnist/loihi.yaml") == path
    with pytest.raises(RecipeError, match="did you mean 'nmnist/loihi'"):
        recipes.find("nmnist/lohi")


def test_a_dumped_recipe_reads_back() -> None:
    recipe = recipes.load("nmnist/loihi")
    assert recipes.parse(recipes.dump(recipe)) == recipe


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_are_lightning_cli_configurations(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`snnkit train` reads recipes with its own strict reader; LightningCLI understands the same files."""
    from lightning.pytorch.cli import LightningCLI

    from snnkit.training.callbacks import quiet

    (tmp_path / "Train" / "0").mkdir(parents=True)
    monkeypatch.setattr("sys.argv", ["snnkit"])
    words = ["--config", str(recipes.find(name)), "--trainer.logger=false", "--trainer.accelerator=cpu"]
    words += roots(recipes.load(name)["data"], "data", str(tmp_path))
    with quiet():
        cli = LightningCLI(
            SpikingClassifier,
            FrameDataModule,
            subclass_mode_data=True,
            run=False,
            save_config_callback=None,
            seed_everything_default=False,
            args=words,
        )
    recipe = recipes.load(name)
    assert cli.model.optimizer_settings.lr == recipe["model"]["optimizer"]["lr"]
    assert cli.datamodule.T == data_module(recipe, tmp_path).T
    assert cli.trainer.max_epochs == recipe["trainer"]["max_epochs"]
