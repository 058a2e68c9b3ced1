"""The classifier with a convolution along the bands."""

from __future__ import annotations

import pytest
import torch

from snnkit.errors import ParameterError
from snnkit.models import BandClassifier


def test_shapes_time_constants_and_delays() -> None:
    net = BandClassifier((2, 1, 21), 7, channels=8, hidden=[64, 16], taus=(2.0, 32.0), delays=7)
    assert net(torch.rand(10, 3, 2, 1, 21)).shape == (10, 3, 7)
    assert net.linear1.weight.shape == (64, 8 * 11)
    taus = -1.0 / torch.log(net.lif.decay)
    assert torch.allclose(taus, 2.0 * 16.0 ** (torch.arange(8) / 7), rtol=1e-4)
    assert set(net.delay.steps) == set(net.delay1.steps) == set(range(8))
    plain = BandClassifier((2, 1, 21), 7, channels=8, hidden=[64, 16], delays=None)
    assert list(plain.state_dict()) == list(net.state_dict()), "delays are settings"


def test_the_convolution_knows_no_place() -> None:
    """The same sound some bands higher excites the same channels as many strides further."""
    net = BandClassifier((2, 1, 40), 10, channels=4, delays=3).eval()
    first = torch.nn.Sequential(net.conv, net.norm, net.lif)
    x = torch.zeros(12, 1, 2, 1, 40)
    x[..., 10:20] = (torch.rand(12, 1, 2, 1, 10, generator=torch.Generator().manual_seed(0)) < 0.5).float() * 4
    low, high = first(x), first(x.roll(6, -1))
    assert low.sum() > 0
    assert torch.equal(low.roll(3, -1), high)


@pytest.mark.parametrize(
    "settings",
    [
        {"taus": (0.0, 2.0)}, {"delays": -1}, {"kernel_size": 4}, {"channels": 0}, {"hidden": [3, 0]},
        {"input_shape": (2, 34, 34)}, {"input_shape": (2, 40)},
    ],
)  # fmt: skip
def test_settings_are_checked(settings) -> None:
    with pytest.raises(ParameterError, match=r"BandClassifier|input_shape"):
        BandClassifier(**settings)
