"""Shape mistakes: the message names the layer and its path and says what to do."""

from __future__ import annotations

import re

import pytest
import torch

from snnkit import nn as snn
from snnkit.errors import ShapeError


def network(first: torch.nn.Module | None = None, features: int = 4 * 9) -> torch.nn.Module:
    return torch.nn.Sequential(
        first or snn.Conv2d(2, 4, 3),
        snn.BatchNorm(4),
        snn.LIF(),
        snn.AvgPool2d(2),
        snn.Flatten(),
        snn.Linear(features, 10),
    )


X = torch.randn(4, 3, 2, 8, 8)


def test_a_good_model_passes_and_is_left_alone() -> None:
    model = network()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    snn.check_model(model, X)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("layer", "x", "text"),
    [
        (snn.Conv2d(2, 4, 3), X[0], r"5 dimensions [T, B, C, H, W], got an input of shape (3, 2, 8, 8)"),
        (snn.Conv2d(2, 4, 3), X[:, :, :1], "expects 2 channels in [T, B, C, H, W]"),
        (snn.Conv2d(2, 4, 9), X, "at least 9 pixels"),
        (snn.Conv1d(2, 4, 3), X, "4 dimensions [T, B, C, L]"),
        (snn.Linear(7, 2), X, "put snn.Flatten() before it"),
        (snn.Linear(7, 2), X[..., 0, 0], "expects 7 features"),
        (snn.AvgPool2d(9), X, "at least 9×9 pixels"),
        (snn.MaxPool2d(2), X[0], "5 dimensions"),
        (snn.SumPool2d(2), X[0], "5 dimensions"),
        (snn.BatchNorm(3), X, "3 channels in dimension 2"),
        (snn.BatchNorm(2), torch.randn(1, 1, 2), "more than one value per channel"),
        (snn.Flatten(), X[0, 0, 0], "at least 3 dimensions"),
    ],
    ids=lambda p: type(p).__name__ if isinstance(p, torch.nn.Module) else "",
)
def test_each_layer_says_what_it_expects(layer: torch.nn.Module, x: torch.Tensor, text: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(text)) as caught:
        layer(x)
    assert type(layer).__name__ in str(caught.value)


def test_run_names_the_path() -> None:
    with pytest.raises(ShapeError, match=r"'5' Linear\(in_features=7"):
        snn.run(network(features=7), X)
    with pytest.raises(ShapeError, match=r"'5' Linear\(in_features=7"):
        snn.check_model(network(features=7), X)


@pytest.mark.parametrize("go", [snn.run, snn.check_model])
def test_a_bare_convolution(go) -> None:  # type: ignore[no-untyped-def]
    model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), snn.LIF()))
    with pytest.raises(ShapeError, match=r"'1\.0' Conv2d.*torch\.nn\.Conv2d, which does not know time") as caught:
        go(model, X)
    assert "use snn.Conv2d" in str(caught.value)


def test_bare_layers_that_would_mix_time_and_batch_in_silence() -> None:
    for bare, x in ((torch.nn.Flatten(), X), (torch.nn.BatchNorm1d(5), torch.randn(4, 5, 5))):
        with pytest.raises(ShapeError, match=r"torch\.nn\.\w+, which does not know time"):
            snn.check_model(torch.nn.Sequential(bare), x)


def test_folding_by_hand_is_fine() -> None:
    class Folded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(2, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    snn.check_model(Folded(), X)


def test_any_failure_names_the_layer() -> None:
    model = torch.nn.Sequential(snn.Flatten(), torch.nn.Linear(5, 3))
    with pytest.raises(ShapeError, match=r"'1' Linear.*fails on an input of shape \(4, 3, 128\)") as caught:
        snn.run(model, X)
    assert "mat1 and mat2" in str(caught.value)


def test_errors_that_are_not_about_shapes_stay_what_they_are() -> None:
    class Moody(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[0] == 4:
                raise ValueError("not today")
            return x

    with pytest.raises(ValueError, match="not today"):
        snn.run(Moody(), X)
