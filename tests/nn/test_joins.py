"""Branches that meet, modules without time, one-to-one synapses, short forms of recurrences."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError, StateError


def test_add_residual_and_concat_by_their_equations() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 2, 3, 5, 5)
    a, b, c = snn.Conv2d(3, 3, 3, padding=1), snn.LIF(), snn.Conv2d(3, 2, 1)
    assert torch.equal(snn.Add(a, b, nn.Identity())(x), a(x) + b(x) + x)
    assert torch.equal(snn.Residual(a, b)(x), b(a(x)) + x)
    down = snn.Conv2d(3, 2, 1)
    assert torch.equal(snn.Residual(a, c, shortcut=down)(x), c(a(x)) + down(x))
    assert torch.equal(snn.Concat(a, c, nn.Identity())(x), torch.cat([a(x), c(x), x], 2))
    assert torch.equal(snn.Concat(a, nn.Identity(), dim=-1)(x), torch.cat([a(x), x], -1))
    assert {k.rsplit(".", 1)[0] for k in snn.Residual(a, b, shortcut=down).state_dict()} == {
        "body.0",
        "body.1",
        "shortcut",
    }


def test_branches_that_do_not_fit() -> None:
    x = torch.randn(4, 2, 3, 5, 5)
    model = nn.Sequential(snn.Residual(snn.Conv2d(3, 1, 3, padding=1)))
    with pytest.raises(
        ShapeError, match=r"'0' Residual\(\) give \(4, 2, 1, 5, 5\) and \(4, 2, 3, 5, 5\), which do not"
    ):
        snn.run(model, x)  # torch would spread the one channel over the three
    with pytest.raises(ShapeError, match="do not add up"):
        snn.Add(nn.Identity(), snn.Flatten())(x)
    with pytest.raises(ShapeError, match=r"Concat\(dim=2\).*side by side along dimension 2"):
        snn.Concat(nn.Identity(), snn.AvgPool2d(2))(x)
    with pytest.raises(ShapeError, match="side by side"):
        snn.Concat(nn.Identity(), snn.Flatten(), dim=-1)(x)
    for make in (lambda: snn.Add(snn.LIF()), lambda: snn.Concat(), lambda: snn.Residual()):
        with pytest.raises(ParameterError, match="give"):
            make()
    with pytest.raises(ParameterError, match="mix steps or samples"):
        snn.Concat(snn.LIF(), snn.LIF(), dim=1)


def test_a_neuron_in_two_branches_is_two_calls() -> None:
    neuron = snn.LIF()
    with pytest.raises(StateError, match="called twice"):
        snn.run(snn.Add(neuron, nn.Sequential(nn.Identity(), neuron)), torch.randn(3, 2, 4))


def test_over_time_is_the_module_at_each_step() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 2, 3, 8)
    module = nn.TransformerEncoderLayer(8, 2, dim_feedforward=8, batch_first=True, dropout=0.0)
    expected = torch.stack([module(x_t) for x_t in x])
    torch.testing.assert_close(snn.over_time(module)(x), expected)
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    snn.over_time(module)(x)
    assert len(calls) == 1

    class Pair(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, object]:
            return {"sum": a + b, "parts": (a, [b]), "n": 3}

    out = snn.over_time(Pair())(x, 2 * x)
    assert torch.equal(out["sum"], 3 * x)
    assert torch.equal(out["parts"][1][0], 2 * x)
    assert out["n"] == 3


def test_over_time_refuses_what_it_would_spoil() -> None:
    for inner in (snn.LIF(), nn.Sequential(nn.Linear(3, 3), snn.BatchNorm(3)), snn.Linear(3, 3)):
        with pytest.raises(ParameterError, match="over_time of a module that contains"):
            snn.over_time(inner)
    with pytest.raises(ShapeError, match="at least 2 dimensions"):
        snn.over_time(nn.GELU())(torch.zeros(3))
    with pytest.raises(ShapeError, match=r"OverTime\(.*its module to give \[T·B, …\] = \[8, …\], which gives \(24,\)"):
        snn.over_time(nn.Flatten(0))(torch.zeros(4, 2, 3))
    with pytest.raises(ShapeError, match=r"begin with \[T, B\]"):
        snn.over_time(nn.Bilinear(3, 3, 1))(torch.zeros(4, 2, 3), torch.zeros(4, 3, 3))


def test_one_to_one_per_neuron_and_per_channel() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 2, 3, 5, 5)
    channel, neuron = snn.OneToOne(3, bias=True), snn.OneToOne((3, 5, 5))
    assert torch.equal(channel(x), x * channel.weight.view(3, 1, 1) + channel.bias.view(3, 1, 1))
    assert torch.equal(neuron(x), x * neuron.weight)
    assert neuron.weight.min() < 0 < neuron.weight.max()
    assert neuron.weight.abs().max() <= 1
    with pytest.raises(ShapeError, match=r"OneToOne\(4, bias=False\) expects features that fit its weight"):
        snn.OneToOne(4)(x)
    for bad in (0, (3, -1), (), 1.5, True):
        with pytest.raises(ParameterError, match="number of neurons"):
            snn.OneToOne(bad)  # type: ignore[arg-type]


def test_short_forms_of_recurrences() -> None:
    """Each is Recurrent with the synapse that its name says, step by step."""
    torch.manual_seed(0)
    cases = [
        (snn.Recurrent.dense(snn.LIF(), 6, bias=True), (6,)),
        (snn.Recurrent.one_to_one(snn.LIF(), 3), (3, 4, 4)),
        (snn.Recurrent.conv(snn.CubaLIF(), 4, (3, 5), groups=2), (4, 5, 5)),
    ]
    for layer, features in cases:
        x = torch.rand(5, 2, *features)
        state, out, outs = layer.neuron.initial_state(x), torch.zeros(2, *features), []
        for x_t in x:
            out, state = layer.neuron.step(x_t + layer.synapse(out[None])[0], state, layer.neuron.params(x))
            outs.append(out)
        assert torch.equal(layer(x), torch.stack(outs))
        assert torch.stack(outs).sum() > 0
    assert cases[0][0].synapse.bias is not None
    assert cases[2][0].synapse.groups == 2
