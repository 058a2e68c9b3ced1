"""Conversion without a peer installed: torch's layers, rules, reports, the peers' neurons by hand, bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from snnkit import nn as snn
from snnkit.errors import ConversionError, ParameterError
from snnkit.nn.convert.snntorch_steps import SnntorchNeuron, SnntorchState
from snnkit.nn.convert.spikingjelly_steps import SpikingjellyNeuron

ARCTAN = snn.surrogate.get("arctan")


def forged(module: str, name: str, **attributes: Any) -> nn.Module:
    """A layer of a peer that is not here: classes are known by where they come from and what they are called."""
    cls = type(name, (nn.Module,), {"__module__": module, "extra_repr": lambda self: ""})
    peer = cls()
    for key, value in attributes.items():
        setattr(peer, key, value)
    return peer


def sequence(*values: float) -> torch.Tensor:
    """[T, 1, 1]."""
    return torch.tensor(values).view(-1, 1, 1)


# ------------------------------------------------------------------------------------------------------- torch's layers
def test_layers_of_torch_work_at_each_step() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding="same", padding_mode="reflect"), nn.BatchNorm2d(6), nn.ReLU(), nn.ZeroPad2d(1),
        nn.Sequential(nn.AvgPool2d(2), nn.GroupNorm(3, 6), nn.PReLU(6), nn.Dropout2d(0.3)), nn.MaxPool2d(2),
        nn.Flatten(2), nn.Conv1d(6, 4, 2), nn.Softmax(dim=1), nn.Flatten(), nn.LayerNorm(12), nn.Identity(),
        nn.Linear(12, 5, bias=False), nn.GELU(),
    )  # fmt: skip
    x = torch.rand(4, 3, 2, 8, 8)
    net(x[0])
    model, report = snn.convert_from(net.eval(), x)
    with torch.no_grad():
        assert torch.equal(model(x), torch.stack([net(x_t) for x_t in x]))
    assert report.exact
    assert report.deviation == 0
    assert report.compared == 0
    assert type(model[0]) is snn.Conv2d
    assert type(model[1]) is snn.BatchNorm
    assert type(model[4][1]) is snn.OverTime
    for name in ("0.weight", "1.running_var", "12.weight"):
        assert torch.equal(model.state_dict()[name], net.state_dict()[name])
        assert model.state_dict()[name] is not net.state_dict()[name]


def test_modes_types_and_devices_are_kept() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    net[1].eval()
    model, _ = snn.convert_from(net)
    assert (model.training, model[0].training, model[1].training) == (True, True, False)
    assert model[0].weight.dtype == model[1].running_mean.dtype == torch.float64
    bare, _ = snn.convert_from(nn.BatchNorm1d(3, affine=False, track_running_stats=False))
    assert bare.weight is bare.running_mean is None


# -------------------------------------------------------------------------------------------------------- known by name
def test_classes_are_known_by_name_and_nothing_is_imported() -> None:
    """The module path and name of a class say what it is; importing snnkit, and converting, imports no peer."""
    node = forged(
        "spikingjelly.activation_based.neuron.lif", "LIFNode", tau=4.0, decay_input=False, v_threshold=0.5,
        v_reset=None, detach_reset=True, step_mode="m",
        surrogate_function=forged("spikingjelly.activation_based.surrogate", "ATan", alpha=3.0),
    )  # fmt: skip
    model, report = snn.convert_from(nn.Sequential(nn.Linear(2, 2), node))
    assert repr(model[1]) == "LIF(decay=0.75, threshold=0.5, reset='subtract', surrogate=Arctan(alpha=3.0))"
    assert report.layers[1].was.startswith("spikingjelly LIFNode(")
    assert report.exact
    code = (
        "import sys, torch; from snnkit import nn as snn; snn.convert_from(torch.nn.Sequential(torch.nn.Linear(2, 2)));"
        "print([m for m in ('spikingjelly', 'snntorch', 'norse', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ----------------------------------------------------------------------------------------------------- rules, report
class Odd(nn.Module):
    """A layer of one's own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(1)


