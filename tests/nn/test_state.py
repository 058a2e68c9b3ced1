"""The state contract: nothing left behind, streaming, whole models, gradients through states, recording, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from snnkit import nn as snn
from snnkit.errors import ParameterError, StateError


class Skip(torch.nn.Module):
    """A user's module: nested, with a skip and a second input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(snn.Linear(6, 6), snn.LIF(tau=4.0, refractory=1), snn.Dropout(0.3))
        self.recurrent = snn.Recurrent(snn.CubaLIF(), snn.Linear(6, 6))
        self.readout = snn.LI(decay=0.9)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.body(x) + x
        h = self.recurrent(h if y is None else h + y)
        return self.readout(h)


def neurons() -> list[Any]:
    return [
        snn.LIF(tau=3.0, refractory=2),
        snn.LIF(reset="subtract"),
        snn.CubaLIF(reset="subtract", refractory=1),
        snn.CubaLIF(),
        snn.LI(),
    ]


def test_streaming_equals_multi_step_bit_for_bit() -> None:
    torch.manual_seed(0)
    x = torch.randn(17, 3, 11)
    for layer in neurons():
        whole, final = layer(x, layer.initial_state(x))
        assert torch.equal(layer(x), whole)
        for size in (1, 5):
            state, outs = layer.initial_state(x), []
            for chunk in x.split(size):
                out, state = layer(chunk, state)
                outs.append(out)
            assert torch.equal(torch.cat(outs), whole)
            assert all(torch.equal(a, b) for a, b in zip(state, final))


def test_a_call_leaves_nothing_behind() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 2, 6)
    model = Skip().eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert torch.equal(model(x), model(x))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(isinstance(v, Tensor) for m in model.modules() for k, v in vars(m).items())


def test_run_whole_models_with_skips_and_two_inputs() -> None:
    torch.manual_seed(0)
    x = torch.randn(12, 2, 6)
    for model in (Skip(), torch.nn.Sequential(snn.Flatten(), Skip())):
        model.eval()
        out, states = snn.run(model, x)
        prefix = "" if isinstance(model, Skip) else "1."
        assert set(states) == {prefix + p for p in ("body.1", "body.2", "recurrent", "readout")}
        parts = torch.cat([o for o, _ in snn.stream(model, x.split(5))])
        torch.testing.assert_close(parts, out)
        assert torch.equal(out, model(x))
    out, states = snn.run(Skip().eval(), (x, x))
    assert out.shape == x.shape


def test_states_are_pytrees_that_detach_and_move() -> None:
    x = torch.randn(4, 2, 6, requires_grad=True)
    _, states = snn.run(Skip(), x)
    leaves = pytree.tree_leaves(states)
    assert all(isinstance(leaf, Tensor) for leaf in leaves)
    for path, state in states.items():
        assert not any(t.requires_grad for t in pytree.tree_leaves(state.detach())), path
        moved = state.to("cpu", dtype=torch.float64)
        assert type(moved) is type(state)
        assert all(t.dtype == torch.float64 for t in pytree.tree_leaves(moved) if t.is_floating_point())


def test_gradients_flow_through_states() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 2, 5, dtype=torch.float64)
    for layer in neurons():
        layer.double()
        whole = x.clone().requires_grad_()
        layer(whole).cumsum(0)[-1].sum().backward()
        chunked = x.clone().requires_grad_()
        first, state = layer(chunked[:3], layer.initial_state(chunked))
        second, _ = layer(chunked[3:], state)
        (first.sum() + second.sum()).backward()
        torch.testing.assert_close(chunked.grad, whole.grad, rtol=1e-12, atol=1e-12)


def test_dropout_mask_spans_chunks() -> None:
    torch.manual_seed(0)
    layer = snn.Dropout(0.5)
    x = torch.ones(6, 3, 8)
    first, state = layer(x[:2], layer.initial_state(x))
    second, _ = layer(x[2:], state)
    assert torch.equal(first[0], second[-1])


def test_wrong_states_are_refused() -> None:
    x = torch.randn(4, 2, 6)
    model = torch.nn.Sequential(snn.LIF(), snn.CubaLIF())
    _, states = snn.run(model, x)
    with pytest.raises(StateError, match="no stateful layer of the model"):
        snn.run(model, x, {"2": states["0"]})
    with pytest.raises(StateError, match="'1' CubaLIF.*a LIFState instead of a CubaLIFState"):
        snn.run(model, x, {"1": states["0"]})
    with pytest.raises(StateError, match=r"v has shape \(2, 6\), the input needs \(3, 6\)"):
        snn.run(model, torch.randn(4, 3, 6), {"0": states["0"]})
    recurrent = snn.Recurrent(snn.LIF(), snn.Linear(6, 6))
    with pytest.raises(StateError, match="RecurrentState"):
        recurrent(x, states["0"])


def test_a_layer_called_twice_is_refused_in_a_run() -> None:
    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.neuron = snn.LIF()

        def forward(self, x: Tensor) -> Tensor:
            return self.neuron(self.neuron(x))

    model = Twice()
    x = torch.randn(4, 2, 6)
    assert model(x).shape == x.shape  # without states there is nothing to mix up
    with pytest.raises(StateError, match="'neuron' \\(LIF\\) is called twice"):
        snn.run(model, x)


def test_a_layer_outside_the_model_is_refused_in_a_run() -> None:
    class Hidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = (snn.LIF(),)

        def forward(self, x: Tensor) -> Tensor:
            return self.layers[0](x)

    with pytest.raises(StateError, match=r"torch\.nn\.ModuleList"):
        snn.run(Hidden(), torch.randn(4, 2, 6))


def test_record_spikes_and_membranes() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 2, 6)
    model = Skip().eval()
    with snn.record(model, v=["body.1", "recurrent", "readout"]) as rec:
        out = model(x)
    assert set(rec.spikes) == {"body.1", "recurrent"}
    assert set(rec.v) == {"body.1", "recurrent", "readout"}
    assert torch.equal(rec.v["readout"], out)
    h = model.body[0](x)
    assert torch.equal(rec.spikes["body.1"], model.body[1](h))
    assert torch.equal(rec.v["body.1"], model.body[1].membrane(h))
    assert not rec.spikes["body.1"].requires_grad
    with snn.record(model, spikes=False, v=True) as rec:
        _, states = snn.run(model, x)
        snn.run(model, x, states)
    first = torch.cat([x, x])
    assert torch.equal(rec.v["readout"], model(first)[7:])  # the last pass, from the states it was given
    assert not rec.spikes


def test_record_refuses_unknown_paths_and_too_much() -> None:
    model = Skip()
    with pytest.raises(ParameterError, match="did you mean 'readout'"), snn.record(model, v=["reedout"]):
        pass
    with pytest.raises(ParameterError, match="the limit is 0 MiB"), snn.record(model, max_bytes=100):
        model(torch.randn(7, 2, 6))
