"""The README's table "Coming from another framework", row by row against the framework, where it is installed.

Decays are 1/2 and values quarters wherever the framework allows, so that nothing is rounded and a membrane on the
threshold is on the threshold in both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from snnkit import nn as snn
from snnkit import surrogate

README = Path(__file__).resolve().parents[2] / "README.md"
STEPS, BATCH, N = 8, 6, 50


def quarters(seed: int = 0) -> torch.Tensor:
    """[T, B, N], often on a threshold of 1."""
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(STEPS, BATCH, N, generator=g) * 4 + 2).round() / 4


def values(seed: int = 0) -> torch.Tensor:
    return torch.randn(STEPS, BATCH, N, generator=torch.Generator().manual_seed(seed)) + 0.4


def above(threshold: float) -> float:
    """The next float32: for a framework that fires at v > threshold."""
    return float(torch.nextafter(torch.tensor(threshold), torch.tensor(math.inf)))


def equal(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert torch.equal(ours, theirs.to(ours.dtype))
    assert 0.05 < float(ours.mean()) < 0.95


def same_derivative(ours: surrogate.Surrogate, spike: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """`spike` of d = v − threshold."""
    d = torch.linspace(-2, 2, 101, requires_grad=True)
    spike(d).sum().backward()
    torch.testing.assert_close(ours.derivative(d.detach()), d.grad, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_spikingjelly() -> None:
    pytest.importorskip("spikingjelly", reason="spikingjelly is not installed")
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based import surrogate as theirs

    x = quarters()

    def run(node: Any, x: torch.Tensor = x) -> torch.Tensor:
        functional.reset_net(node)
        return node(x)

    common = {"step_mode": "m"}
    for reset, v_reset in (("zero", 0.0), ("subtract", None)):
        equal(snn.LIF(decay=1.0, reset=reset)(x), run(neuron.IFNode(v_reset=v_reset, **common)))
        plain = neuron.LIFNode(tau=2.0, decay_input=False, v_reset=v_reset, **common)
        equal(snn.LIF(decay=1 - 1 / 2, reset=reset)(x), run(plain))
        equal(snn.LIF(decay=1 - 1 / 2, reset=reset)(x * (1 / 2)), run(neuron.LIFNode(v_reset=v_reset, **common)))
        parametric = neuron.ParametricLIFNode(2.0, decay_input=False, v_reset=v_reset, **common)
        equal(snn.LIF(decay=0.5, learn_decay=True, reset=reset)(x), run(parametric))
        cuba = neuron.CUBALIFNode(0.5, 0.75, 1.0, v_reset)
        equal(snn.CubaLIF(decay_syn=0.5, decay_mem=0.75, reset=reset)(x / 2), torch.stack([cuba(y / 2) for y in x]))
    other_rest = neuron.LIFNode(tau=2.0, decay_input=False, v_threshold=1.0, v_reset=-0.5, **common)
    equal(snn.LIF(decay=0.5, threshold=1.0 - -0.5)(x), run(other_rest))
    with torch.enable_grad():
        same_derivative(surrogate.get("arctan", 3.0), theirs.ATan(3.0))
        same_derivative(surrogate.get("sigmoid", 5.0), theirs.Sigmoid(5.0))
    # state: kept in the layer until reset_net; here in what the call returns
    node, ours = neuron.LIFNode(tau=2.0, decay_input=False, **common), snn.LIF(decay=0.5)
    first, state = ours(x[:3], ours.initial_state(x))
    equal(torch.cat([first, ours(x[3:], state)[0]]), torch.cat([node(x[:3]), node(x[3:])]))


@torch.no_grad()
def test_snntorch() -> None:
    snntorch = pytest.importorskip("snntorch", reason="snntorch is not installed")
    from snntorch import surrogate as theirs

    x = quarters()

    def run(node: Any) -> torch.Tensor:
        return torch.stack([node(x_t)[0] for x_t in x])

    fires = {"threshold": above(1.0)}
    for delayed in (True, False):
        to_zero = {"reset_mechanism": "zero", "reset_delay": delayed}
        equal(snn.LIF(decay=0.5, **fires)(x), run(snntorch.Leaky(beta=0.5, **to_zero)))
        cuba = snn.CubaLIF(decay_syn=0.5, decay_mem=0.5, refractory=int(delayed), **fires)
        equal(cuba(x), run(snntorch.Synaptic(alpha=0.5, beta=0.5, **to_zero)))
    late = snn.Recurrent.one_to_one(snn.LIF(decay=0.5, reset="subtract", **fires), 1)
    late.synapse.weight.fill_(-1.0 * (1 - 0.5))
    equal(late(x), run(snntorch.Leaky(beta=0.5)))
    no_reset = snntorch.Leaky(beta=0.5, reset_mechanism="none")
    equal(snn.CubaLIF(decay_syn=0.5, decay_mem=0.0, **fires)(x), run(no_reset))
    with torch.enable_grad():
        same_derivative(surrogate.get("arctan", 2.0), theirs.atan(2.0))
        same_derivative(surrogate.get("fast_sigmoid", 25.0), theirs.fast_sigmoid(25))
        same_derivative(surrogate.get("sigmoid", 6.0), theirs.sigmoid(6))
    # state: mem goes in and comes out at every step; here once per sequence
    node, ours, mem = snntorch.Leaky(beta=0.5, reset_mechanism="zero"), snn.LIF(decay=0.5, **fires), None
    out = []
    for x_t in x:
        spk, mem = node(x_t, mem)
        out.append(spk)
    first, state = ours(x[:3], ours.initial_state(x))
    equal(torch.cat([first, ours(x[3:], state)[0]]), torch.stack(out))


@torch.no_grad()
def test_norse() -> None:
    norse = pytest.importorskip("norse.torch", reason="norse is not installed")
    from norse.torch.functional.reset import reset_subtract
    from norse.torch.functional.threshold import threshold as theirs

    x, dt, inverse = quarters(), 2.0**-10, 512.0  # dt · tau_inv = 1/2

    def run(cell: Any, x: torch.Tensor = x) -> torch.Tensor:
        out, state = [], None
        for x_t in x:
            z, state = cell(x_t, state)
            out.append(z)
        return torch.stack(out)

    half = torch.tensor(inverse)
    for reset, method in (("zero", {}), ("subtract", {"reset_method": reset_subtract})):
        box = norse.LIFBoxParameters(tau_mem_inv=half, v_th=torch.tensor(0.5), **method)
        equal(snn.LIF(decay=0.5, threshold=above(0.5), reset=reset)(x * (1 - 0.5)), run(norse.LIFBoxCell(box, dt=dt)))
    lif = norse.LIFParameters(tau_syn_inv=half, tau_mem_inv=half, v_th=torch.tensor(0.5))
    equal(
        snn.CubaLIF(decay_syn=0.5, decay_mem=0.5, threshold=above(0.5))(x * (1 - 0.5)), run(norse.LIFCell(lif, dt=dt))
    )
    li = norse.LIBoxCell(norse.LIBoxParameters(tau_mem_inv=half), dt=dt)
    assert torch.equal(snn.LI(decay=0.5)(x * (1 - 0.5)), run(li))
    with torch.enable_grad():
        for alpha in (1.0, 100.0):  # which norse 1.1 does not use
            same_derivative(surrogate.get("fast_sigmoid", 1.0), lambda d, a=alpha: theirs(d, "super", a))
    # state: goes in and comes out at every step; here once per sequence
    ours, cell = (
        snn.LIF(decay=0.5, threshold=above(0.5)),
        norse.LIFBoxCell(norse.LIFBoxParameters(half, v_th=half / 1024), dt),
    )
    first, state = ours(x[:3] / 2, ours.initial_state(x))
    equal(torch.cat([first, ours(x[3:] / 2, state)[0]]), run(cell))


@torch.no_grad()
def test_sinabs() -> None:
    layers = pytest.importorskip("sinabs.layers", reason="sinabs is not installed")
    from sinabs import activation

    x = values()

    def run(layer: Any) -> torch.Tensor:
        return layer(x.transpose(0, 1)).transpose(0, 1).detach()  # [B, T, …] there

    single = {"spike_fn": activation.SingleSpike}
    for reset, way in (("subtract", {}), ("zero", {"reset_fn": activation.MembraneReset()})):
        equal(snn.LIF(tau=5.0, reset=reset)(x), run(layers.LIF(5.0, norm_input=False, **single, **way)))
        low, alpha = {"spike_threshold": torch.tensor(0.3)}, math.exp(-1 / 5.0)
        equal(
            snn.LIF(tau=5.0, threshold=0.3, reset=reset)(x * (1 - alpha)), run(layers.LIF(5.0, **low, **single, **way))
        )
        equal(snn.LIF(decay=1.0, reset=reset)(x), run(layers.IAF(**single, **way)))
        with_current = layers.LIF(5.0, tau_syn=3.0, norm_input=False, **single, **way)
        equal(snn.CubaLIF(tau_mem=5.0, tau_syn=3.0, reset=reset)(x * math.exp(-1 / 3.0)), run(with_current))
    layer, ours = layers.LIF(5.0, norm_input=False, **single), snn.LIF(tau=5.0, reset="subtract")
    chunks = [layer(part.transpose(0, 1)).transpose(0, 1) for part in (x[:3], x[3:])]  # kept until reset_states()
    first, state = ours(x[:3], ours.initial_state(x))
    equal(torch.cat([first, ours(x[3:], state)[0]]), torch.cat(chunks))
    many = run(layers.LIF(5.0, norm_input=False))
    assert many.max() > 1  # MultiSpike, the default: several spikes in a step, which a LIF here has not
    gaussian, d = activation.Gaussian(sigma=0.5), torch.linspace(-2, 2, 41)
    torch.testing.assert_close(surrogate.get("gaussian", 1 / 0.5).derivative(d), gaussian(d + 1.0, torch.tensor(1.0)))


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
def test_lava_dl() -> None:
    slayer = pytest.importorskip("lava.lib.dl.slayer", reason="lava-dl is not installed")
    x = quarters()
    # states there are whole multiples of 1/4096, so firing at v ≥ threshold + 0.01/4096 is firing above the threshold
    cuba = slayer.neuron.cuba.Neuron(threshold=1.0, current_decay=0.5, voltage_decay=0.5)
    ours = snn.CubaLIF(decay_syn=1 - 0.5, decay_mem=1 - 0.5, threshold=above(1.0), reset="zero")
    equal(ours(x), cuba(x.permute(1, 2, 0)).permute(2, 0, 1))  # [B, N, T] there


@pytest.mark.parametrize("framework", ["spikingjelly 2.0", "snntorch 1.0", "norse 1.1", "sinabs 3.1", "lava-dl 0.6"])
def test_the_readme_has_the_row_that_is_tested(framework: str) -> None:
    section = README.read_text(encoding="utf-8").split("## Coming from another framework")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith(f"| {framework} ")]
    assert len(rows) == 1
    assert rows[0].count(" | ") == 5  # neuron, tau or beta, reset, surrogate, state
    tested = framework.split()[0].replace("-", "_")
    assert f"test_{tested}" in globals()
    assert re.search(r"decay|tau", rows[0])
