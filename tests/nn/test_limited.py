"""Layers with few inputs per neuron, and votes: what is there, what is not, and what a core refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from snnkit import emulator
from snnkit import nn as snn
from snnkit.errors import FindingsError, ParameterError, ShapeError
from snnkit.export import to_graph
from snnkit.graph.synapses import Sparse
from snnkit.models import CrossbarClassifier
from snnkit.validation.pipeline import to_chip, write_descriptor


@given(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20), st.data())
@settings(max_examples=40)
def test_every_output_has_its_fan_in_inside_its_group(groups: int, a: int, b: int, data: st.DataObject) -> None:
    fan_in = data.draw(st.integers(1, a))
    layer = snn.Linear(groups * a, groups * b, groups=groups, fan_in=fan_in, seed=data.draw(st.integers(0, 9)))
    there = torch.ones(groups * b, groups * a) if layer.mask is None else layer.mask
    assert torch.equal(there.sum(1), torch.full((groups * b,), fan_in, dtype=there.dtype))
    for g in range(groups):
        rows = there[g * b : (g + 1) * b]
        assert rows.sum() == rows[:, g * a : (g + 1) * a].sum()
        used = rows.sum(0)[g * a : (g + 1) * a]
        assert used.max() - used.min() <= 1, "inputs are used alike"


def test_synapses_that_are_not_there_have_no_weight_and_no_gradient() -> None:
    layer = snn.Linear(30, 8, fan_in=5)
    assert layer.mask is not None
    layer.weight.data.fill_(1.0)
    x = torch.rand(3, 2, 30)
    assert torch.allclose(layer(x), x @ layer.mask.float().T + layer.bias)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert torch.equal(layer.weight.grad != 0, layer.mask != 0)
    again = snn.Linear(30, 8, fan_in=5)
    assert torch.equal(again.mask, layer.mask), "the draw follows from its seed alone"
    assert not torch.equal(snn.Linear(30, 8, fan_in=5, seed=1).mask, layer.mask)


def test_a_convolution_with_few_inputs() -> None:
    layer = snn.Conv2d(6, 8, 3, groups=2, fan_in=10, bias=False)
    assert layer.mask is not None
    assert torch.equal(layer.mask.flatten(1).sum(1), torch.full((8,), 10))
    layer.weight.data.fill_(1.0)
    x = torch.rand(2, 3, 6, 5, 5)
    wanted = nn.functional.conv2d(x.flatten(0, 1), layer.mask.float(), groups=2).unflatten(0, (2, 3))
    assert torch.allclose(layer(x), wanted)


def test_the_graph_lists_the_synapses_that_are_there() -> None:
    model = nn.Sequential(snn.Linear(30, 8, bias=False, fan_in=5), snn.LIF(decay=1.0))
    model[0].weight.data[0] = 0.0
    graph, _ = to_graph(model, (30,), steps=4)
    assert graph is not None
    synapse = graph.connections[0].synapse
    assert isinstance(synapse, Sparse)
    assert synapse.weight.nnz == 40, "synapses of weight 0 are kept"


def test_votes_are_counted_by_every_stage(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(snn.Linear(20, 12, bias=False), snn.LIF(decay=1.0, threshold=0.25), snn.Votes(4))
    model[0].weight.data = torch.randint(-1, 2, (12, 20)) * 0.25
    x = (torch.rand(6, 9, 20) < 0.4).float()
    counts = model(x).sum(0).detach()
    raster = x.numpy().astype(np.uint8)
    for target in ("truenorth", "loihi", "spinnaker"):
        chip = to_chip(model, (20,), target, raster, steps=6)
        assert chip.graph.readout is not None
        assert chip.graph.readout.votes == 3
        made = write_descriptor(tmp_path / f"{target}.snnx", chip, target, raster)
        result = emulator.open(tmp_path / f"{target}.snnx").run({made.manifest.ports[0].name: raster})
        assert np.array_equal(result.scores, counts.numpy())
        assert np.array_equal(result.answer, counts.numpy().argmax(1))


def test_votes_only_end_a_model_that_counts() -> None:
    model = nn.Sequential(snn.Linear(20, 12), snn.LIF(decay=1.0), snn.Votes(4))
    with pytest.raises(FindingsError, match="READOUT"):
        to_graph(model, (20,), readout="first")
    behind, _ = to_graph(nn.Sequential(*model, snn.Linear(4, 3), snn.LIF()), (20,))
    assert behind is not None
    assert behind.readout is not None
    assert behind.readout.votes == 1, "in the middle it is a sum like any other"


def test_a_fan_in_beyond_a_core_is_a_finding_with_its_remedy() -> None:
    wide = nn.Sequential(snn.Linear(300, 4, bias=False), snn.LIF(decay=1.0))
    wide[0].weight.data = torch.where(torch.rand(4, 300) < 0.5, -0.25, 0.25)
    x = np.zeros((4, 1, 300), np.uint8)
    with pytest.raises(FindingsError) as caught:
        to_chip(wide, (300,), "truenorth", x, steps=4)
    finding = next(f for f in caught.value.findings if f.code == "FAN_IN")
    assert "128" in finding.remedy
    narrow = nn.Sequential(snn.Linear(300, 4, bias=False, fan_in=128), snn.LIF(decay=1.0))
    narrow[0].weight.data = wide[0].weight.data
    assert to_chip(narrow, (300,), "truenorth", x, steps=4).report[0]["fan_in_max"] == 128


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: snn.Linear(10, 4, groups=3), ParameterError),
        (lambda: snn.Linear(10, 4, groups=2, fan_in=6), ParameterError),
        (lambda: snn.Linear(10, 4, fan_in=0), ParameterError),
        (lambda: snn.Conv2d(2, 4, 3, fan_in=19), ParameterError),
        (lambda: snn.Conv2d(2, 4, 3, fan_in=4, standardise=True), ParameterError),
        (lambda: snn.Votes(0), ParameterError),
        (lambda: snn.Votes(3)(torch.zeros(2, 2, 4)), ShapeError),
        (lambda: CrossbarClassifier(channels=(40, 28, 56)), ParameterError),
        (lambda: CrossbarClassifier(kernels=(5, 3)), ParameterError),
    ],
)
def test_bad_values_are_refused(call: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        call()
