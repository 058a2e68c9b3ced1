"""FusionClassifier: a branch per sensor, trained by a recipe, exported with two ports, equal on a chip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnkit import emulator
from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError
from snnkit.export import to_graph
from snnkit.models import Branch, FusionClassifier
from snnkit.targets import registry
from snnkit.training import fit, load_run
from snnkit.validation.pipeline import to_chip, write_descriptor
from snnkit.validation.runs import deploy, frames, validate_run
from snnkit.validation.threeway import validate

SHAPES = ((2, 8, 8), (2, 6))
BRANCHES = (Branch(channels=(3,), hidden=(), kernel_size=3, decay=1.0), Branch(hidden=(10, 12), decay=1.0))


def dyadic(model: torch.nn.Module) -> torch.nn.Module:
    """Weights k/8 and batch norms that divide by 2: a chip's integers hold them exactly."""
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randint(-6, 9, p.shape, generator=g) / 8)
        for m in model.modules():
            if isinstance(m, snn.BatchNorm):
                m.eps = 0.0
                m.running_var.fill_(4.0)
                m.weight.fill_(1.0)
    return model.eval()


def inputs(steps: int = 6, batch: int = 4) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(1)
    return tuple((torch.rand(steps, batch, *s, generator=g) < 0.3).float() for s in SHAPES)


@pytest.mark.parametrize("join", ["concat", "sum"])
def test_equation(join: Any) -> None:
    branches = (BRANCHES[0], Branch(hidden=(48,), decay=1.0))
    model = FusionClassifier(SHAPES, 5, branches, join).eval()
    a, b = inputs()
    seen, heard = model.branches[0](a).flatten(2), model.branches[1](b)
    both = seen + heard if join == "sum" else torch.cat((seen, heard), 2)
    assert torch.allclose(model(a, b), (both @ model.head.weight.T).cumsum(0), atol=1e-6)


def test_one_branch_is_one_sensor_alone() -> None:
    model = FusionClassifier(SHAPES[1:], 5, BRANCHES[1:]).eval()
    x = inputs()[1]
    want = (model.branches[0](x) @ model.head.weight.T).cumsum(0)
    assert torch.allclose(model(x), want, atol=1e-6)
    graph, findings = to_graph(model, SHAPES[1])
    assert graph is not None
    assert len(graph.inputs) == 1
    assert not findings


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="1 branches for 2 inputs"):
        FusionClassifier(SHAPES, 5, BRANCHES[:1])
    with pytest.raises(ParameterError, match="end with 48 and 12 neurons"):
        FusionClassifier(SHAPES, 5, BRANCHES, "sum")
    with pytest.raises(ParameterError, match="has no layer"):
        FusionClassifier(SHAPES, 5, (BRANCHES[0], Branch(hidden=())))
    with pytest.raises(ShapeError, match="has convolutions"):
        FusionClassifier(SHAPES, 5, (BRANCHES[0], BRANCHES[0]))
    with pytest.raises(ShapeError, match="got one input"):
        FusionClassifier(SHAPES, 5, BRANCHES)(inputs()[0])


@pytest.mark.parametrize("target", ["loihi", "spinnaker"])
def test_spikes_are_equal_on_a_chip(target: str, tmp_path: Path) -> None:
    model, path = dyadic(FusionClassifier(SHAPES, 5, BRANCHES)), tmp_path / "fusion.snnx"
    samples = {n: x.numpy() for n, x in zip(("vision", "sound"), inputs())}
    options = {"steps": 6, "input_names": ("vision", "sound"), "readout": "last"}
    chip = to_chip(model, SHAPES, target, samples, **options)
    made = write_descriptor(path, chip, target, samples)
    assert [p.name for p in made.manifest.inputs] == ["vision", "sound"]
    found = validate(model, chip, path, [(samples, np.zeros(4, int))])
    assert found["differing_spikes"]["torch-emulator"]["total"] == 0
    assert found["counters"]["spikes"] > 0
    result = emulator.open(path).run({n: x.reshape(6, 4, -1).astype(np.uint8) for n, x in samples.items()})
    assert result.answer is not None
    assert result.answer.tolist() == model(*inputs())[-1].argmax(1).tolist()


def tiny(use: str) -> dict[str, Any]:
    part = {"class_path": "snnkit.data.SaccadeDigits"}
    first = {**part, "init_args": {"subset": 20, "T": 4, "grid": 12}}
    second = {**part, "init_args": {"subset": 20, "T": 4, "grid": 6, "data_seed": 1}}
    branches = [{"channels": [4], "hidden": [], "kernel_size": 3}, {"hidden": [8]}]
    used = {"both": branches, "first": branches[:1], "second": branches[1:]}[use]
    net = {"class_path": "snnkit.models.FusionClassifier", "init_args": {"branches": used}}
    data = {"first": first, "second": second, "use": use, "names": ["vision", "touch"]}
    return {
        "model": {"memory_format": "channels_first", "net": net},
        "data": {"class_path": "snnkit.data.Paired", "init_args": data},
        "trainer": {"max_epochs": 1, "logger": False, "precision": "32-true"},
    }


def test_from_recipe_to_chip(tmp_path: Path) -> None:
    run = fit(tiny("both"), tmp_path / "both", progress=False)
    assert run.data["name"] == "saccade-digits+saccade-digits"
    assert run.data["samples"]["train"] == 20
    chip, made = deploy(run, registry.get("loihi"), tmp_path / "both.snnx")
    assert [p.name for p in made.manifest.inputs] == ["vision", "touch"]
    assert made.manifest.host_parts[0].startswith("vision: cut the recording into T bins")
    assert "cell of 6 x 6" in made.manifest.host_parts[0].split("; touch: ")[1]
    found = validate_run(run, tmp_path / "both.snnx", limit=10, chip=chip)
    assert found["differing_spikes"]["graph-emulator"]["total"] == 0
    assert found["samples"] == 10
    assert (tmp_path / "both.snnx" / "report.html").exists()
    x, y = frames(run.datamodule(), "test", np.arange(3))
    alone = fit(tiny("second"), tmp_path / "second", progress=False)
    x2, y2 = frames(alone.datamodule(), "test", np.arange(3))
    assert isinstance(x, dict)
    assert np.array_equal(x["touch"], x2)
    assert np.array_equal(y, y2)
    assert load_run(tmp_path / "second").evaluate("test").samples == alone.metrics["test"]["samples"]
