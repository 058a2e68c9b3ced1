"""LinearLeakIF: torch, float graph, integer graph and emulator fire alike, whatever leak, floor and reset."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from snnkit import nn as snn
from snnkit.errors import FindingsError, ParameterError
from snnkit.export import to_graph
from snnkit.graph.neurons import LIF, LinearLeakIF
from snnkit.graph.run import run
from snnkit.validation.pipeline import to_chip

from .networks import deploy, integers

UNIT = 0.25


def network(seed: int, bias: bool = True) -> nn.Sequential:
    """Three layers of random integers: leaks of either direction, with and without reversal, floors, both resets."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)

    def neuron(n: int) -> snn.LinearLeakIF:
        def some(low: int, high: int) -> torch.Tensor:
            return torch.from_numpy(rng.integers(low, high, n) * UNIT)

        reversal = bool(rng.integers(2))
        return snn.LinearLeakIF(
            leak=some(-2, 2 if reversal else 1), leak_reversal=reversal, threshold=some(1, 5),
            floor=None if rng.integers(3) == 0 else some(0, 4), reset=str(rng.choice(["zero", "subtract"])),
        )  # fmt: skip

    sizes = (24, *(int(n) for n in rng.integers(8, 40, 2)), 10)
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [integers(snn.Linear(a, b, bias=bias and bool(rng.integers(2))), UNIT), neuron(b)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("seed", range(8))
def test_spikes_are_those_of_the_model_through_the_chip(seed: int, tmp_path: Path) -> None:
    chip, _, differ = deploy(network(seed), (24,), tmp_path / "a.snnx", seed=seed)
    assert all(row["exact"] for row in chip.report)
    assert all(wrong == 0 for wrong, _ in differ.values()), differ
    assert sum(spikes for _, spikes in differ.values()) > 20


@pytest.mark.parametrize("seed", range(6))
def test_the_float_graph_has_the_membranes_of_the_layer(seed: int) -> None:
    model = network(seed)
    graph, _ = to_graph(model, (24,), steps=20)
    assert graph is not None
    x = (torch.rand(20, 5, 24) < 0.3).float()
    names = [p.name for p in graph.populations]
    with torch.no_grad(), snn.record(model, spikes=True, v=names) as seen:
        model(x)
    trace = run(graph, {graph.inputs[0].name: x.numpy().astype(np.uint8)})
    for name in names:
        assert np.array_equal(trace.spikes[name], seen.spikes[name].numpy().astype(np.uint8))
        assert np.array_equal(trace.v[name], seen.v[name].numpy())


def step(x: list[float], **more: Any) -> tuple[list[float], list[float]]:
    """Spikes and membranes of one neuron."""
    layer = snn.LinearLeakIF(**more)
    given = torch.tensor(x).view(-1, 1, 1)
    return layer(given).flatten().tolist(), layer.membrane(given).flatten().tolist()


def test_the_order_is_integrate_leak_compare_floor() -> None:
    assert step([1.0, 1.0], leak=-0.5, threshold=1.0) == ([0, 1], [0.5, 0.0])
    assert step([0.5, 0.0, 0.0], leak=-0.25, leak_reversal=True, threshold=2.0)[1] == [0.25, 0.0, 0.0]
    assert step([-0.5, 0.0, 0.0], leak=-0.25, leak_reversal=True, threshold=2.0)[1] == [-0.25, 0.0, 0.0]
    assert step([0.5, 0.0], leak=-0.75, leak_reversal=True, threshold=2.0)[1] == [-0.25, 0.5]  # over zero, as the chip
    assert step([-3.0, 1.0], floor=0.5, threshold=2.0)[1] == [-0.5, 0.5]
    assert step([2.5, 0.0], reset="subtract", threshold=1.0) == ([1, 1], [1.5, 0.5])


def test_without_leak_reversal_and_floor_it_is_a_lif_with_a_bias() -> None:
    plain, _ = to_graph(nn.Sequential(snn.Linear(4, 3, bias=False), snn.LinearLeakIF(leak=-0.25)), (4,), steps=4)
    assert plain is not None
    assert isinstance(plain.populations[0].neuron, LIF)
    assert plain.populations[0].bias is not None
    assert np.all(plain.populations[0].bias == -0.25)
    turning, _ = to_graph(nn.Sequential(snn.Linear(4, 3), snn.LinearLeakIF(floor=1.0)), (4,), steps=4)
    assert turning is not None
    assert isinstance(turning.populations[0].neuron, LinearLeakIF)


@pytest.mark.parametrize("target", ["loihi", "spinnaker"])
def test_other_chips_say_that_they_have_none(target: str) -> None:
    model = nn.Sequential(snn.Linear(6, 4), snn.LinearLeakIF(leak=-0.25, leak_reversal=True))
    x = np.zeros((4, 2, 6), np.uint8)
    with pytest.raises(FindingsError) as caught:
        to_chip(model, (6,), target, x, steps=4)
    assert {f.code for f in caught.value.findings} == {"NEURON"}
    assert to_chip(nn.Sequential(snn.Linear(6, 4), snn.LinearLeakIF()), (6,), target, x, steps=4).graph.populations


def test_a_bias_beside_a_turning_leak_needs_an_axon_type() -> None:
    torch.manual_seed(0)
    layer = integers(snn.Linear(40, 4), 0.125, -8, 7, 1.0)
    model = nn.Sequential(layer, snn.LinearLeakIF(leak=-0.125, leak_reversal=True, floor=4.0))
    x = np.zeros((4, 2, 40), np.uint8)
    layer.bias.data.fill_(0.125 * 3)  # a sum of the four weights
    assert to_chip(model, (40,), "truenorth", x, steps=4).report[0]["gated_bias"]
    layer.bias.data.fill_(0.125 * 0.3)
    with pytest.raises(FindingsError) as caught:
        to_chip(model, (40,), "truenorth", x, steps=4)
    assert "BIAS_AND_LEAK" in {f.code for f in caught.value.findings}


def test_gradients_are_those_of_the_steps_and_stop_at_the_floor() -> None:
    layer = snn.LinearLeakIF(leak=-0.25, leak_reversal=True, floor=0.5, threshold=1.0, learn_leak=True)
    x = torch.tensor([0.9, -3.0, 1.4]).view(3, 1, 1).requires_grad_()
    layer(x)[2].sum().backward()
    assert x.grad is not None
    assert x.grad.flatten()[:2].tolist() == [0.0, 0.0], "v stood at its floor"
    assert x.grad.flatten()[2] > 0
    assert layer.leak.grad is not None
    assert layer.leak.grad.item() > 0


@pytest.mark.parametrize("wrong", [{"reset": "zer"}, {"floor": -1.0}, {"leak": float("nan")}, {"threshold": 0.0}])
def test_bad_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        snn.LinearLeakIF(**wrong)
