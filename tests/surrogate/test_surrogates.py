"""Surrogates: formula, integral, width, and the two forms beside each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from snnkit import surrogate
from snnkit.errors import ParameterError
from snnkit.surrogate import arctan, fast_sigmoid, gaussian, piecewise_linear, sigmoid, triangle

FORMS = {
    "arctan": arctan,
    "sigmoid": sigmoid,
    "fast_sigmoid": fast_sigmoid,
    "triangle": triangle,
    "piecewise_linear": piecewise_linear,
    "gaussian": gaussian,
}
NAMES = list(surrogate.SURROGATES)


def test_kinds_are_the_positions() -> None:
    assert [surrogate.SURROGATES[name].kind for name in NAMES] == list(range(6))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("alpha", [None, 0.7, 3.0])
def test_integral_and_width(name: str, alpha: float | None) -> None:
    g = surrogate.get(name, alpha)
    # d = tan(p): a finite interval covers the line, tails included
    p = torch.linspace(-math.pi / 2, math.pi / 2, 400_002, dtype=torch.float64)[1:-1]
    d = torch.tan(p)
    area = torch.trapezoid(g.derivative(d) / torch.cos(p).square(), p).item()
    assert area == pytest.approx(g.integral, rel=1e-3)
    peak = g.derivative(torch.zeros(1, dtype=torch.float64)).item()
    around = torch.tensor([0.499, 0.501], dtype=torch.float64) * g.width
    inside, outside = g.derivative(around).tolist()
    assert inside > peak / 2 > outside


@pytest.mark.parametrize("name", NAMES)
def test_numba_form_equals_torch_form(name: str) -> None:
    g = surrogate.get(name)
    peak, scale = g.coefficients()
    d = np.linspace(-4, 4, 161)
    numba_form = [FORMS[name].derivative_numba(x, peak, scale, 1.0) for x in d.tolist()]
    np.testing.assert_allclose(numba_form, g.derivative(torch.from_numpy(d)).numpy(), rtol=1e-13, atol=1e-300)


def test_arctan_by_hand() -> None:
    g = surrogate.Arctan(alpha=2.0)
    assert g.derivative(torch.tensor(0.0)).item() == 1.0
    assert g.derivative(torch.tensor(1 / math.pi, dtype=torch.float64)).item() == pytest.approx(0.5)


def test_spike_steps_forward_and_follows_the_surrogate_backward() -> None:
    d = torch.tensor([-0.5, 0.0, 0.5], requires_grad=True)
    s = surrogate.spike(d, surrogate.get("triangle"))
    assert s.tolist() == [0.0, 1.0, 1.0]
    s.sum().backward()
    assert d.grad is not None
    assert d.grad.tolist() == [0.5, 1.0, 0.5]


def test_names_objects_and_mistakes() -> None:
    given = surrogate.Sigmoid(alpha=3.0)
    assert surrogate.get(given) is given
    assert surrogate.get("sigmoid", 3.0) == given
    with pytest.raises(ParameterError, match="did you mean 'arctan'"):
        surrogate.get("arctann")
    with pytest.raises(ParameterError, match="own steepness"):
        surrogate.get(given, 2.0)
    for alpha in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ParameterError, match="positive and finite"):
            surrogate.Gaussian(alpha=alpha)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("alpha", [None, 0.7, 3.0])
def test_the_ramp_is_the_integral(name: str, alpha: float | None) -> None:
    g = surrogate.get(name, alpha)
    d = torch.linspace(-5, 5, 1000, dtype=torch.float64, requires_grad=True)
    ramp = g.ramp(d)
    (slope,) = torch.autograd.grad(ramp.sum(), d)
    torch.testing.assert_close(slope, g.derivative(d.detach()), rtol=1e-12, atol=1e-12)
    far = torch.tensor([-1e12, 0.0, 1e12], dtype=torch.float64)
    assert g.ramp(far).tolist() == pytest.approx([0, g.integral / 2, g.integral], abs=1e-9)
    smooth = surrogate.Smooth(g)
    assert torch.equal(surrogate.spike(d, smooth), ramp)
    assert (smooth.integral, smooth.width, smooth.alpha, smooth.kind) == (g.integral, g.width, g.alpha, -1)


def test_not_a_number_gives_no_spike_and_no_silence() -> None:
    d = torch.tensor([math.nan, math.inf, -math.inf, -0.0], requires_grad=True)
    s = surrogate.spike(d, surrogate.get("arctan"))
    assert s[0].isnan()
    assert s[1:].tolist() == [1.0, 0.0, 1.0]
    s.sum().backward()
    assert d.grad is not None
    assert d.grad[0].isnan()


def test_spikes_under_torch_func_and_forward_mode() -> None:
    d = torch.linspace(-1, 1, 9)
    g = surrogate.get("gaussian")
    out, tangent = torch.func.jvp(lambda d: surrogate.spike(d, g), (d,), (torch.full_like(d, 2.0),))
    assert torch.equal(out, (d >= 0).float())
    assert torch.equal(tangent, 2 * g.derivative(d))
    rows = torch.func.vmap(torch.func.grad(lambda d: surrogate.spike(d, g).sum()))(d.view(3, 3))
    assert torch.equal(rows, g.derivative(d).view(3, 3))
