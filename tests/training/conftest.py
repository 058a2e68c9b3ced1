"""A recipe that trains in about a second: few simulated digits, a small dense network."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

TINY: dict[str, Any] = {
    "seed_everything": 3,
    "model": {
        "net": {"class_path": "snnkit.models.DenseClassifier", "init_args": {"hidden": [12], "dropout": 0.3}},
        "loss": "last_membrane_cross_entropy",
        "loss_scale": 0.25,
        "label_smoothing": 0.1,
        "ema": 0.9,
        "select": "val_loss",
        "optimizer": {"lr": 0.01, "warmup_epochs": 1},
    },
    "data": {
        "class_path": "snnkit.data.SaccadeDigits",
        "init_args": {"T": 4, "batch_size": 16, "subset": 80, "augment": {"shift_px": 1.0, "drop": 0.2}},
    },
    "trainer": {"max_epochs": 3, "accelerator": "cpu", "logger": False},
}


@pytest.fixture(scope="session")
def data_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for all recordings that the tests simulate."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_recipe(data_cache: Path) -> dict[str, Any]:
    """The tiny recipe; not to be changed."""
    recipe = copy.deepcopy(TINY)
    recipe["data"]["init_args"]["cache_dir"] = str(data_cache)
    return recipe


@pytest.fixture
def tiny(tiny_recipe: dict[str, Any]) -> dict[str, Any]:
    """The tiny recipe, to be changed at will."""
    return copy.deepcopy(tiny_recipe)


@pytest.fixture(scope="session")
def finished(tiny_recipe: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the tiny recipe; not to be changed."""
    from snnkit.training import fit

    out = tmp_path_factory.mktemp("runs") / "unbroken"
    fit(tiny_recipe, out, progress=False)
    return out
