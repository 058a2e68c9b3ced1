"""What cannot be exported is named: module path or the user's file and line, all findings at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.errors import FindingsError
from snnkit.export import to_graph

HERE = "test_findings.py:"


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


@pytest.mark.parametrize(
    ("layer", "where"), [(snn.ALIF(), "1"), (snn.Recurrent(snn.ALIF(), snn.Linear(3, 3)), "1.neuron")]
)
def test_an_adaptive_threshold_is_refused_by_name_with_what_to_use_instead(layer: nn.Module, where: str) -> None:
    model = snn.Sequential(snn.Linear(4, 3), layer, snn.Linear(3, 2), snn.LI()).eval()
    graph, findings = to_graph(model, (4,), strict=False)
    assert graph is None
    assert [(f.code, f.where, f.severity) for f in findings] == [("ADAPTIVE_THRESHOLD", where, "error")]
    assert "snn.LIF or snn.CubaLIF" in findings[0].remedy
    with pytest.raises(FindingsError, match=f"ADAPTIVE_THRESHOLD.*{where}"):
        to_graph(model, (4,))


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


class Wrapped(nn.Module):
    """Calls `f(self, x)` with a layer or two at hand."""

    def __init__(self, f: Any, **layers: nn.Module) -> None:
        super().__init__()
        self.f = f
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.f(self, x)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda self, x: None, {"OUTPUT_NOT_A_NEURON": "output"}),
        (lambda self, x: x, {"OUTPUT_NOT_A_NEURON": "output"}),
        (lambda self, x: (self.lif(x), x), {"OUTPUT_NOT_A_NEURON": "output"}),
        (lambda self, x: {"out": self.lif(x)}, {"OUTPUT_NOT_A_NEURON": "output"}),
        (lambda self, x: self.lif(x, None), {"LAYER_ARGUMENTS": "lif"}),
        (lambda self, x: self.lif(torch.relu(x)), {"UNSUPPORTED_CALL": HERE}),
        (lambda self, x: self.lif(x.view(x.shape[0], 1, -1)), {"UNSUPPORTED_CALL": HERE}),
        (lambda self, x: self.lif(x[:, :, :2]), {"UNSUPPORTED_CALL": HERE}),
        (lambda self, x: self.lif(x + torch.ones(4)), {"UNSUPPORTED_CALL": HERE}),
        (lambda self, x: self.lif(x + self.fc(x)), {"SHAPE": HERE}),
        (lambda self, x: self.lif(x.flatten()), {"UNSUPPORTED_CALL": HERE}),
        (lambda self, x: 1 / 0, {"CANNOT_TRACE": HERE}),
        (lambda self, x: self.lif(x, self.lif.initial_state(x))[0], {"DATA_DEPENDENT_BRANCH": HERE}),
    ],
)
def test_forward_passes_that_cannot_be_exported(f: Any, expected: dict[str, str]) -> None:
    """Every one has a finding, and its place is in the user's file, never in snnkit's or torch's."""
    found = codes(Wrapped(f, lif=snn.LIF(), fc=snn.Linear(4, 3)), (4,))
    for code, where in expected.items():
        assert where in found[code]
    assert not any("snnkit/" in where for where in found.values())


@pytest.mark.parametrize(
    "f",
    [
        lambda self, x: self.lif(x=self.fc(input=x)),
        lambda self, x: self.lif(torch.cat(tensors=(x, x), dim=-1)),
        lambda self, x: self.lif(2 * x + 1),
        lambda self, x: self.lif(x.flatten(start_dim=2)),
    ],
)
def test_forward_passes_that_can(f: Any) -> None:
    graph, findings = to_graph(Wrapped(f, lif=snn.LIF(), fc=snn.Linear(4, 3)), (4,))
    assert graph is not None
    assert findings == []


class Renamed(snn.LIF):
    """Only another constructor."""

    def __init__(self) -> None:
        super().__init__(decay=0.5)


class Different(snn.LIF):
    """Another neuron."""

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        return x, None


def test_classes_derived_from_layers() -> None:
    graph, _ = to_graph(nn.Sequential(snn.Linear(4, 3), Renamed()), (4,))
    assert graph is not None
    assert graph.populations[0].neuron.decay[0] == 0.5  # type: ignore[union-attr]
    _, findings = to_graph(nn.Sequential(snn.Linear(4, 3), Different()), (4,), strict=False)
    (finding,) = findings
    assert (finding.code, finding.where) == ("UNKNOWN_MODULE", "1")
    assert "snn.LIF" in finding.what
    assert "sequence" in finding.what


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([snn.Flatten(), snn.MaxPool2d(2)], {"SHAPE": "2"}),
        ([snn.MaxPool2d(9)], {"SHAPE": "1"}),
        ([snn.AvgPool2d(9), snn.LIF()], {"SHAPE": "1"}),
        ([snn.BatchNorm(3), snn.LIF()], {"SHAPE": "1"}),
    ],
)
def test_pools_and_norms_that_do_not_fit(layers: list[nn.Module], expected: dict[str, str]) -> None:
    assert codes(nn.Sequential(snn.LIF(), *layers), (2, 4, 4)) == expected


def test_per_channel_and_per_neuron_parameters() -> None:
    """As the torch layer spreads them: one number, one per channel, or one per neuron."""
    channel = torch.tensor([0.25, 0.5, 0.75])
    every = torch.rand(3, 6, 6) + 0.5
    model = nn.Sequential(snn.Conv2d(2, 3, 3), snn.LIF(decay=channel, threshold=every))
    graph, _ = to_graph(model, (2, 8, 8))
    assert graph is not None
    neuron = graph.populations[0].neuron
    assert torch.equal(torch.tensor(neuron.decay), channel.repeat_interleave(36))  # type: ignore[union-attr]
    assert torch.equal(torch.tensor(neuron.threshold), every.flatten())  # type: ignore[union-attr]


def test_the_order_of_findings_and_the_shape_of_the_message() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), snn.LIF(), snn.Flatten(), snn.Linear(5, 3), snn.LIF())
    with pytest.raises(FindingsError) as caught:
        to_graph(model, (2, 8, 8), name="net")
    text = str(caught.value)
    assert text.startswith("[FINDINGS] net cannot be exported\n  - error BARE_TORCH_LAYER at 0: torch.nn.Conv2d")
    assert "-> use snn.Conv2d" in text


def test_attention_and_joins_that_no_chip_takes() -> None:
    spiking = [nn.Sequential(snn.Conv2d(2, 2, 1), snn.LIF()) for _ in range(3)]
    layers = [snn.Attention(spiking[0], spiking[1], spiking[2]), snn.LIF()]
    assert codes(nn.Sequential(*layers), (2, 4, 4)) == {"ATTENTION": "0"}
    weighted = snn.Residual(snn.Linear(4, 4), join="and")
    assert codes(nn.Sequential(weighted, snn.LIF()), (4,)) == {"GATE_NOT_BINARY": "0.gate"}
    counts = nn.Sequential(snn.Residual(snn.LIF(), join="iand"), snn.Linear(4, 2), snn.LIF())
    assert codes(counts, (4,), max_count=2) == {"GATE_NOT_BINARY": "0.gate"}
