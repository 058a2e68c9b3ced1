"""Inputs that are empty, strided, tiny, huge, infinite or not a number; and derivatives beyond the first."""

from __future__ import annotations

import math
import mmap
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from snnkit import nn as snn
from snnkit.errors import ShapeError, UsageError
from snnkit.kernels import lif, on_cpu, reference_only

from .options import assert_close, assert_same, everything, random_state

LAYERS: dict[str, Any] = {
    "LIF": lambda **k: snn.LIF(tau=3.0, learn_decay=True, **k),
    "CubaLIF": lambda **k: snn.CubaLIF(tau_mem=3.0, learn_decay=True, **k),
    "ALIF": lambda **k: snn.ALIF(tau_mem=3.0, learn_decay=True, learn_adaptation=True, **k),
    "LinearLeakIF": lambda **k: snn.LinearLeakIF(leak=-0.125, leak_reversal=True, floor=0.5, learn_leak=True, **k),
    "LI": lambda **k: snn.LI(tau=3.0, learn_decay=True, **k),
}
EVERY = pytest.mark.parametrize("neuron", list(LAYERS))
FIRING = pytest.mark.parametrize("neuron", [name for name in LAYERS if name != "LI"])


def stimulus(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(5)) * 0.8 + 0.3).to(dtype)


@EVERY
@pytest.mark.parametrize("shape", [(1, 3, 4), (5, 1, 4), (1, 1, 1), (5, 2, 4, 1, 1)])
def test_one_step_one_sample_one_neuron(neuron: str, shape: tuple[int, ...]) -> None:
    layer, x = LAYERS[neuron](), stimulus(*shape)
    assert_same(layer, x, random_state(layer, x), 1e-6)


@EVERY
def test_no_steps_are_refused_and_no_samples_are_none(neuron: str) -> None:
    """A sequence without a step is a mistake; a batch or a layer without elements gives one, with zero gradients."""
    layer = LAYERS[neuron]()
    with pytest.raises(ShapeError, match="at least one time step"):
        layer(torch.zeros(0, 2, 3))
    for shape in ((4, 0, 3), (4, 2, 0), (4, 0, 3, 2, 2)):
        x = torch.zeros(shape)
        outputs, gradients = everything(layer, x, random_state(layer, x))
        assert outputs[0].shape == gradients[0].shape == x.shape
        assert all(g.abs().sum() == 0 for g in gradients)


def test_the_operators_take_no_steps() -> None:
    """Below the layers a sequence without steps gives no output and leaves the state as it is."""
    x, v = torch.zeros(0, 2, 3), torch.full((2, 3), 0.5, requires_grad=True)
    params = snn.LIF(decay=0.5).params(x)
    s, state = lif.sequence(x, lif.LIFState(v, torch.zeros(2, 3, dtype=torch.int32)), params)
    assert s.shape == x.shape
    assert state is not None
    assert torch.equal(state.v, v)
    state.v.sum().backward()
    assert torch.equal(v.grad, torch.ones(2, 3))  # type: ignore[arg-type]


def strided() -> dict[str, Tensor]:
    """Tensors [6, 4, 3, 5, 2] that lie in memory in different ways."""
    x = stimulus(6, 4, 3, 5, 2)
    return {
        "channels last": x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3),
        "batch first": x.transpose(0, 1).contiguous().transpose(0, 1),
        "features first": x.movedim(2, 0).contiguous().movedim(0, 2),
        "every other": stimulus(6, 4, 3, 5, 4)[..., ::2],
        "backwards": stimulus(12, 4, 3, 5, 2)[::2].flip(0),
        "the same at every step": stimulus(4, 3, 5, 2).expand(6, 4, 3, 5, 2),
        "the same in every channel": stimulus(6, 4, 1, 5, 2).expand(6, 4, 3, 5, 2),
        "one number": torch.tensor(0.4).expand(6, 4, 3, 5, 2),
    }


@EVERY
@pytest.mark.parametrize("name", list(strided()))
def test_any_strides(neuron: str, name: str) -> None:
    """Values are those of the contiguous tensor bit for bit, gradients as well, and so is what comes back expanded."""
    layer = LAYERS[neuron](shape=(3,))
    x = strided()[name]
    state = random_state(layer, x)
    plain = x.contiguous()
    with torch.no_grad():
        assert torch.equal(layer(x), layer(plain))
        for a, b in zip(layer(x, state)[1], layer(plain, state)[1]):
            assert torch.equal(a, b)
    for upstream in (stimulus(6, 4, 3, 5, 2), torch.tensor(0.5).expand(6, 4, 3, 5, 2)):
        grads = []
        for value in (x, plain):
            leaf = value.detach().requires_grad_()
            grads.append(torch.autograd.grad(layer(leaf, state)[0], [leaf, *layer.parameters()], upstream))
        assert torch.equal(grads[0][0], grads[1][0])
        for a, b in zip(grads[0][1:], grads[1][1:]):  # summed over elements in another order
            assert_close(a, b, 1e-6, x)


