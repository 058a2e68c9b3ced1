"""A recipe that trains in about a second: few simulated digits, a small dense network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnkit.data import EVENT_DTYPE, EventStream, files

TINY: dict[str, Any] = {
    "seed_everything": 3,
    "model": {
        "memory_format": "channels_first",
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
    "trainer": {"max_epochs": 3, "accelerator": "cpu", "logger": False, "precision": "32-true"},
}


_THREADS = torch.get_num_threads()


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """`fit(threads=…)`, which fixtures call too, sets those of the process; results are bit-equal for equal numbers
    only."""
    torch.set_num_threads(_THREADS)
    yield
    torch.set_num_threads(_THREADS)


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


@pytest.fixture(scope="session")
def conv_run(tiny_recipe: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of a small convolutional network; not to be changed."""
    from snnkit.training import fit

    recipe = copy.deepcopy(tiny_recipe)
    recipe["model"]["net"] = {
        "class_path": "snnkit.models.ConvClassifier", "init_args": {"channels": [4, 6], "stride": 2, "pool": 1}
    }  # fmt: skip
    recipe["trainer"]["max_epochs"] = 2
    out = tmp_path_factory.mktemp("runs") / "conv"
    fit(recipe, out, progress=False)
    return out


DIRECTIONS = {"down": (0, 1), "left": (-1, 0), "right": (1, 0)}


def moving_bar(direction: str, seed: int, side: int, length_us: int = 100_000, events: int = 300) -> EventStream:
    """A bar that crosses a sensor of side × side pixels once, with noise: ON in front, OFF behind."""
    g = np.random.default_rng(seed)
    dx, dy = DIRECTIONS[direction]
    t = np.sort(g.integers(0, length_us, events))
    share = t / length_us
    p = g.integers(0, 2, events)
    along = (share if dx + dy > 0 else 1 - share) * side + (2 * p - 1) * (dx + dy) + g.normal(0, 0.5, events)
    across = g.integers(side // 4, side - side // 4, events)
    out = np.zeros(events, EVENT_DTYPE)
    out["t"], out["p"] = t, p
    out["x"], out["y"] = (along.clip(0, side - 1), across) if dx else (across, along.clip(0, side - 1))
    return EventStream(out, (side, side))


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A folder of recordings of moving bars on a sensor of side × side pixels, one folder per direction: like a data
    set of gestures."""
    made: dict[int, Path] = {}

    def folder(side: int) -> Path:
        if side not in made:
            made[side] = tmp_path_factory.mktemp(f"bars{side}")
            for k, name in enumerate(DIRECTIONS):
                (made[side] / name).mkdir()
                for i in range(20):
                    files.write(made[side] / name / f"{i:02d}.npz", moving_bar(name, 1000 * k + i, side))
        return made[side]

    return folder
