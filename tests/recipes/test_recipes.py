"""Every shipped recipe resolves completely, and its network builds, fits its data and can be exported later."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from snnkit import nn as snn
from snnkit.errors import RecipeError
from snnkit.training import READOUTS, recipes
from snnkit.training.fitting import TrainerSettings
from snnkit.training.module import SpikingClassifier
from snnkit.training.settings import Reader, build, find_class

SHAPE, CLASSES = (2, 34, 34), 10


@pytest.mark.parametrize("name", recipes.names())
def test_recipe_resolves_and_its_network_fits(name: str) -> None:
    recipe = recipes.load(name)
    reader = Reader()
    links = {"num_classes": CLASSES, "input_shape": list(SHAPE)}
    model = dict(recipe["model"])
    spec = reader.spec(model.pop("net"), torch.nn.Module, "model.net", links)
    resolved = reader.arguments(SpikingClassifier, model, "model", skip=("net",))
    reader.arguments(TrainerSettings, recipe["trainer"], "trainer")
    data = recipe["data"]
    given = {"root": "somewhere", **data["init_args"]} if data["class_path"].endswith("NMNIST") else data["init_args"]
    settings = reader.arguments(find_class(data["class_path"], "data"), given, "data.init_args")
    assert settings["binary"] is True, "the shipped recipes are made for chips, whose input is binary"
    net = build(spec, None, reader).eval()
    x = torch.zeros(settings["T"], 1, *SHAPE)
    snn.check_model(net, x)
    assert net(x).shape == (settings["T"], 1, CLASSES)
    assert READOUTS[resolved["loss"]] in ("count", "mean", "max", "last")
    assert recipes.describe(recipes.find(name))


def test_find_by_path_and_by_name() -> None:
    path = recipes.find("nmnist/conv")
    assert recipes.find(path) == path
    assert recipes.find("nmnist/conv.yaml") == path
    with pytest.raises(RecipeError, match="did you mean 'nmnist/conv'"):
        recipes.find("nmnist/cnv")


def test_a_dumped_recipe_reads_back() -> None:
    recipe = recipes.load("nmnist/conv")
    assert recipes.parse(recipes.dump(recipe)) == recipe


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_are_lightning_cli_configurations(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`snnkit train` reads recipes with its own strict reader; LightningCLI understands the same files."""
    from lightning.pytorch.cli import LightningCLI

    from snnkit.data import EventDataModule
    from snnkit.training.callbacks import quiet

    (tmp_path / "Train" / "0").mkdir(parents=True)
    monkeypatch.setattr("sys.argv", ["snnkit"])
    words = ["--config", str(recipes.find(name)), "--trainer.logger=false", "--trainer.accelerator=cpu"]
    if name.startswith("nmnist/"):
        words.append(f"--data.init_args.root={tmp_path}")
    with quiet():
        cli = LightningCLI(
            SpikingClassifier,
            EventDataModule,
            subclass_mode_data=True,
            run=False,
            save_config_callback=None,
            seed_everything_default=False,
            args=words,
        )
    recipe = recipes.load(name)
    assert cli.model.optimizer_settings.lr == recipe["model"]["optimizer"]["lr"]
    assert recipe["data"]["init_args"]["T"] == cli.datamodule.T
    assert cli.trainer.max_epochs == recipe["trainer"]["max_epochs"]
