"""Matrix mode against its published formula; AdEx against scipy's integrator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit.errors import ParameterError, ShapeError
from snnkit.targets.brainscales2.adex import AdEx, adex_run
from snnkit.targets.brainscales2.matrix import matrix_noise, matrix_product


def published(x: list[int], w: list[int], sends: int, gain: float, noise: list[float]) -> int:
    """One output in plain Python."""
    total = 0
    for k in range(-(-len(x) // 128)):
        charge = sum(a * b for a, b in zip(x[128 * k : 128 * k + 128], w[128 * k : 128 * k + 128]))
        total += max(-128, min(127, math.floor(charge * sends * gain + noise[k])))
    return max(-128, min(127, total))


@given(st.integers(1, 300), st.integers(1, 8), st.sampled_from([0.002, 0.0123, 0.25]), st.integers(0, 2**31))
def test_matrix_mode_is_the_published_formula(n: int, sends: int, gain: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.integers(0, 32, (3, n)), rng.integers(-63, 64, (4, n))
    blocks = -(-n // 128)
    noise = matrix_noise(seed, 3, 4, n)
    assert noise.shape == (blocks, 3, 4)
    for given_noise in (None, noise):
        got = matrix_product(x, w, sends=sends, gain=gain, noise=given_noise)
        add = np.zeros_like(noise) if given_noise is None else given_noise
        want = [[published(x[b].tolist(), w[m].tolist(), sends, gain, add[:, b, m].tolist()) for m in range(4)]
                for b in range(3)]  # fmt: skip
        assert got.tolist() == want


def test_matrix_mode_refuses_what_the_chip_cannot_hold() -> None:
    one = np.ones((1, 2), np.int64)
    for x, w in ((32 * one, one), (-one, one), (one, 64 * one), (one, -64 * one), (one * 0.5, one)):
        with pytest.raises(ParameterError):
            matrix_product(x, w)
    with pytest.raises(ShapeError):
        matrix_product(one, np.ones((1, 3), np.int64))
    with pytest.raises(ParameterError):
        matrix_product(one, one, sends=0)


def integrated(n: AdEx, time: Any, excite: Any, inhibit: Any, end: float) -> list[float]:
    """Spike times by scipy's DOP853 with events, at tight tolerances."""
    from scipy.integrate import solve_ivp

    def free(t: float, y: Any) -> list[float]:
        v, w, e, i = y
        rise = n.delta * math.exp(min((v - n.v_exp) / n.delta, 100))
        return [(-(v - n.v_leak) + rise) / n.tau_mem - w + e - i, (n.a * (v - n.v_leak) - w) / n.tau_w,
                -e / n.tau_syn_e, -i / n.tau_syn_i]  # fmt: skip

    def peak(t: float, y: Any) -> float:
        return float(y[0] - n.v_peak)

    peak.terminal, peak.direction = True, 1  # type: ignore[attr-defined]
    y, t, until, spikes = np.array([n.v_reset, 0.0, 0.0, 0.0]), 0.0, 0.0, []
    stops = [*time.tolist(), end]
    for k, stop in enumerate(stops):
        while t < stop:
            if t < until:
                held = min(until, stop)
                done = solve_ivp(
                    lambda s, z: [0.0, *free(s, z)[1:]], (t, held), y, method="DOP853", rtol=1e-11, atol=1e-11
                )
                y, t = done.y[:, -1], held
                continue
            done = solve_ivp(free, (t, stop), y, method="DOP853", rtol=1e-11, atol=1e-11, events=peak)
            y, t = done.y[:, -1], float(done.t[-1])
            if done.t_events[0].size:
                spikes.append(t)
                y = np.array([n.v_reset, y[1] + n.b, *y[2:]])
                until = t + n.t_hold
        if k < len(time):
            y = y + np.array([0, 0, excite[k], inhibit[k]])
    return spikes


@pytest.mark.parametrize("seed", range(4))
def test_adex_fires_when_scipy_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    neuron = AdEx(10.0, 2.0, 3.0, 90.0, 85.0, 150.0, 4.0, 190.0, 40.0, 0.02, 3.0, 0.8)
    time = np.sort(rng.random(25) * 40)
    excite, inhibit = rng.random(25) * 40, rng.random(25) * 6
    spikes, state = adex_run(neuron, time, excite, inhibit, 60.0)
    expected = integrated(neuron, time, excite, inhibit, 60.0)
    assert len(expected) > 2
    assert len(spikes) == len(expected)
    np.testing.assert_allclose(spikes, expected, rtol=0, atol=1e-3)  # 1 ns
    assert np.isfinite(state).all()
