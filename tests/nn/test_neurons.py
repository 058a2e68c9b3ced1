"""Neurons: their equations by hand, parameters, refractoriness, errors."""

from __future__ import annotations

import math

import pytest
import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError


def sequence(*values: float) -> torch.Tensor:
    """[T, 1, 1]."""
    return torch.tensor(values).view(-1, 1, 1)


def flat(x: torch.Tensor) -> list[float]:
    return x.flatten().tolist()


def test_lif_by_hand() -> None:
    # decay 1/2, threshold 1: v before the test is 0.75, 0.875, 1.4375 ≥ 1, then from 0 (zero) or 0.4375 (subtract)
    x = sequence(0.75, 0.5, 1.0, 0.5, 0.875)
    zero, subtract = snn.LIF(decay=0.5), snn.LIF(decay=0.5, reset="subtract")
    assert flat(zero(x)) == [0, 0, 1, 0, 1]
    assert flat(zero.membrane(x)) == [0.75, 0.875, 0, 0.5, 0]
    assert flat(subtract(x)) == [0, 0, 1, 0, 1]
    assert flat(subtract.membrane(x)) == [0.75, 0.875, 0.4375, 0.71875, 0.234375]


def test_threshold_is_reached_at_equality() -> None:
    assert flat(snn.LIF(decay=1.0)(sequence(0.5, 0.5, 0.25))) == [0, 1, 0]


def test_cubalif_by_hand() -> None:
    # i: 1, 0.5, 0.25, 1.125; v: 1 ≥ 1 → 0, 0.5, 0.5, 1.375 ≥ 1
    layer = snn.CubaLIF(decay_syn=0.5, decay_mem=0.5)
    x = sequence(1.0, 0.0, 0.0, 1.0)
    assert flat(layer(x)) == [1, 0, 0, 1]
    assert flat(layer.membrane(x)) == [0, 0.5, 0.5, 0]
    _, state = layer(x, layer.initial_state(x))
    assert flat(state.i) == [1.125]


def test_li_by_hand() -> None:
    assert flat(snn.LI(decay=0.5)(sequence(1, 1, 0))) == [1, 1.5, 0.75]
    assert flat(snn.LI(decay=1.0)(sequence(1, 2, 3))) == [1, 3, 6]


@pytest.mark.parametrize("refractory", [0, 1, 3])
def test_refractory_skips_exactly_so_many_updates(refractory: int) -> None:
    x = torch.ones(13, 1, 1)
    period = refractory + 1
    expected = [1.0 if t % period == 0 else 0.0 for t in range(13)]
    assert flat(snn.LIF(refractory=refractory)(x)) == expected
    # the input of skipped steps is lost to a LIF; with subtract v stays where the reset left it
    layer = snn.LIF(decay=1.0, reset="subtract", refractory=2)
    assert flat(layer.membrane(sequence(1.25, 9.0, 9.0, 0.5))) == [0.25, 0.25, 0.25, 0.75]
    # while a CubaLIF's current goes on: i is 1, 0.5, 0.25, 0.125 when v wakes up again
    cuba = snn.CubaLIF(decay_syn=0.5, decay_mem=1.0, refractory=2)
    assert flat(cuba.membrane(sequence(1.0, 0.0, 0.0, 0.0))) == [0, 0, 0, 0.125]


def test_tau_and_decay() -> None:
    assert snn.LIF(tau=5.0).decay.item() == pytest.approx(math.exp(-1 / 5))
    assert snn.LIF().decay.item() == pytest.approx(math.exp(-1 / 2))
    assert snn.CubaLIF(tau_syn=3.0, decay_mem=0.25).decay_syn.item() == pytest.approx(math.exp(-1 / 3))
    assert snn.LI(tau=float("inf")).decay.item() == 1.0
    assert snn.LIF(tau=torch.tensor([2.0, 4.0])).decay.tolist() == pytest.approx([math.exp(-0.5), math.exp(-0.25)])
    assert snn.LIF(tau=2.0, shape=(3,), learn_decay=True).decay.shape == (3,)


