"""What cannot be exported is named: module path or the user's file and line, all findings at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.errors import FindingsError
from snnkit.export import to_graph


def codes(model: nn.Module, shape: tuple[int, ...], **kw: object) -> dict[str, str]:
    graph, findings = to_graph(model.eval(), shape, strict=False, **kw)  # type: ignore[arg-type]
    assert graph is None
    return {f.code: f.where for f in findings}


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.lif = snn.Linear(4, 3), nn.GRU(3, 3), snn.LIF()

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        if h.sum() > 0:
            h = h + 1
        return self.lif(torch.sigmoid(h))


def test_branch_and_call_are_found_together_with_file_and_line() -> None:
    found = codes(Branching(), (4,))
    assert set(found) == {"DATA_DEPENDENT_BRANCH", "UNSUPPORTED_CALL"}
    assert all("test_findings.py:" in where for where in found.values())
    with pytest.raises(FindingsError, match="DATA_DEPENDENT_BRANCH"):
        to_graph(Branching(), (4,))


class Looping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack(list(x))


def test_loop_over_time() -> None:
    assert "LOOP_OVER_TENSOR" in codes(Looping(), (4,))


@pytest.mark.parametrize(
    ("layers", "shape", "expected"),
    [
        ([snn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), snn.LIF()], (2, 8, 8), {"BARE_TORCH_LAYER": "1"}),
        ([nn.Conv2d(2, 3, 3), snn.LIF()], (2, 8, 8), {"BARE_TORCH_LAYER": "0"}),
        ([snn.Linear(4, 3), nn.GRU(3, 3), snn.LIF()], (4,), {"UNKNOWN_MODULE": "1"}),
        ([snn.Conv2d(2, 3, 3), snn.MaxPool2d(2), snn.LIF()], (2, 8, 8), {"MAXPOOL_NOT_BINARY": "1"}),
        ([snn.Linear(4, 3)], (4,), {"OUTPUT_NOT_A_NEURON": "output"}),
        ([snn.Linear(5, 3), snn.LIF()], (4,), {"SHAPE": "0"}),
        ([snn.Linear(5, 3), snn.LIF()], (2, 3, 3), {"SHAPE": "0"}),
        ([snn.Linear(4, 3), snn.LI(), snn.Linear(3, 3), snn.LIF()], (4,), {"ANALOG_SOURCE": "3"}),
        ([snn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), snn.LIF()], (2, 8, 8), {"PADDING_MODE": "0"}),
        ([snn.Conv2d(2, 3, 9), snn.LIF()], (2, 8, 8), {"SHAPE": "0"}),
    ],
)
def test_layer_findings(layers: list[nn.Module], shape: tuple[int, ...], expected: dict[str, str]) -> None:
    assert codes(nn.Sequential(*layers), shape) == expected


def test_max_pooling_of_counts() -> None:
    model = nn.Sequential(snn.MaxPool2d(2), snn.Conv2d(2, 3, 3), snn.LIF())
    assert codes(model, (2, 8, 8), max_count=3) == {"MAXPOOL_NOT_BINARY": "0"}


def test_nan_weights_and_readout() -> None:
    model = nn.Sequential(snn.Linear(4, 3), snn.LIF(), snn.Linear(3, 2), snn.LIF())
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
        model[2].bias[1] = float("inf")  # type: ignore[index]
    _, findings = to_graph(model, (4,), strict=False)
    assert [(f.code, f.where) for f in findings] == [("WEIGHT_NOT_FINITE", "0"), ("WEIGHT_NOT_FINITE", "2")]
    good = nn.Sequential(snn.Linear(4, 3), snn.LIF())
    assert codes(good, (4,), readout="last") == {"READOUT": "1"}


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = snn.Linear(4, 4), snn.LIF()

    def forward(self, x: Tensor) -> Tensor:
        return self.lif(self.fc(self.lif(x)))


def test_a_neuron_called_twice() -> None:
    assert codes(Twice(), (4,)) == {"NEURON_CALLED_TWICE": "lif"}