@FIRING
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("name", list(snn.surrogate.SURROGATES))
def test_not_a_number_stays_visible(neuron: str, reset: str, detach: bool, name: str) -> None:
    """A membrane that is not a number gives spikes that are none, from then on, and touches nobody else.

    Infinite inputs follow IEEE arithmetic: +∞ fires, −∞ never does again. All as in the reference, gradients included.
    """
    layer = LAYERS[neuron](reset=reset, detach_reset=detach, surrogate=name)
    x = stimulus(6, 1, 5)
    x[2, 0, 1], x[2, 0, 2], x[2, 0, 3] = float("nan"), float("inf"), float("-inf")
    clean = layer(stimulus(6, 1, 5))
    results = []
    for fused in (True, False):
        leaf = x.clone().requires_grad_()
        if fused:
            out, state = layer(leaf, layer.initial_state(leaf))
        else:
            with reference_only():
                out, state = layer(leaf, layer.initial_state(leaf))
        out.backward(torch.ones_like(out))
        results.append((out, state.v, leaf.grad))
    out = results[0][0]
    assert out[2:, 0, 1].isnan().all()
    assert not out[:2].isnan().any()
    assert out[2, 0, 2] == 1
    assert out[2, 0, 3] == 0
    assert torch.equal(out[:, :, [0, 4]], clean[:, :, [0, 4]])
    for a, b in zip(*results):
        assert not (b.isnan() & ~a.isnan()).any()
        others = [0, 2, 3, 4]  # where the membrane is no number the kernel's gradient may be none a step earlier
        torch.testing.assert_close(a[..., others], b[..., others], rtol=1e-6, atol=1e-6, equal_nan=True)


@FIRING
def test_parameters_that_are_no_numbers_stay_visible(neuron: str) -> None:
    layer = LAYERS[neuron](learn_threshold=True)
    with torch.no_grad():
        layer.threshold.fill_(float("nan"))
    assert layer(stimulus(4, 2, 3)).isnan().all()


def test_an_integrator_hides_nothing() -> None:
    """LI from an input or a state that is infinite or no number: IEEE arithmetic, gradients included."""
    x = stimulus(6, 1, 5)
    x[2, 0, 1], x[2, 0, 2], x[2, 0, 3], x[4, 0, 3] = float("nan"), float("inf"), float("-inf"), float("inf")
    layer = LAYERS["LI"]()
    v = torch.tensor([[0.0, 0.0, 0.0, 0.0, float("nan")]], requires_grad=True)
    state = layer.initial_state(x)._replace(v=v)
    out = assert_same(layer, x, None, 1e-6, equal_nan=True)[0]
    assert out[2:, 0, 1].isnan().all()
    assert out[4:, 0, 3].isnan().all()
    assert out[2:, 0, 2].isinf().all()
    assert assert_same(layer, x, state, 1e-6, equal_nan=True)[0][:, 0, 4].isnan().all()


def test_an_integrator_s_kernel_by_finite_differences() -> None:
    """It is smooth, so that the kernel itself can be checked; of outputs and states in everything."""
    layer = snn.LI(shape=(3,), learn_decay=True).double()
    x, v = stimulus(5, 2, 3, dtype=torch.float64).requires_grad_(), stimulus(2, 3, dtype=torch.float64).requires_grad_()

    def run(x: Tensor, v: Tensor, logit: Tensor) -> tuple[Tensor, Tensor]:
        state = layer.initial_state(x)._replace(v=v)
        out, final = torch.func.functional_call(layer, {"decay_logit": logit}, (x, state))
        return out, final.v

    assert torch.autograd.gradcheck(run, (x, v, layer.decay_logit), eps=1e-7, atol=1e-7)


def test_a_refractory_neuron_loses_its_input_whatever_that_is() -> None:
    x = torch.tensor([1.5, float("nan"), 0.25, 2.0]).view(-1, 1, 1)
    layer = snn.LIF(decay=0.5, refractory=1)
    for out in (layer(x), layer.reference(x)[0]):
        assert out.flatten().tolist() == [1.0, 0.0, 0.0, 1.0]


def test_membranes_on_the_floor_share_the_gradient_as_torch_has_it() -> None:
    """Whole numbers, as on the chip: v lies exactly on the floor again and again."""
    x = torch.randint(-2, 3, (12, 3, 40), generator=torch.Generator().manual_seed(0)).double()
    for reset in ("zero", "subtract"):
        for reverses in (True, False):
            layer = snn.LinearLeakIF(-1.0, reverses, 2.0, 1.0, reset, learn_leak=True, learn_threshold=True)
            assert (layer.membrane(x) == -1).float().mean() > 0.1
            assert_same(layer, x, random_state(layer, x), 1e-12)