def test_learnable_parameters_move_and_stay_in_range() -> None:
    torch.manual_seed(0)
    layer = snn.LIF(tau=4.0, learn_decay=True, learn_threshold=True, shape=(6,))
    assert {name for name, _ in layer.named_parameters()} == {"threshold", "decay_logit"}
    start = layer.decay.detach().clone()
    optimiser = torch.optim.SGD(layer.parameters(), lr=5.0)
    x = torch.rand(10, 4, 6)
    for _ in range(5):
        optimiser.zero_grad()
        layer(x).mean().backward()
        optimiser.step()
    assert not torch.equal(layer.decay, start)
    assert ((layer.decay > 0) & (layer.decay < 1)).all()


def test_parameters_per_channel_and_per_neuron() -> None:
    x = torch.ones(3, 2, 2, 4, 4) * 0.6
    per_channel = snn.LIF(decay=[0.0, 1.0])(x)
    assert per_channel[:, :, 0].sum() == 0
    assert per_channel[1, :, 1].all()
    thresholds = torch.linspace(0.3, 0.9, 32).view(2, 4, 4)
    assert torch.equal(snn.LIF(decay=0.0, threshold=thresholds)(x)[0, 0], (thresholds <= 0.6).float())


def test_state_dict_round_trip() -> None:
    a = snn.CubaLIF(tau_syn=3.0, tau_mem=7.0, threshold=[0.5, 2.0])
    b = snn.CubaLIF(shape=(2,))
    b.load_state_dict({k: v.expand(b.state_dict()[k].shape) for k, v in a.state_dict().items()})
    x = torch.randn(8, 3, 2)
    assert torch.equal(a(x), b(x))


def test_impossible_parameters() -> None:
    for arguments, text in (
        ({"tau": 2.0, "decay": 0.5}, "both tau"),
        ({"tau": 0.0}, "not positive"),
        ({"decay": 1.5}, "outside 0 … 1"),
        ({"decay": float("nan")}, "outside 0 … 1"),
        ({"decay": "fast"}, "neither a number"),
        ({"threshold": 0.0}, "threshold"),
        ({"reset": "substract"}, "did you mean 'subtract'"),
        ({"refractory": -1}, "number of steps"),
        ({"refractory": 1.5}, "number of steps"),
        ({"decay": 1.0, "learn_decay": True}, "strictly between"),
        ({"decay": [0.5, 0.6], "shape": (3,)}, "does not spread"),
        ({"surrogate": "arctang"}, "did you mean 'arctan'"),
    ):
        with pytest.raises(ParameterError, match=text):
            snn.LIF(**arguments)


def test_impossible_inputs() -> None:
    with pytest.raises(ShapeError, match=r"LIF\(decay=.*at least 3 dimensions"):
        snn.LIF()(torch.zeros(3, 4))
    with pytest.raises(ShapeError, match="at least one time step"):
        snn.LIF()(torch.zeros(0, 2, 4))
    with pytest.raises(ShapeError, match="its decay of shape \\(3,\\)"):
        snn.LIF(shape=(3,))(torch.zeros(2, 2, 4))


def test_ones_own_neuron() -> None:
    """A neuron given by its step streams, records and recurs."""

    class Adaptive(snn.Neuron):
        def initial_state(self, x):  # type: ignore[no-untyped-def]
            return snn.CubaLIFState(*(torch.zeros(x.shape[1:]) for _ in range(3)))

        def step(self, x, state, params):  # type: ignore[no-untyped-def]
            v = 0.5 * state.v + x
            s = snn.surrogate.spike(v - 1 - state.i, snn.surrogate.get("sigmoid"))
            return s, snn.CubaLIFState(0.9 * state.i + s, v * (1 - s.detach()), state.wait)

    torch.manual_seed(0)
    x = torch.rand(10, 2, 5)
    model = torch.nn.Sequential(Adaptive(), snn.Recurrent(Adaptive(), snn.Linear(5, 5)))
    whole, _ = snn.run(model, x)
    parts = torch.cat([out for out, _ in snn.stream(model, x.split(3))])
    torch.testing.assert_close(parts, whole)
    with snn.record(model, v=["0"]) as rec:
        model(x)
    assert rec.v["0"].shape == x.shape
    assert rec.spikes["0"].sum() > 0