def test_rules_for_ones_own_classes() -> None:
    x = torch.rand(3, 2, 5)
    _, report = snn.convert_from(nn.Sequential(nn.Linear(5, 4), Odd()), x, rules={Odd: snn.over_time})
    assert report.deviation == 0
    assert report.layers[1].why == "by your rule"
    mine = {nn.Linear: lambda m: snn.Linear(m.in_features, 7)}
    assert snn.convert_from(nn.Linear(5, 4), rules=mine)[0].out_features == 7
    with pytest.raises(ConversionError, match="gives a str, not a module"):
        snn.convert_from(nn.Sequential(Odd()), rules={Odd: lambda m: "layer"})


def test_layers_of_snnkit_stay() -> None:
    own = nn.Sequential(nn.Linear(3, 3), snn.over_time(Odd()), snn.LIF())
    model, report = snn.convert_from(own)
    assert type(model[2]) is snn.LIF
    assert model[2] is not own[2]
    assert len(report.layers) == 3


def test_the_report() -> None:
    _, report = snn.convert_from(nn.Sequential(nn.Linear(2, 2)), torch.rand(3, 1, 2))
    assert json.loads(json.dumps(report.to_dict()))["deviation"] == report.deviation
    assert "0: torch Linear(in_features=2" in str(report)
    assert "largest difference of the output: 0" in str(report)
    assert (report.compared, report.differing, report.share) == (0, 0, 0.0)
    row = snn.ConvertedLayer("1", "snntorch Leaky", "LIF", False, "why", compared=200, differing=3, alone=1)
    text = str(snn.ConversionReport((row,), ("a note",)))
    assert "NOT EXACT" in text
    assert "3 of 200 differ; alone, on the same input: 1" in text
    assert "in all 3 of 200 spikes differ (1.500%)" in text
    assert text.endswith("note: a note")


def test_hooks_are_named() -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    net[0].register_forward_hook(lambda *a: None)
    assert "'0' has forward hooks" in snn.convert_from(net)[1].notes[0]


# ----------------------------------------------------------------------------------------------- the peers' own steps
def test_the_steps_of_spikingjelly_by_hand() -> None:
    # tau 2, decay_input: h = v + (x − v)/2 = 0.75, 1.125 ≥ 1, then from 0 (or 0.125): 0.5 (0.5625)
    x = sequence(1.5, 1.5, 1.0)
    to_zero = SpikingjellyNeuron(2.0, True, 1.0, 0.0, True, ARCTAN)
    subtract = SpikingjellyNeuron(2.0, True, 1.0, None, True, ARCTAN)
    assert to_zero(x).flatten().tolist() == [0, 1, 0]
    assert to_zero.membrane(x).flatten().tolist() == [0.75, 0, 0.5]
    assert subtract.membrane(x).flatten().tolist() == [0.75, 0.125, 0.5625]
    # without: h = v − (v − r)/2 + x from r = −1: −1 + 1.5 = 0.5; 0.5 − 0.75 + 1.5 = 1.25 ≥ 1 → −1; 0
    rest = SpikingjellyNeuron(2.0, False, 1.0, -1.0, True, ARCTAN)
    assert rest(x).flatten().tolist() == [0, 1, 0]
    assert rest.membrane(x).flatten().tolist() == [0.5, -1, 0]
    w = torch.nn.Parameter(torch.zeros(()))
    assert torch.equal(SpikingjellyNeuron(None, True, 1.0, 0.0, True, ARCTAN, w).membrane(x), to_zero.membrane(x))
    assert "tau=learned" in repr(SpikingjellyNeuron(None, True, 1.0, 0.0, True, ARCTAN, w))