def big_array(steps: int, width: int) -> np.ndarray[Any, Any]:
    """Zeros [steps, width] of float32 that take no memory until they are written."""
    lazily = 0x4000  # MAP_NORESERVE, which Python's mmap names from 3.13 on
    region = mmap.mmap(-1, 4 * steps * width, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | lazily)
    return np.frombuffer(region, dtype=np.float32).reshape(steps, width)


def big_tensor(*shape: int) -> Tensor:
    """Zeros of float32 that take no memory until they are written."""
    return torch.from_numpy(big_array(shape[0], math.prod(shape[1:]))).view(shape)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux maps memory that it does not have")
@EVERY
def test_offsets_have_64_bits(neuron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last blocks alone of 3·2³⁰ elements, both directions: they lie beyond what 32 bits can count."""
    steps, width, block = 3, 1 << 30, 256

    def last_blocks(kernel: Any, steps: int, width: int, *args: Any) -> None:
        kernel(width // block - 2, width // block, block, *args)

    monkeypatch.setattr(on_cpu, "run_blocks", last_blocks)
    monkeypatch.setattr(on_cpu, "output_like", lambda x, dtype=None: big_tensor(*x.shape))
    layer, here = LAYERS[neuron]().requires_grad_(False), slice(width - 2 * block, width)
    x, upstream = big_tensor(steps, 1, width), big_tensor(steps, 1, width)
    x[..., here] = torch.linspace(-1, 2, 2 * block)
    upstream[..., here] = 1
    out = layer(x.requires_grad_())
    (grad,) = torch.autograd.grad(out, x, upstream)
    small = x[..., here].detach().clone().requires_grad_()
    with reference_only():
        expected = layer(small)
    expected.sum().backward()
    assert 0.1 < expected.mean() < 0.9
    assert torch.equal(out[..., here], expected)
    torch.testing.assert_close(grad[..., here], small.grad, rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux maps memory that it does not have")
def test_offsets_of_a_recurrent_layer_have_64_bits() -> None:
    """The last samples alone of 3·2³⁰ elements, a step forward, again, and back."""
    from snnkit.kernels.recurrent import back, cpu

    steps, batch, n = 3, 1 << 26, 16
    x, s, kept, grad_s, grad_x = (big_tensor(steps, batch, n).numpy() for _ in range(5))
    fed_back, out, v, v0, grad_v = (big_tensor(batch, n).numpy() for _ in range(5))
    none, none_3d, no_wait = np.zeros((0, 0), np.float32), np.zeros((0, 0, 0), np.float32), np.zeros((0, 0), np.int32)
    nothing, decay, threshold = np.zeros(0, np.float32), np.full(n, 0.5, np.float32), np.ones(n, np.float32)
    last = slice(batch - 2, batch)
    x[:, last] = np.linspace(-1, 2, 2 * n, dtype=np.float32).reshape(2, n)
    grad_s[:, last] = 1
    blocks = (batch - 2, batch, 1)
    own = (nothing, decay, nothing, nothing, threshold)
    for t in range(steps):
        cpu.forward(*blocks, t, x, fed_back, kept, s, out, none, v, none, no_wait, *own, True, 0)
    active, found = np.empty((1, 1, n), np.float32), np.zeros((batch, 2), np.int64)
    cpu.recompute(*blocks, kept, s, v0, none, no_wait, *own[1:], True, 0, grad_x, none_3d, active, found)
    number = np.float32
    for t in range(steps - 1, -1, -1):
        back.detached(*blocks, t, grad_s, fed_back, kept, s, none, v0, nothing, decay, threshold, True, 0, number(1),
                      number(np.pi), grad_x, none, grad_v, none, none)  # fmt: skip
    small = torch.from_numpy(x[:, last].copy()).requires_grad_()
    with reference_only():
        expected = snn.LIF(decay=0.5)(small)
    expected.sum().backward()
    assert 0.1 < expected.mean() < 0.9
    assert np.array_equal(s[:, last], expected.detach().numpy())
    np.testing.assert_allclose(grad_x[:, last], small.grad.numpy(), rtol=1e-6, atol=1e-6)  # type: ignore[union-attr]


def free_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux maps memory that it does not have")
@pytest.mark.timeout(600)
def test_more_than_two_to_the_31_elements() -> None:
    """Forward over 2³¹ + 2²⁰ elements; the input's pages are zeros and stay shared but for the last."""
    width = (1 << 30) + (1 << 19)
    if free_memory() < 4 * 2 * width + (2 << 30):
        pytest.skip(f"needs {4 * 2 * width / 1e9 + 2:.0f} GB of free memory")
    x = torch.from_numpy(big_array(2, width)).view(2, 1, width)
    x[:, 0, -3:] = torch.tensor([0.6, 1.5, 0.1])
    out = snn.LIF(decay=1.0)(x)
    assert out.shape == x.shape
    assert out[:, 0, -3:].tolist() == [[0, 1, 0], [1, 1, 0]]
    assert out.sum() == 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux maps memory that it does not have")
@pytest.mark.timeout(600)
def test_more_than_two_to_the_31_elements_through_norm_and_pool() -> None:
    """The same through a norm, a LIF and a pool as one."""
    shape = (2, 1, 1, (1 << 15) + 32, 1 << 15)
    if free_memory() < math.prod(shape) + (3 << 30):
        pytest.skip(f"needs {math.prod(shape) / 1e9 + 3:.0f} GB of free memory")
    x = big_tensor(*shape)
    x[:, 0, 0, -1, -2:] = torch.tensor([[1.5, 0.0], [0.6, 0.0]])
    model = snn.Sequential(snn.BatchNorm(1, eps=0.0), snn.LIF(decay=1.0), snn.AvgPool2d(2)).eval()
    with torch.no_grad():
        out = model(x)
    assert out.shape == (2, 1, 1, (1 << 14) + 16, 1 << 14)
    assert out[:, 0, 0, -1, -1].tolist() == [0.25, 0.0]
    assert out.sum() == 0.25


@EVERY
def test_second_derivatives(neuron: str) -> None:
    """The reference has them; a kernel refuses instead of giving something wrong."""
    layer = LAYERS[neuron]()

    def second() -> Tensor:
        x = torch.linspace(0.1, 0.9, 24).view(4, 2, 3).requires_grad_()
        (first,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    with pytest.raises(UsageError, match="reference_only"):
        second()
    with reference_only():
        assert second().isfinite().all()


@EVERY
def test_forward_mode(neuron: str) -> None:
    """Jacobian times vector, by torch.func.jvp and by dual numbers, against the reverse mode of the kernel."""
    layer = LAYERS[neuron]().double()
    x, tangent = stimulus(5, 2, 3).double(), stimulus(5, 2, 3).double().flip(0)
    weight = stimulus(5, 2, 3).double().flip(2)
    out, along = torch.func.jvp(layer, (x,), (tangent,))
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, tangent)))
        assert torch.equal(dual.tangent, along)  # type: ignore[arg-type]
    assert torch.equal(out, layer(x))
    leaf = x.requires_grad_()
    (grad,) = torch.autograd.grad(layer(leaf), leaf, weight)
    torch.testing.assert_close((along * weight).sum(), (grad * tangent).sum(), rtol=1e-12, atol=1e-12)


