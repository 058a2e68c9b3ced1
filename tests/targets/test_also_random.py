"""Random networks inside a chip's capabilities, quantised and exported, come back from the files of its formats."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit.descriptor import Descriptor, load
from snnkit.descriptor.vectors import decode
from snnkit.errors import FindingsError
from snnkit.targets import also, registry
from snnkit.validation.conformance import try_random

from .brainscales2 import hxtorch_stand_in
from .brainscales2 import test_also as of_brainscales2
from .loihi.lava_reader import Interpreter
from .truenorth.ranc_reader import Grid


def lava(made: Descriptor, folder: Path) -> int:
    """Every spike of every layer."""
    reader, spikes = Interpreter(folder), decode(made.vectors, made.manifest).spikes
    total = 0
    for b in range(reader.net["samples"]):
        for layer, got in zip(made.manifest.layers, reader.run(b)):
            np.testing.assert_array_equal(got, spikes[layer.name][:, b], err_msg=layer.name)
            total += int(got.sum())
    return total


def ranc(made: Descriptor, folder: Path) -> int:
    """Every output of the output port."""
    grid, stored = Grid(folder), json.loads((folder / "samples.json").read_text())
    known, total = set(stored["known_lines"]), 0
    for sample in stored["samples"]:
        got = grid.run(sample["packets"], len(sample["outputs"]))
        assert [sorted(set(row) & known) for row in got] == sample["outputs"]
        total += sum(map(len, sample["outputs"]))
    return total


def hxtorch(made: Descriptor, folder: Path) -> int:
    """Every spike of every layer, from the modules that the script builds, run as a graph."""
    spikes, total = decode(made.vectors, made.manifest).spikes, 0
    with pytest.MonkeyPatch.context() as patch:
        hxtorch_stand_in.install(patch)
        traces, _ = of_brainscales2.simulated(folder)
    for layer, got in zip(made.manifest.layers, traces):
        if layer.name in spikes and spikes[layer.name].any():  # else it is read by its membrane
            np.testing.assert_array_equal(got, spikes[layer.name], err_msg=layer.name)
            total += int(got.sum())
    return total


def assert_named(error: FindingsError, lost: set[str]) -> None:
    stopping = [f for f in error.findings if f.severity == "error"]  # type: ignore[attr-defined]
    assert {f.code for f in stopping} <= lost  # type: ignore[attr-defined]
    assert all(f.remedy for f in stopping)  # type: ignore[attr-defined]


BEYOND = {"EMPTY", "UNDRIVEN", "CODE_RANGE", "GAIN_RANGE"}
"""Random thresholds, and layers that no synapse reaches."""
STRAIGHT: dict[str, Any] = {"recurrent": False, "loop": 0, "biases": ()}


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("chip", "format", "compare", "frame", "lost", "networks"),
    [
        pytest.param("loihi", "lava-net", lava, {"refractory": 0}, {"CURRENT_DECAY"}, 8, id="lava-net"),
        pytest.param("truenorth", "ranc", ranc, {}, set(), 8, id="ranc"),
        pytest.param(
            "loihi",
            "lava-net",
            lava,
            {"refractory": 0},
            {"CURRENT_DECAY"},
            80,
            id="lava-net-many",
            marks=pytest.mark.slow,
        ),
        pytest.param("truenorth", "ranc", ranc, {}, set(), 80, id="ranc-many", marks=pytest.mark.slow),
        pytest.param("brainscales2", "hxtorch", hxtorch, STRAIGHT, BEYOND, 6, id="hxtorch"),
        pytest.param(
            "brainscales2",
            "hxtorch",
            hxtorch,
            STRAIGHT,
            BEYOND,
            60,
            id="hxtorch-many",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_random_networks(
    chip: str, format: str, compare: Callable[[Descriptor, Path], int], frame: dict[str, Any], lost: set[str],
    networks: int, tmp_path: Path,
) -> None:  # fmt: skip
    """What is refused is refused for what the tool does not have (a current that never decays), and says the remedy."""
    target = registry.get(chip)
    written = mapped = spikes = 0
    for seed in range(networks):
        place = tmp_path / str(seed)
        place.mkdir()
        can = replace(target.capabilities, **frame)
        path = try_random(target, random.Random(seed), place, wide=60, frame=can).path
        if path is None:
            continue
        mapped += 1
        made = load(path)
        try:
            folder = also.write(made, format).folder
        except FindingsError as error:
            assert_named(error, lost)
            continue
        written += 1
        spikes += compare(made, folder)
    assert mapped >= 0.75 * networks
    assert written >= 0.75 * mapped
    assert spikes > 10 * networks