def test_the_steps_of_snntorch_by_hand() -> None:
    half, one = torch.tensor(0.5), torch.tensor(1.0)
    x = sequence(1.0, 1.0, 1.0, 0.0)

    def node(reset: str, delayed: bool, early: bool = True, **more: Any) -> SnntorchNeuron:
        return SnntorchNeuron(half, one, reset, delayed, early, ARCTAN, **more)

    # 1 is not above 1; 1.5 is; then 0.75 + 1 − 1 (a late subtraction), or 1 (cleared, then the input)
    assert node("subtract", True).membrane(x).flatten().tolist() == [1, 1.5, 0.75, 0.375]
    assert node("subtract", True)(x).flatten().tolist() == [0, 1, 0, 0]
    assert node("subtract", False).membrane(x).flatten().tolist() == [1, 0.5, 0.25, 0.125]
    assert node("zero", True).membrane(x).flatten().tolist() == [1, 1.5, 1, 0.5]
    assert node("zero", True, early=False).membrane(x).flatten().tolist() == [1, 1.5, 0, 0]
    assert node("zero", False).membrane(x).flatten().tolist() == [1, 0, 1, 0.5]
    assert node("none", True)(x).flatten().tolist() == [0, 1, 1, 0]
    # i: 1, 1.5, 1.75, 0.875; v: 1, 2 → late: 2.75 − 1
    current = node("subtract", True, alpha=half)
    assert current.membrane(x).flatten().tolist() == [1, 2, 1.75, 0.75]
    feedback = node("none", True, synapse=snn.OneToOne(1))
    feedback.synapse.weight.data.fill_(-1)
    assert feedback.membrane(x).flatten().tolist() == [1, 1.5, 0.75, 0.375]
    # v above the threshold after its reset: 3 − 1 = 2; then 1 − 1 = 0 before the test, and back to 1
    assert node("subtract", False).membrane(sequence(3.0, 0.0)).flatten().tolist() == [2, 1]
    out, state = current(x, current.initial_state(x))
    assert isinstance(state.detach().to("cpu"), SnntorchState)
    assert torch.equal(state.out, out[-1])
    assert "current" in repr(current)


# ------------------------------------------------------------------------------------------------------------ bad input
def refused(net: Any, *texts: str, **options: Any) -> None:
    with pytest.raises(ConversionError) as caught:
        snn.convert_from(net, **options)
    for text in texts:
        assert text in str(caught.value), str(caught.value)


def test_unknown_modules() -> None:
    refused(nn.Sequential(nn.Linear(2, 2), nn.Sequential(Odd())), "1.0 ", "Odd", "rules=", "snn.over_time")
    refused(nn.Sequential(nn.LSTM(2, 2)), "0 torch.nn.modules.rnn.LSTM", "supported are linear")
    refused(nn.Sequential(nn.MaxPool2d(2, return_indices=True)), "return_indices")
    refused(
        nn.Sequential(forged("spikingjelly.activation_based.neuron.lif", "LIFNod", step_mode="s")),
        "did you mean 'LIFNode'",
    )
    refused(nn.Sequential(forged("snntorch._neurons.leaky", "Leakey")), "did you mean 'Leaky'")
    refused(nn.Sequential(forged("spikingjelly.activation_based.layer.misc", "Lineal", step_mode="s")), "'Linear'")
    refused(nn.Sequential(forged("snntorch.export_nir", "Something")), "no counterpart")
    refused(nn.Sequential(forged("snntorch._neurons.leaky", "Leaky")), "not what its releases", "snntorch 1.0")


def test_layers_with_other_tensors_than_their_own() -> None:
    refused(nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))), "ParametrizedLinear")
    extra = nn.Linear(2, 2)
    extra.register_buffer("mask", torch.ones(2, 2))
    refused(nn.Sequential(extra), "(mask)", "weight_norm")


def test_arguments_that_make_no_sense() -> None:
    refused("net", "cannot convert a str")
    refused(nn.Linear(2, 2), "is list", x=[torch.rand(3, 1, 2)])
    refused(nn.Linear(2, 2), "(0, 1, 2)", x=torch.rand(0, 1, 2))
    refused(nn.Linear(2, 2), "fails on an input of shape (3, 1, 5)", "shapes", x=torch.rand(3, 1, 5))
    with pytest.raises(ParameterError, match="did you mean 'arctan'"):
        snn.convert_from(nn.Linear(2, 2), surrogate="arctang")