@EVERY
def test_vmap_and_gradients_per_sample(neuron: str) -> None:
    """torch.func over samples, and over an ensemble's parameters, against one at a time."""
    layer = LAYERS[neuron]()
    x = stimulus(3, 5, 1, 4)

    def loss(x: Tensor, parameters: Any) -> Tensor:
        return (torch.func.functional_call(layer, parameters, (x,)) * torch.arange(1.0, 5.0)).sum()

    own = {name: p.detach() for name, p in layer.named_parameters()}
    assert torch.equal(torch.func.vmap(layer)(x), torch.stack([layer(one) for one in x]))
    per_sample = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None))(x, own)
    per_member = torch.func.vmap(torch.func.grad(loss, argnums=1), in_dims=(None, 0))(
        x[0], {name: torch.stack([p, p * 0.9]) for name, p in own.items()}
    )
    for k in range(3):
        leaf = x[k].clone().requires_grad_()
        (grad,) = torch.autograd.grad(loss(leaf, own), leaf)
        torch.testing.assert_close(per_sample[k], grad, rtol=1e-6, atol=1e-6)
    for k, factor in enumerate((1.0, 0.9)):
        member = {name: (p * factor).requires_grad_() for name, p in own.items()}
        grads = torch.autograd.grad(loss(x[0], member), list(member.values()))
        for name, grad in zip(member, grads):
            torch.testing.assert_close(per_member[name][k], grad, rtol=1e-5, atol=1e-5)


@EVERY
def test_jacobians_by_rows_at_once(neuron: str) -> None:
    """autograd's own batching of backward passes, over the kernel's."""
    layer, x = LAYERS[neuron](), stimulus(3, 1, 2)
    rows = torch.autograd.functional.jacobian(layer, x)
    at_once = torch.autograd.functional.jacobian(layer, x, vectorize=True)
    torch.testing.assert_close(at_once, rows)
