"""The dense classifier's spread time constants and delays."""

from __future__ import annotations

import math

import pytest
import torch

from snnkit.errors import ParameterError
from snnkit.models import DenseClassifier


def test_time_constants_are_spread_evenly_on_a_logarithmic_scale() -> None:
    net = DenseClassifier((2, 1, 3), 4, [9, 5], taus=(2.0, 32.0))
    taus = -1.0 / torch.log(net.lif1.decay)
    assert torch.allclose(taus, 2.0 * 16.0 ** (torch.arange(9) / 8), rtol=1e-4)
    assert net.lif2.decay.shape == (5,)
    cuba = DenseClassifier((2, 1, 3), 4, [9], taus=(2.0, 32.0), decay_syn=0.5)
    assert math.isclose(float(cuba.lif1.decay_mem[0]), math.exp(-0.5), rel_tol=1e-5)


def test_delays_lie_between_hidden_layers_and_cover_their_range() -> None:
    net = DenseClassifier((2, 1, 3), 4, [64, 64], delays=7)
    assert set(net.delay1.steps) == set(range(8))
    assert "delay2" not in dict(net.named_children())
    assert net(torch.rand(10, 2, 2, 1, 3)).shape == (10, 2, 4)
    plain = DenseClassifier((2, 1, 3), 4, [64, 64])
    assert list(plain.state_dict()) == list(net.state_dict()), "delays are settings"


@pytest.mark.parametrize("settings", [{"taus": (0.0, 2.0)}, {"delays": -1}])
def test_settings_are_checked(settings) -> None:
    with pytest.raises(ParameterError):
        DenseClassifier(**settings)
