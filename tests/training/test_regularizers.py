"""Penalties by definition, their gradients, and their place in a recipe."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError, RecipeError
from snnkit.nn.operations import count_operations
from snnkit.training import (
    FiringRateBand,
    SynapticOperationBudget,
    ThresholdPenalty,
    WeightPenalty,
    fit,
)
from snnkit.training.regularizers import watch


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        snn.Linear(6, 8), snn.LIF(tau=2.0, learn_threshold=True), snn.Linear(8, 3), snn.LIF(tau=2.0)
    )


X = (torch.rand(5, 4, 6, generator=torch.Generator().manual_seed(0)) < 0.5).float()
LENGTHS = torch.tensor([5, 2, 4, 1])


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
def test_firing_rate_band_by_definition(lengths: torch.Tensor | None) -> None:
    net = network()
    with watch(net, lengths) as seen:
        net(X)
    got = FiringRateBand(0.1, 0.2, weight=3.0).penalty(seen)
    total = 0.0
    n = torch.full((4,), 5) if lengths is None else lengths
    for s in (s.detach() for s in seen.spikes.values()):
        rates = sum(s[: int(k), b].sum(0) for b, k in enumerate(n)) / int(n.sum())
        total += float(sum(max(0.1 - float(r), 0) ** 2 + max(float(r) - 0.2, 0) ** 2 for r in rates) / len(rates))
    assert float(got.detach()) == pytest.approx(3.0 * total / 2, rel=1e-5)
    got.backward()
    assert float(net[0].weight.grad.abs().sum()) > 0  # type: ignore[union-attr,operator]


def test_a_silent_layer_is_woken() -> None:
    net = network()
    with torch.no_grad():
        net[0].bias.fill_(-2.0)  # type: ignore[union-attr,operator]
    band = FiringRateBand(0.2, 0.9, layers=["1"])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    for _ in range(60):
        with watch(net) as seen:
            net(X)
        optimizer.zero_grad()
        band.penalty(seen).backward()
        optimizer.step()
    assert float(seen.spikes["1"].detach().mean()) > 0.1


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
def test_budget_counts_as_the_table_does(lengths: torch.Tensor | None) -> None:
    net = network()
    with watch(net, lengths) as seen:
        net(X)
    budget = SynapticOperationBudget(10.0, weight=2.0)
    expected = count_operations(net, X, lengths).total().synaptic_operations
    assert float(budget.operations(seen).detach()) == pytest.approx(expected, rel=1e-6)
    assert float(budget.penalty(seen).detach()) == pytest.approx(2 * (expected / 10 - 1) ** 2, rel=1e-5)
    assert float(SynapticOperationBudget(1e9).penalty(seen).detach()) == 0.0
    last = SynapticOperationBudget(10.0, layers=["2"]).operations(seen)
    last.backward()
    assert float(net[0].weight.grad.abs().sum()) > 0  # type: ignore[union-attr,operator]


def test_weight_and_threshold_penalties_by_definition() -> None:
    net = network()
    with watch(net) as seen:
        net(X)
    w = [net[0].weight, net[2].weight]
    l1 = WeightPenalty(0.5).penalty(seen)
    assert float(l1.detach()) == pytest.approx(0.5 * sum(float(v.detach().abs().sum()) for v in w), rel=1e-5)
    l2 = WeightPenalty(0.5, "l2", layers="2").penalty(seen)
    assert float(l2.detach()) == pytest.approx(0.5 * float(w[1].detach().square().sum()), rel=1e-5)
    with torch.no_grad():
        net[1].threshold.fill_(1.5)
    assert float(ThresholdPenalty(1.0, 2.0).penalty(seen).detach()) == pytest.approx(0.5)


def test_what_does_not_fit_is_said() -> None:
    net = network()
    with watch(net) as seen:
        net(X)
    with pytest.raises(ParameterError, match="no spiking layer matches '7'"):
        FiringRateBand(layers=["7"]).penalty(seen)
    for make in (
        lambda: FiringRateBand(0.5, 0.2),
        lambda: SynapticOperationBudget(0.0),
        lambda: WeightPenalty(-1.0),
        lambda: WeightPenalty(1.0, "l3"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ParameterError):
            make()


def test_penalties_of_a_recipe_are_trained_with_and_reported(tiny: dict[str, Any], tmp_path: Path) -> None:
    plain = copy.deepcopy(tiny)
    tiny["model"]["regularizers"] = [
        {"class_path": "snnkit.training.FiringRateBand", "init_args": {"low": 0.05, "high": 0.2, "weight": 5.0}},
        {"class_path": "snnkit.training.WeightPenalty", "init_args": {"weight": 1e-4}},
    ]
    tiny["trainer"]["max_epochs"] = plain["trainer"]["max_epochs"] = 1
    run = fit(tiny, tmp_path / "a", progress=False)
    history = (run.path / "history.csv").read_text().splitlines()
    assert "train_penalty" in history[0]
    assert float(history[1].split(",")[history[0].split(",").index("train_penalty")]) > 0
    assert run.digest != fit(plain, tmp_path / "b", progress=False).digest
    tiny["model"]["regularizers"][0]["init_args"]["hight"] = 1
    with pytest.raises(RecipeError, match="did you mean 'high'"):
        fit(tiny, tmp_path / "c", progress=False)
